package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

// rang is a delivery of the event that a call began to ring.
func rang(t *testing.T, key call.Key, before, received time.Duration) *call.Delivery {
	t.Helper()
	at := nine.Add(-before)
	d := post(t, told{Event: &call.LiveCall{Account: "support", Key: key, LegKey: key.Value, Direction: call.Inbound, State: call.Ringing, Since: at, At: at, IsStart: true}})
	d.ReceivedAt = at.Add(received)
	return d
}

func reportOf(t *testing.T, legs ...*call.Leg) *call.Delivery {
	t.Helper()
	items := make([]told, len(legs))
	for i, l := range legs {
		items[i] = told{Says: l, Read: l}
	}
	d := post(t, items...)
	d.ReceivedAt = nine.Add(time.Minute)
	return d
}

func conversation(value string) call.Key {
	return call.Key{Kind: call.KeyConversation, Value: value}
}

// TestCheckLiveFrom: since when a call rang is what one of its events tells,
// whenever that came, and by whatever identifier.
func TestCheckLiveFrom(t *testing.T) {
	t.Parallel()
	const back = `UPDATE legs SET facts = replace(facts, '"live_from":"%s"', '"live_from":"%s"') WHERE leg_key = 'g-1'`
	forge := func(t *testing.T, o store.Options, was, is time.Duration) {
		t.Helper()
		tamper(t, o, fmt.Sprintf(back, nine.Add(-was).Format(time.RFC3339Nano), nine.Add(-is).Format(time.RFC3339Nano)))
	}
	ring := 25 * time.Second
	later := agentLeg("b-1", "")
	learned := agentLeg("b-1", "g-1")
	mapped := guest("g-1")
	mapped.Provider = call.Mapped
	for _, tt := range []struct {
		name string
		came func(t *testing.T) []*call.Delivery
	}{
		{"before the report", func(t *testing.T) []*call.Delivery {
			t.Helper()
			return []*call.Delivery{rang(t, conversation("g-1"), ring, time.Second), reportOf(t, guest("g-1"))}
		}},
		{"after it", func(t *testing.T) []*call.Delivery {
			t.Helper()
			return []*call.Delivery{reportOf(t, guest("g-1")), rang(t, conversation("g-1"), ring, 10*time.Minute)}
		}},
		{"days later", func(t *testing.T) []*call.Delivery {
			t.Helper()
			return []*call.Delivery{reportOf(t, guest("g-1")), rang(t, conversation("g-1"), ring, 100*time.Hour)}
		}},
		{"with the report", func(t *testing.T) []*call.Delivery {
			t.Helper()
			d := post(t, told{Event: rang(t, conversation("g-1"), ring, 0).Items[0].Live}, told{Says: guest("g-1"), Read: guest("g-1")})
			return []*call.Delivery{d}
		}},
		{"by what the agent's leg was known by", func(t *testing.T) []*call.Delivery {
			t.Helper()
			return []*call.Delivery{
				reportOf(t, later), rang(t, call.Key{Kind: call.KeyLeg, Value: "b-1"}, 20*time.Second, time.Second),
				rang(t, conversation("g-1"), ring, time.Second), reportOf(t, guest("g-1")), reportOf(t, learned),
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			forEachDatabase(t, func(t *testing.T, o store.Options) {
				s := open(t, o)
				for _, d := range tt.came(t) {
					record(t, s, d)
				}
				// An event of another call tells nothing of this one.
				record(t, s, rang(t, conversation("g-2"), 30*time.Second, time.Second))
				if all := checkLegs(t, s, checkToday()); len(all.Faults)+len(all.Notices) > 0 {
					t.Fatalf("%s: %+v", tt.name, all)
				}
				forge(t, o, ring, 30*time.Second)
				all := checkLegs(t, s, checkToday())
				if diff := cmp.Diff([]string{"leg leg/support/g-1"}, faultsOf(all.Faults)); diff != "" || !strings.Contains(all.Faults[0].What, "live_from") {
					t.Errorf("%s, forged: %+v", tt.name, all)
				}
			})
		})
	}
	t.Run("event that is not kept", func(t *testing.T) {
		t.Parallel()
		forEachDatabase(t, func(t *testing.T, o store.Options) {
			s := open(t, o)
			event := rang(t, conversation("g-1"), ring, time.Second)
			record(t, s, event)
			record(t, s, reportOf(t, guest("g-1")))
			restore := remember(t, o, "legs", "deliveries")
			forge(t, o, ring, 30*time.Second)
			options := checkToday()
			options.ReadSince = nine.Add(time.Hour)
			if all := checkLegs(t, s, options); len(all.Faults) != 0 || len(all.Notices) != 1 {
				t.Errorf("read by an earlier version: %+v", all)
			}
			options = checkToday()
			options.KeptSince = nine
			if all := checkLegs(t, s, options); len(all.Faults)+len(all.Notices) != 0 {
				t.Errorf("older than what is kept: %+v", all)
			}
			tamper(t, o, fmt.Sprintf("UPDATE deliveries SET account = 'gone' WHERE id > %d", event.ID))
			if all := checkLegs(t, s, checkToday()); len(all.Faults)+len(all.Notices) != 0 {
				t.Errorf("of an account that is not configured: %+v", all)
			}
			restore()
			// Its term is over, that of the report is not.
			if n, _, err := s.ForgetDeliveries(t.Context(), "support", nine, &call.Place{}); err != nil || n != 1 {
				t.Fatal(n, err)
			}
			if all := checkLegs(t, s, checkToday()); len(all.Faults)+len(all.Notices) != 0 {
				t.Errorf("the event was deleted by right: %+v", all)
			}
		})
	})
	t.Run("event that was taken away", func(t *testing.T) {
		t.Parallel()
		forEachDatabase(t, func(t *testing.T, o store.Options) {
			s := open(t, o)
			event := rang(t, conversation("g-1"), ring, time.Second)
			record(t, s, event)
			record(t, s, reportOf(t, guest("g-1")))
			tamper(t, o, fmt.Sprintf("DELETE FROM delivery_items WHERE delivery_id = %d", event.ID))
			if all := checkLegs(t, s, checkToday()); len(all.Faults) != 1 {
				t.Errorf("the event was taken away: %+v", all)
			}
		})
	})
	t.Run("mapped account", func(t *testing.T) {
		t.Parallel()
		forEachDatabase(t, func(t *testing.T, o store.Options) {
			s := open(t, o)
			record(t, s, rang(t, conversation("g-1"), ring, time.Second), rang(t, call.Key{Kind: call.KeyLeg, Value: "g-1"}, ring, time.Second))
			record(t, s, reportOf(t, mapped))
			if all := checkLegs(t, s, checkToday()); len(all.Faults)+len(all.Notices) != 0 {
				t.Errorf("of a mapped account: %+v", all)
			}
			forge(t, o, ring, 30*time.Second)
			if all := checkLegs(t, s, checkToday()); len(all.Faults) != 0 || len(all.Notices) != 1 || !strings.Contains(all.Notices[0].What, "mapping") {
				t.Errorf("of a mapped account, forged: %+v", all)
			}
		})
	})
}

func checkLegs(t *testing.T, s *store.Store, o call.CheckOptions) call.Checked {
	t.Helper()
	all, err := s.CheckLegs(t.Context(), o, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCheckLiveFromLost: since when a call rang is not forgotten, nor told by a later
// event of the same call, whichever came first, read again or not.
func TestCheckLiveFromLost(t *testing.T) {
	t.Parallel()
	const first, second = 25 * time.Second, 20 * time.Second
	moment := func(before time.Duration) string {
		return `"live_from":"` + nine.Add(-before).Format(time.RFC3339Nano) + `",`
	}
	for _, tt := range []struct {
		name string
		came func(t *testing.T) []*call.Delivery
		// lost and later are those that are named where it is gone, and where it is that
		// of the second event.
		lost, later []int
	}{
		{"events, then the report", func(t *testing.T) []*call.Delivery {
			t.Helper()
			return []*call.Delivery{rang(t, conversation("g-1"), first, time.Second), rang(t, conversation("g-1"), second, time.Second), reportOf(t, guest("g-1"))}
		}, []int{2}, []int{2}},
		{"the report, then the events", func(t *testing.T) []*call.Delivery {
			t.Helper()
			return []*call.Delivery{reportOf(t, guest("g-1")), rang(t, conversation("g-1"), second, time.Hour), rang(t, conversation("g-1"), first, time.Hour)}
		}, []int{1, 2}, []int{2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			forEachDatabase(t, func(t *testing.T, o store.Options) {
				s := open(t, o)
				came := tt.came(t)
				var ids []int64
				for _, d := range came {
					record(t, s, d)
					ids = append(ids, d.ID)
				}
				check := func(what string, want ...int) {
					t.Helper()
					all := checkRows(t, s, checkToday())
					var named, found []string
					for _, i := range want {
						named = append(named, fmt.Sprintf("delivery delivery/%d", came[i].ID))
					}
					for _, f := range faultsOf(all.Faults) {
						if strings.HasPrefix(f, "delivery ") || len(want) == 0 {
							found = append(found, f)
						}
					}
					if diff := cmp.Diff(named, found); diff != "" {
						t.Errorf("%s: faults (-want +got):\n%s%+v", what, diff, all.Faults)
					}
				}
				check("as it came")
				for _, again := range []string{"", ", read again"} {
					restore := remember(t, o, "legs")
					tamper(t, o, "UPDATE legs SET facts = replace(facts, '"+moment(first)+"', '')")
					check("gone"+again, tt.lost...)
					restore()
					tamper(t, o, "UPDATE legs SET facts = replace(facts, '"+moment(first)+"', '"+moment(second)+"')")
					check("told by the second event"+again, tt.later...)
					restore()
					tamperAny(t, o, "DROP TABLE legs_copy")
					replay(t, s, false, ids...)
					check("as it came" + again)
				}
			})
		})
	}
}
