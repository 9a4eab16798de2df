package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/console"

	"github.com/google/go-cmp/cmp"
)

// keepCalls takes in calls that began so many days ago, each with a recording
// of ten bytes in the vault, and returns the recordings' ids.
func (in installation) keepCalls(t *testing.T, ages ...int) []string {
	t.Helper()
	st, v := in.openStored(t)
	rules := call.Retention{} // judged by the program itself
	ids := make([]string, len(ages))
	for i, days := range ages {
		source := fmt.Sprint("https://r.callerdesk.io/", i)
		l := &call.Leg{Account: "sales", Provider: call.CallerDesk, Key: fmt.Sprint("1.", i), Direction: call.Inbound, Outcome: call.Answered,
			StartedAt: time.Now().AddDate(0, 0, -days), Recordings: []call.Wanted{{Kind: call.Conversation, Source: source}}}
		l.AddKey(call.KeyCall, l.Key)
		if err := st.Record(t.Context(), []*call.Delivery{{Account: "sales", ReceivedAt: time.Now(), Source: call.SourceWebhook, Items: []call.Item{{Leg: l}}}}); err != nil {
			t.Fatal(err)
		}
		var claims []call.Claim
		eventually(t, "it is due", func() (done bool) {
			var err error
			claims, err = st.ClaimRecordings(t.Context(), call.ClaimOptions{Limit: 1, Lease: time.Minute, RulesID: rules.ID(time.Now())})
			return err == nil && len(claims) == 1
		})
		const audio = "0123456789"
		sum, key := sha256.Sum256([]byte(audio)), "calls/"+claims[0].ID
		err := v.Put(t.Context(), key, strings.NewReader(audio), archive.PutOptions{Size: int64(len(audio)), SHA256: sum})
		if err == nil {
			err = st.MarkArchived(t.Context(), claims[0].LeaseToken, call.Archiving{ObjectKey: key, Size: int64(len(audio)), SHA256: hex.EncodeToString(sum[:])})
		}
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = claims[0].ID
	}
	return ids
}

// TestRetentionByAPI: a server tells of retention and storage what the commands
// tell.
func TestRetentionByAPI(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		in := install(t, s, http.NotFoundHandler(), "retention: {recordings: [{match: {direction: inbound}, keep: 1y}, {keep: 2y}], calls: 8y}\n")
		in.keepCalls(t, 500, 400, 390, 300)
		// On the others a hold: the first is what may go now.
		commandJSON[any](t, "hold", "place", "--data", in.data, "Case 7", "--reason", "court order",
			"--to", time.Now().AddDate(0, 0, -380).Format(time.DateOnly), "--from", time.Now().AddDate(0, 0, -410).Format(time.DateOnly))
		p := in.start(t)
		token := commandJSON[struct{ Token string }](t, "token", "add", "officer", "--role", "compliance", "--data", in.data).Token
		type standing struct {
			Rules []string
			Terms string
			Since *time.Time
			Waits *time.Time `json:"waits_until"`
			Next  *time.Time `json:"next_run"`
			Now   console.RetentionPlan
			Until *console.RetentionPlan
		}
		by := time.Now().AddDate(2, 0, 0).UTC().Format(time.DateOnly)
		var told standing
		eventually(t, "all are judged", func() bool {
			told = get[standing](t, p.url+"/api/v1/retention?by="+by, token)
			return told.Now.Unjudged == 0 && told.Now.Recordings == 1
		})
		plan := commandJSON[planned](t, "retention", "plan", "--by", by, "--data", in.data)
		if diff := cmp.Diff(&plan.RetentionPlan, told.Until); diff != "" {
			t.Errorf("command and API differ until %s (-command +API):\n%s", by, diff)
		}
		if plan.Recordings != 2 || plan.Bytes != 20 || len(plan.Kept) != 1 || plan.Kept[0].Recordings != 2 || plan.Kept[0].By != "Case 7" {
			t.Errorf("until %s: %+v", by, plan)
		}
		now := commandJSON[planned](t, "retention", "plan", "--data", in.data)
		now.By = told.Now.By
		if diff := cmp.Diff(now.RetentionPlan, told.Now); diff != "" {
			t.Errorf("command and API differ now (-command +API):\n%s", diff)
		}
		if now.Recordings != 1 || len(told.Rules) != 2 || !strings.Contains(told.Terms, "calls: 8y") || told.Next == nil || !told.Next.Equal(*plan.NextRun) || told.Waits == nil {
			t.Errorf("told: %+v", told)
		}
		storage := get[console.StorageForecast](t, p.url+"/api/v1/storage", token)
		forecast := commandJSON[console.StorageForecast](t, "retention", "forecast", "--data", in.data)
		forecast.AsOf = storage.AsOf
		if diff := cmp.Diff(forecast, storage); diff != "" {
			t.Errorf("command and API differ (-command +API):\n%s", diff)
		}
		if want := []console.StorageAccount{{Account: "sales", Recordings: 4, Bytes: 40}}; !cmp.Equal(want, storage.Accounts) || len(storage.Growth) != 3 || len(storage.Frees) == 0 {
			t.Errorf("storage: %+v", storage)
		}
	})
}
