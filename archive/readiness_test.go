package archive_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"callvault/internal/call"
)

// What is found ready is learned, with what was missed before; not of a call
// that ended long ago.
func TestReadinessIsLearned(t *testing.T) {
	t.Parallel()
	audio := recorded(t, 1)
	var asked atomic.Int64
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late.wav" && asked.Add(1) == 1 {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(audio)
	}))
	s := onSQLite(t)
	ended := func(name string, ago time.Duration) *call.Delivery {
		d := wanted(host+name, "", 0)
		l := d.Items[0].Leg
		l.EndedAt = time.Now().Add(-ago)
		l.StartedAt = l.EndedAt.Add(-40 * time.Second)
		return d
	}
	recordings := []func() call.Recording{
		queue(t, s, ended("/late.wav", 100*time.Second)), queue(t, s, ended("/soon.wav", 5*time.Second)), queue(t, s, ended("/old.wav", 24*time.Hour)),
	}
	_, stop := run(t, options(t, s, onDirectory(t), host))
	for _, recording := range recordings {
		eventually(t, "it is archived", func() bool { return recording().State == call.Archived })
	}
	stop() // what was seen is written down
	known, err := s.LearnReadiness(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	sales := known["sales"]
	// One was ready at 100 s or later, the other at any time in the first
	// seconds.
	if sales.Observations != 2 || sales.ReadyBy(90*time.Second) < 0.45 || sales.ReadyBy(90*time.Second) > 0.55 || sales.ReadyBy(1800*time.Second) < 0.99 {
		t.Errorf("learned %+v", sales)
	}
}
