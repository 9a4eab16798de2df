package testenv

import (
	"errors"
	"net"
	"strconv"
	"testing"
	"time"
)

func TestDeadSMTP(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		death              SMTPDeath
		connects, timesOut bool
	}{
		"unreachable": {SMTPUnreachable, false, true},
		"mute":        {SMTPMute, true, true},
		"hangs up":    {SMTPHangsUp, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, port := DeadSMTP(t, test.death)
			// Long enough for a connection that somebody answers.
			dialer := net.Dialer{Timeout: 2 * time.Second}
			if !test.connects {
				dialer.Timeout = 200 * time.Millisecond
			}
			conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
			if (err == nil) != test.connects {
				t.Fatalf("connecting: %v", err)
			}
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			wait := 5 * time.Second
			if test.timesOut {
				wait = 50 * time.Millisecond
			}
			if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
				t.Fatal(err)
			}
			n, err := conn.Read(make([]byte, 1))
			fault, ok := errors.AsType[net.Error](err)
			if n != 0 || err == nil || (ok && fault.Timeout()) != test.timesOut {
				t.Errorf("read %d bytes, %v", n, err)
			}
		})
	}
}
