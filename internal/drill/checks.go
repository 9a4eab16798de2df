package drill

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"callvault/internal/simulator"
)

// What to do when something does not hold.
const (
	doHook = "Has Callvault been started again since the drill's accounts were added to its configuration? " +
		"Is --url the address that providers use, and does a proxy in front pass requests to /webhook/ unchanged?"
	doLook      = "Look into Callvault's log for this account, and at the call in the API: /api/v1/calls?account=ACCOUNT."
	doRecording = "Can Callvault reach the drill's host and port (a firewall, another container)? Is it among the " +
		"account's recording_hosts, with allow_private_networks? The recording's last_error says what it met. " +
		"A long archive.first_try_after needs a longer --wait."
	doKept = "A report that is not kept is lost: look into Callvault's log, and at /api/v1/deliveries?account=ACCOUNT."
)

// checks are what a drill tries, in this order.
func (r *run) checks() []check {
	return []check{
		r.recorded("a plain report", r.CallerDesk, 1, whole),
		r.recorded("a recording by file name", r.TeleCMI, 1, whole),
		r.duplicates(),
		r.wrongOrder(),
		r.burst(),
		r.malformed(),
		{"a body over 1 MiB", "Anybody who knows the token could fill the memory: " + doHook, r.tooLarge},
		{"a wrong token", "Whoever guesses an account's name must not learn that it exists: " + doHook, r.wrongToken},
		r.slowSender(),
		r.recorded("a recording that comes later", r.CallerDesk, 2, notYet),
		r.recorded("a recording cut off in the middle", r.CallerDesk, 2, cutOff),
		r.recorded("a recording sent slowly", r.CallerDesk, 1, slowly),
		r.triedAgain("an expired address (403)", refusing(http.StatusForbidden)),
		r.triedAgain("an expired address (410)", refusing(http.StatusGone)),
		r.triedAgain("an error page instead of audio", errorPage),
		r.refused("a document instead of audio", "", document),
		r.refused("a recording on a forbidden host", "https://recordings.invalid", nil),
	}
}

// call sends a report of an answered call with a recording of its own.
func (r *run) call(ctx context.Context, a Account, host string, serve answer) (callKey, *file, error) {
	var m message
	k := callKey{account: a.Name, key: r.newSID()}
	name, format := "/incoming/drill/"+k.key+".wav", simulator.WAVPCM
	if a.Name == r.TeleCMI.Name {
		k.key = r.newUUID()
		name, format = fmt.Sprintf("%d%d_%s.mp3", r.Now().UnixMilli(), r.sequence, a.AppID), simulator.MP3At8kHz
		m = asJSON(r.cmi("inbound", "answered", map[string]any{
			"cmiuuid": k.key, "conversation_uuid": k.key, "from": 919000000001, "to": 919000000002,
			"answeredsec": 3, "team": "Drill_" + a.AppID, "hangup_reason": "recv_bye", "record": true, "filename": name,
		}))
	} else {
		m = asJSON(r.desk(k.key, host+name))
	}
	f, err := r.provider.add(name, format, serve)
	if err != nil {
		return k, nil, err
	}
	if err := r.report(ctx, a, m); err != nil {
		return k, nil, err
	}
	r.expected[k] = true
	return k, f, nil
}

// recorded: a report whose recording is archived in the end, as the provider
// has it, after so many tries at least.
func (r *run) recorded(name string, a Account, tries int, serve answer) check {
	return check{name, doRecording, func(ctx context.Context) (string, look, error) {
		k, f, err := r.call(ctx, a, "http://"+r.Host, serve)
		if err != nil {
			return "", nil, err
		}
		return "", func(ctx context.Context, now snapshot) (bool, string, error) {
			rec, seen, err := now.recordingOf(k)
			if rec == nil || err != nil {
				return false, seen, err
			}
			switch {
			case rec.State == "pending":
				return false, seen, nil
			case rec.State != "archived":
				return false, seen, errors.New(seen)
			case rec.SHA256 != f.sha256():
				return false, seen, fmt.Errorf("archived with SHA-256 %s, but the provider has %s", rec.SHA256, f.sha256())
			}
			heard, err := r.hear(ctx, rec.ID)
			if err != nil {
				return false, seen, err
			}
			if heard != f.sha256() {
				return false, seen, fmt.Errorf("what is downloaded has SHA-256 %s, but the provider has %s", heard, f.sha256())
			}
			if n := r.provider.tried(f); n < tries {
				return false, seen, fmt.Errorf("archived after %d tries, of which %d must have failed", n, tries-1)
			}
			return true, fmt.Sprintf("one call, answered; %d bytes archived at try %d, downloaded and compared", len(f.audio), r.provider.tried(f)), nil
		}, nil
	}}
}

// recordingOf is the only recording of the only call of a key, and what is to
// be said of it. Before it is there it is nil.
func (s snapshot) recordingOf(k callKey) (*recording, string, error) {
	c, err := s.one(k)
	switch {
	case err != nil:
		return nil, "", err
	case c == nil:
		return nil, "the report was acknowledged, and there is no call yet", nil
	case c.Outcome != "answered" || c.Customer != customer:
		return nil, "", fmt.Errorf("the call is %s, with the customer %s, instead of answered, with %s", c.Outcome, c.Customer, customer)
	case len(c.Recordings) != 1:
		return nil, "", fmt.Errorf("the call has %d recordings instead of one", len(c.Recordings))
	}
	rec := &c.Recordings[0]
	seen := fmt.Sprintf("the recording is %s, tries: %d", rec.State, rec.Attempts)
	if rec.LastError != nil {
		seen += ", " + *rec.LastError
	}
	return rec, seen, nil
}

// triedAgain: a recording that cannot be had now is asked for again, and
// nothing else is taken for it. That it is absent in the end takes as long as
// archive.give_up_after.
func (r *run) triedAgain(name string, serve answer) check {
	return check{name, doRecording, func(ctx context.Context) (string, look, error) {
		k, f, err := r.call(ctx, r.CallerDesk, "http://"+r.Host, serve)
		if err != nil {
			return "", nil, err
		}
		return "", func(_ context.Context, now snapshot) (bool, string, error) {
			rec, seen, err := now.recordingOf(k)
			if rec == nil || err != nil {
				return false, seen, err
			}
			if rec.State != "pending" && rec.State != "absent" {
				return false, seen, fmt.Errorf("%s; it should be pending until archive.give_up_after, then absent", seen)
			}
			return r.provider.tried(f) >= 2, seen, nil
		}, nil
	}}
}

// refused: what is certainly no recording, or must not be fetched, is refused
// once and for all.
func (r *run) refused(name, host string, serve answer) check {
	return check{name, doRecording, func(ctx context.Context) (string, look, error) {
		from := host
		if from == "" {
			from = "http://" + r.Host
		}
		k, f, err := r.call(ctx, r.CallerDesk, from, serve)
		if err != nil {
			return "", nil, err
		}
		return "", func(_ context.Context, now snapshot) (bool, string, error) {
			rec, seen, err := now.recordingOf(k)
			if rec == nil || err != nil {
				return false, seen, err
			}
			switch {
			case rec.State == "pending" && rec.Attempts < 2:
				return false, seen, nil
			case rec.State != "refused":
				return false, seen, fmt.Errorf("%s; it should be refused", seen)
			case host == "" && r.provider.tried(f) == 0:
				return false, seen, fmt.Errorf("%s, although it was never asked for", seen)
			}
			return true, seen, nil
		}, nil
	}}
}

// duplicates: the same report again and again, in every form.
func (r *run) duplicates() check {
	return check{"duplicates", doLook, func(ctx context.Context) (string, look, error) {
		k := callKey{r.CallerDesk.Name, r.newSID()}
		payload := r.desk(k.key, "")
		forms := []message{asJSON(payload), asForm(payload), asQuery(payload)}
		const times = 3
		for range times {
			for _, m := range forms {
				if err := r.report(ctx, r.CallerDesk, m); err != nil {
					return "", nil, err
				}
			}
		}
		r.expected[k] = true
		return "", r.isOne(k, 1, fmt.Sprintf("%d reports of one call in %d forms", times*len(forms), len(forms))), nil
	}}
}

// isOne looks for the only call of a key, with so many legs.
func (r *run) isOne(k callKey, legs int, seen string) look {
	return func(_ context.Context, now snapshot) (bool, string, error) {
		c, err := now.one(k)
		switch {
		case err != nil:
			return false, "", err
		case c == nil:
			return false, "the reports were acknowledged, and there is no call yet", nil
		case c.LegsCount != legs || c.Outcome != "answered":
			return false, fmt.Sprintf("the call is %s, with %d legs instead of %d", c.Outcome, c.LegsCount, legs), nil
		}
		return true, seen + ": one call, answered", nil
	}
}

// wrongOrder: the legs of two conversations, last things first.
func (r *run) wrongOrder() check {
	return check{"reports in the wrong order", doLook, func(ctx context.Context) (string, look, error) {
		in, out := callKey{r.TeleCMI.Name, r.newUUID()}, callKey{r.TeleCMI.Name, r.newUUID()}
		both := map[string]any{"conversation_uuid": in.key, "from": 919000000001, "to": 919000000002}
		with := func(base, more map[string]any) map[string]any {
			all := maps.Clone(base)
			maps.Copy(all, more)
			return all
		}
		dialled := map[string]any{"call_id": out.key, "to": 919000000001, "answeredsec": 3}
		for _, payload := range []map[string]any{
			r.cmi("inbound", "missed", with(both, map[string]any{"leg": "b", "hangup_reason": "recv_cancel"})),
			r.cmi("outbound", "answered", with(dialled, map[string]any{"leg": "b", "hangup_reason": "sent_bye"})),
			r.cmi("inbound", "answered", with(both, map[string]any{"cmiuuid": in.key, "answeredsec": 3, "hangup_reason": "recv_bye"})),
			r.cmi("outbound", "answered", with(dialled, map[string]any{"leg": "a"})),
			r.cmi("inbound", "waiting", with(both, map[string]any{"type": "event", "cmiuuid": in.key})),
		} {
			if err := r.report(ctx, r.TeleCMI, asJSON(payload)); err != nil {
				return "", nil, err
			}
		}
		r.expected[in], r.expected[out] = true, true
		inbound, outbound := r.isOne(in, 2, ""), r.isOne(out, 2, "")
		return "", func(ctx context.Context, now snapshot) (bool, string, error) {
			if done, seen, err := inbound(ctx, now); !done || err != nil {
				return false, "inbound: " + seen, err
			}
			if done, seen, err := outbound(ctx, now); !done || err != nil {
				return false, "outbound: " + seen, err
			}
			return true, "two conversations of two legs each, the last leg first: two calls, answered", nil
		}, nil
	}}
}

// The burst.
const (
	burstReports     = 300
	burstConnections = 32
)

// burst: many reports at once.
func (r *run) burst() check {
	return check{"many reports at once", doKept, func(ctx context.Context) (string, look, error) {
		keys := make([]callKey, burstReports)
		next := make(chan message, burstReports)
		for i := range keys {
			keys[i] = callKey{r.CallerDesk.Name, r.newSID()}
			next <- asJSON(r.desk(keys[i].key, ""))
		}
		close(next)
		var mu sync.Mutex
		var slowest time.Duration
		var failed []error
		var senders sync.WaitGroup
		for range burstConnections {
			senders.Go(func() {
				for m := range next {
					began := time.Now()
					err := r.report(ctx, r.CallerDesk, m)
					mu.Lock()
					slowest = max(slowest, time.Since(began))
					if err != nil {
						failed = append(failed, err)
					}
					mu.Unlock()
				}
			})
		}
		senders.Wait()
		if len(failed) > 0 {
			return "", nil, fmt.Errorf("%d of %d reports were not acknowledged; the first: %w", len(failed), burstReports, failed[0])
		}
		for _, k := range keys {
			r.expected[k] = true
		}
		return "", func(_ context.Context, now snapshot) (bool, string, error) {
			there := 0
			for _, k := range keys {
				c, err := now.one(k)
				if err != nil {
					return false, "", err
				}
				if c != nil {
					there++
				}
			}
			seen := fmt.Sprintf("%d reports over %d connections, the slowest acknowledged after %d ms; %d calls",
				burstReports, burstConnections, slowest.Milliseconds(), there)
			return there == len(keys), seen, nil
		}, nil
	}}
}

// malformed: what cannot be read is acknowledged, and kept byte by byte.
func (r *run) malformed() check {
	return check{"deliveries that cannot be read", doKept, func(ctx context.Context) (string, look, error) {
		mark := `"drill":"` + r.sidPrefix() + `"`
		sent := []message{
			{body: `{` + mark + `,"CallSid":}`, contentType: jsonType},
			{body: `{` + mark + `,"CallSid":{"a":[1,2]},"Status":17}`, contentType: jsonType},
			{body: `{` + mark + `,"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, contentType: jsonType},
			{body: "<html><!-- " + mark + " --><p>not a report</p></html>", contentType: "text/html"},
			{body: mark + "=%zz&;;&=", contentType: formType},
			{body: "--x\r\n" + mark, contentType: "multipart/form-data; boundary=y"},
		}
		var bodies []string
		for _, m := range sent {
			m.method = http.MethodPost
			if err := r.report(ctx, r.CallerDesk, m); err != nil {
				return "", nil, err
			}
			bodies = append(bodies, m.body)
		}
		return "", func(ctx context.Context, _ snapshot) (bool, string, error) {
			ended, err := r.kept(ctx, r.CallerDesk.Name, bodies)
			if err != nil {
				return false, "", err
			}
			seen := fmt.Sprintf("%d acknowledged, %d of them kept byte by byte", len(bodies), len(ended))
			return len(ended) == len(bodies), seen, nil
		}, nil
	}}
}

// tooLarge: more than a webhook may take, also when it is packed.
func (r *run) tooLarge(ctx context.Context) (string, look, error) {
	large := `{"drill":"` + strings.Repeat("x", 1<<20) + `"}`
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := io.WriteString(z, large); err != nil {
		return "", nil, err
	}
	if err := z.Close(); err != nil {
		return "", nil, err
	}
	for _, m := range []message{
		{body: large},
		{body: packed.String(), header: http.Header{"Content-Encoding": {"gzip"}}},
	} {
		m.method, m.contentType = http.MethodPost, jsonType
		if err := r.expect(ctx, r.hook(r.CallerDesk), m, http.StatusRequestEntityTooLarge); err != nil {
			return "", nil, err
		}
	}
	return "answered 413, plain and packed", nil, nil
}

// wrongToken: a stranger learns nothing.
func (r *run) wrongToken(ctx context.Context) (string, look, error) {
	wrong := r.CallerDesk
	wrong.Token = strings.Repeat("0", len(wrong.Token))
	nobody := Account{Name: "nobody-by-this-name", Token: wrong.Token}
	for _, a := range []Account{wrong, nobody} {
		if err := r.expect(ctx, r.hook(a), asJSON(r.desk(r.newSID(), "")), http.StatusNotFound); err != nil {
			return "", nil, fmt.Errorf("account %s: %w", a.Name, err)
		}
	}
	return "answered 404, like an account that does not exist", nil, nil
}

// slowSender: a report that never ends is cut off.
func (r *run) slowSender() check {
	return check{"a report that never ends", "Slow senders could take all connections: does a proxy in front wait for them for ever?", func(ctx context.Context) (string, look, error) {
		body, end := io.Pipe()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.hook(r.CallerDesk), body)
		if err != nil {
			return "", nil, withoutURL(err)
		}
		request.Header.Set("Content-Type", jsonType)
		request.ContentLength = 1000
		began := time.Now()
		cut := make(chan string, 1)
		go func() {
			status, err := r.status(request)
			switch {
			case err != nil:
				cut <- "cut off"
			case status == http.StatusOK:
				cut <- ""
			default:
				cut <- fmt.Sprintf("answered %d", status)
			}
			_ = end.Close() // the writer below ends with it
		}()
		go func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for _, err := io.WriteString(end, "{"); err == nil; _, err = io.WriteString(end, " ") {
				<-tick.C
			}
		}()
		return "", func(context.Context, snapshot) (bool, string, error) {
			select {
			case how := <-cut:
				if how == "" {
					return false, "", errors.New("it was acknowledged, although it never ended")
				}
				return true, fmt.Sprintf("%s after %d s", how, int(time.Since(began).Seconds())), nil
			default:
				return false, "it is still being read", nil
			}
		}, nil
	}}
}

// nothingElse makes sure that no call came into being twice, and none that
// nobody reported.
func (r *run) nothingElse(ctx context.Context) error {
	now, err := r.snapshot(ctx)
	if err != nil {
		return err
	}
	var wrong []string
	for k, found := range now {
		if !r.expected[k] || len(found) != 1 {
			wrong = append(wrong, fmt.Sprintf("%s (%d times)", k.key, len(found)))
		}
	}
	for k := range r.expected {
		if len(now[k]) == 0 {
			wrong = append(wrong, k.key+" (missing)")
		}
	}
	c := check{name: "every call exactly once", do: doLook}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		r.say(c, "", fmt.Errorf("%d calls are wrong: %s", len(wrong), strings.Join(wrong[:min(len(wrong), 10)], ", ")))
		return nil
	}
	r.say(c, fmt.Sprintf("%d calls, none twice, none missing", len(now)), nil)
	return nil
}
