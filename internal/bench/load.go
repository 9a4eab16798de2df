package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load posts call reports in a closed loop: each connection sends its next
// report when the last is acknowledged. It speaks HTTP/1.1 with keep-alive by
// hand, because it shares the machine with what it measures.
type load struct {
	address     string
	connections int
	// warmup passes before anything is counted, for duration.
	warmup, duration time.Duration
	// recordings is where the reports' recordings are.
	recordings string
}

// loadResult is what the callers have seen.
type loadResult struct {
	// acknowledged are the keys of all reports answered with 200, also those
	// outside of the time that counts.
	acknowledged []string
	// refused counts other answers.
	refused int
	// perSecond, p50, p99 and worst are of the reports acknowledged in the
	// time that counts. A latency is from the first byte sent to the last
	// byte of the answer.
	perSecond       float64
	p50, p99, worst time.Duration
}

// caller is one connection.
type caller struct {
	load *load
	next *atomic.Int64
	// from and to bound the time that counts.
	from, to     time.Time
	acknowledged []string
	refused      int
	latencies    []time.Duration
}

func (l *load) run(ctx context.Context) (loadResult, error) {
	var next atomic.Int64
	from := time.Now().Add(l.warmup)
	callers := make([]*caller, l.connections)
	errs := make([]error, l.connections)
	var all sync.WaitGroup
	for i := range callers {
		callers[i] = &caller{load: l, next: &next, from: from, to: from.Add(l.duration)}
		all.Go(func() { errs[i] = callers[i].run(ctx) })
	}
	all.Wait()
	var r loadResult
	var latencies []time.Duration
	for _, c := range callers {
		r.acknowledged = append(r.acknowledged, c.acknowledged...)
		r.refused += c.refused
		latencies = append(latencies, c.latencies...)
	}
	if err := errors.Join(errs...); err != nil {
		return r, err
	}
	if len(latencies) == 0 {
		return r, fmt.Errorf("no call report was acknowledged, %d were refused", r.refused)
	}
	slices.Sort(latencies)
	r.perSecond = float64(len(latencies)) / l.duration.Seconds()
	r.p50, r.p99 = percentile(latencies, 50), percentile(latencies, 99)
	r.worst = latencies[len(latencies)-1]
	return r, nil
}

// percentile is the smallest value that p of a hundred do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(len(sorted)*p+99)/100-1]
}

func (c *caller) run(ctx context.Context) (err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.load.address)
	if err != nil {
		return err
	}
	defer closing(&err, conn)
	answers := bufio.NewReaderSize(conn, 4096)
	head := []byte("POST /webhook/" + account + "/" + token + " HTTP/1.1\r\nHost: " + c.load.address +
		"\r\nUser-Agent: bench\r\nContent-Type: application/json\r\nContent-Length: ")
	var request, body []byte
	for ctx.Err() == nil {
		report := callReport{
			number: int(c.next.Add(1)), started: time.Now().In(kolkata()).Add(-10 * time.Minute),
			outcomes: answeredOnly(), recordings: c.load.recordings,
		}
		body = report.appendJSON(body[:0])
		request = strconv.AppendInt(append(request[:0], head...), int64(len(body)), 10)
		request = append(append(request, "\r\n\r\n"...), body...)
		sent := time.Now()
		if !sent.Before(c.to) {
			return nil
		}
		if _, err := conn.Write(request); err != nil {
			return err
		}
		status, err := readAnswer(answers)
		if err != nil {
			return err
		}
		now := time.Now()
		if status != 200 {
			c.refused++
			continue
		}
		c.acknowledged = append(c.acknowledged, report.key())
		if !now.Before(c.from) && now.Before(c.to) {
			c.latencies = append(c.latencies, now.Sub(sent))
		}
	}
	return ctx.Err()
}

// readAnswer reads an answer to its end, which Content-Length must tell.
func readAnswer(r *bufio.Reader) (status int, err error) {
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, fmt.Errorf("read the answer: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if status == 0 { // HTTP/1.1 200 OK
			fields := bytes.Fields(line)
			if len(fields) < 2 {
				return 0, fmt.Errorf("not an answer: %q", line)
			}
			if status, err = strconv.Atoi(string(fields[1])); err != nil {
				return 0, fmt.Errorf("not an answer: %q", line)
			}
			continue
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, fmt.Errorf("not an answer: %q", line)
			}
		}
	}
	if length < 0 {
		return 0, errors.New("an answer without Content-Length")
	}
	_, err = r.Discard(length)
	return status, err
}
