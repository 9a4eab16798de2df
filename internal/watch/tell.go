package watch

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"callvault/internal/call"
)

const (
	// sendTime bounds one try to send a notice; sendLease is longer, so that
	// nobody else sends what is still being sent.
	sendTime  = 3 * time.Minute
	sendLease = 5 * time.Minute
	// finishTime bounds writing down what became of it.
	finishTime = 10 * time.Second
)

// tryAgainAfter are the waits between tries to send; after the last it is given
// up.
var tryAgainAfter = [...]time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour}

// Message is what is told of an alert.
type Message struct {
	// ID stays the same over all tries.
	ID    string
	Event call.NoticeEvent
	Alert call.Alert
	// At is when it was first to be sent.
	At            time.Time
	Subject, Text string
}

// Sender tells somebody. Its errors hold no secrets.
type Sender interface {
	Send(ctx context.Context, target string, m Message) error
}

// Tell sends the notices that are due, one after the other.
func (w *Watcher) Tell(ctx context.Context) {
	for ctx.Err() == nil {
		n, ok, err := w.o.Store.ClaimNotice(ctx, w.o.Now(), sendLease)
		if err != nil && ctx.Err() == nil {
			w.o.Logger.WarnContext(ctx, "notices of alerts could not be looked for", "error", err)
		}
		if err != nil || !ok {
			return
		}
		if err := w.send(ctx, n); err != nil && ctx.Err() == nil {
			w.o.Logger.ErrorContext(ctx, "what became of a notice of an alert could not be stored", "alert", n.Alert.ID, "error", err)
			return
		}
	}
}

func (w *Watcher) send(ctx context.Context, n call.Notice) error {
	finish := func(state call.NoticeState, detail string, nextTry time.Time) error {
		w.notices.WithLabelValues(string(state)).Inc()
		// Whatever was sent was sent, though the program is ending.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
		defer cancel()
		return w.o.Store.FinishNotice(ctx, n.ID, state, detail, nextTry)
	}
	wait := tryAgainAfter[min(max(n.Attempts, 1), len(tryAgainAfter))-1]
	sender := w.o.Senders[n.Target]
	if sender == nil {
		// Another node may have a newer configuration, or an older one.
		state := call.NoticeDue
		if n.Attempts > len(tryAgainAfter) {
			state = call.NoticeDropped
		}
		return finish(state, "not in the configuration", w.o.Now().Add(wait))
	}
	limit, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	err := sender.Send(limit, n.Target, messageOf(n))
	attributes := []any{"kind", n.Alert.Kind, "account", n.Alert.Account, "event", n.Event, "target", n.Target}
	switch {
	case err == nil:
		w.o.Logger.InfoContext(ctx, "alert told", attributes...)
		return finish(call.NoticeSent, "", time.Time{})
	case n.Attempts > len(tryAgainAfter):
		w.o.Logger.ErrorContext(ctx, "alert not told, and given up", append(attributes, "error", err)...)
		return finish(call.NoticeFailed, err.Error(), time.Time{})
	}
	w.o.Logger.WarnContext(ctx, "alert not told yet", append(attributes, "error", err, "next_try_in", wait)...)
	return finish(call.NoticeDue, err.Error(), w.o.Now().Add(wait))
}

// titles say in a few words what an alert is about.
var titles = map[call.AlertKind]string{
	call.AlertSilence:      "no reports come",
	call.AlertNoRecordings: "no recordings come",
	call.AlertUnreadable:   "deliveries cannot be read",
	call.AlertPaused:       "recordings are not fetched",
	call.AlertVault:        "the vault takes nothing",
	call.AlertFaults:       "something is not as it was kept",
	call.AlertVaultClock:   "the vault's clock is wrong",
	call.AlertJournal:      "the vault's journal is late",
	call.AlertOutrun:       "the database is older than the vault",
	call.AlertRetention:    "retention does not delete what is due",
	call.AlertBlocked:      "the vault keeps what is due",
	call.AlertDisk:         "a disk is nearly full",
	call.AlertReports:      "a report does not reach everybody",
}

func messageOf(n call.Notice) Message {
	m := Message{ID: n.ID, Event: n.Event, Alert: n.Alert, At: n.CreatedAt}
	about := cmp.Or(n.Alert.Account, "Callvault")
	var text strings.Builder
	if n.Event == call.NoticeClosed {
		m.Subject = fmt.Sprintf("Over: %s: %s", about, titles[n.Alert.Kind])
		fmt.Fprintf(&text, "%s\n\nIt was told of at %s:\n%s\n", n.Alert.Closing, local(n.Alert.OpenedAt, time.UTC), n.Alert.Opening)
	} else {
		m.Subject = fmt.Sprintf("Alert: %s: %s", about, titles[n.Alert.Kind])
		fmt.Fprintf(&text, "%s\n\nYou will be told when it is over.\n", n.Alert.Opening)
	}
	m.Text = text.String()
	return m
}
