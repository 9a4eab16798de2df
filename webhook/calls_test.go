package webhook

import (
	"cmp"
	"slices"
	"testing"

	"callvault/internal/call"
)

// failer is testing.TB as far as it is needed, for rapid's T is not one.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// calls makes calls of reports as the store does: legs are filled by their key
// and joined by the best identifier of their call.
func calls(t failer, d *Decoder, account string, bodies ...string) []call.Call {
	t.Helper()
	legs := make(map[string]*call.Leg)
	for _, body := range bodies {
		for _, it := range decodeItems(t, d, account, body) {
			if it.Leg == nil {
				t.Fatalf("no leg: %s in %s", it.Error, body)
			}
			if leg := legs[it.Leg.Key]; leg != nil {
				leg.Fill(*it.Leg)
			} else {
				legs[it.Leg.Key] = it.Leg
			}
		}
	}
	groups := make(map[call.Key][]call.Leg)
	for _, leg := range legs {
		groups[leg.CallKey()] = append(groups[leg.CallKey()], *leg)
	}
	var list []call.Call
	for _, group := range groups {
		list = append(list, call.Merge(group))
	}
	slices.SortFunc(list, func(a, b call.Call) int { return cmp.Compare(a.Key, b.Key) })
	return list
}

func decodeItems(t failer, d *Decoder, account, body string) []call.Item {
	t.Helper()
	del := &call.Delivery{Account: account, Method: "POST", Body: []byte(body), ReceivedAt: testReceivedAt}
	d.Decode(del)
	return del.Items
}

// oneCall is calls for reports of a single call.
func oneCall(t testing.TB, account string, bodies ...string) call.Call {
	t.Helper()
	list := calls(t, newTestDecoder(t), account, bodies...)
	if len(list) != 1 {
		t.Fatalf("%d calls", len(list))
	}
	return list[0]
}

func oneItem(t testing.TB, account, body string) call.Item {
	t.Helper()
	items := decodeItems(t, newTestDecoder(t), account, body)
	if len(items) != 1 {
		t.Fatalf("%d items of %s", len(items), body)
	}
	return items[0]
}
