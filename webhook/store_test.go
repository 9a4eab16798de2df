package webhook

import (
	"context"
	"slices"
	"sync"
	"testing"

	"callvault/internal/call"
)

// memory is a store that can be told to fail.
type memory struct {
	mu      sync.Mutex
	batches [][]*call.Delivery
	tries   int
	// fail decides about a batch before it is stored.
	fail func(ctx context.Context, batch []*call.Delivery) error
}

func (m *memory) Record(ctx context.Context, batch []*call.Delivery) error {
	m.mu.Lock()
	m.tries++
	fail := m.fail
	m.mu.Unlock()
	if fail != nil {
		if err := fail(ctx, batch); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(batch) > 0 {
		m.batches = append(m.batches, slices.Clone(batch))
	}
	return nil
}

func (m *memory) failWith(fail func(context.Context, []*call.Delivery) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

func (m *memory) triesSoFar() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tries
}

// stored are the deliveries, each once, as a store that knows UIDs keeps them.
func (m *memory) stored() []*call.Delivery {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := make(map[string]bool)
	var list []*call.Delivery
	for _, batch := range m.batches {
		for _, d := range batch {
			if !seen[d.UID] {
				seen[d.UID] = true
				list = append(list, d)
			}
		}
	}
	return list
}

// bodies are the bodies of what is stored, sorted.
func (m *memory) bodies() []string {
	var list []string
	for _, d := range m.stored() {
		list = append(list, string(d.Body))
	}
	slices.Sort(list)
	return list
}

func unavailable(context.Context, []*call.Delivery) error {
	return call.Errorf(call.Unavailable, "the database is away")
}

func newTestReceiver(tb testing.TB, store Store, change func(*Options)) *Receiver {
	tb.Helper()
	o := Options{Accounts: testAccounts(), Store: store, Spool: tb.TempDir(), Now: now, Logger: quiet}
	if change != nil {
		change(&o)
	}
	r, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r
}
