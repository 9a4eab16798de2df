package testenv

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// SMTPDeath is how a server that never speaks behaves.
type SMTPDeath int

// The ways in which a server does not speak.
const (
	// SMTPUnreachable lets nobody connect, and does not say so: a firewall that
	// drops.
	SMTPUnreachable SMTPDeath = iota
	// SMTPMute takes the connection and never greets.
	SMTPMute
	// SMTPHangsUp closes each connection at once.
	SMTPHangsUp
)

// DeadSMTP returns host and port of a server that never speaks. It ends with
// the test.
func DeadSMTP(t testing.TB, death SMTPDeath) (host string, port int) {
	t.Helper()
	listener, err := fullListener(death == SMTPUnreachable)
	if err != nil {
		t.Fatalf("start dead SMTP: %v", err)
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("%v is no TCP address", listener.Addr())
	}
	var waiting []net.Conn
	if death == SMTPUnreachable {
		waiting = fillQueue(t, address.String())
	}
	served := make(chan []net.Conn, 1)
	go func() {
		var open []net.Conn
		defer func() { served <- open }()
		for death != SMTPUnreachable {
			conn, err := listener.Accept()
			if err != nil {
				return // closed with the test
			}
			if death == SMTPMute {
				open = append(open, conn)
			} else if err := conn.Close(); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		err := listener.Close()
		for _, conn := range append(waiting, <-served...) {
			err = errors.Join(err, conn.Close())
		}
		if err != nil {
			t.Errorf("stop dead SMTP: %v", err)
		}
	})
	return address.IP.String(), address.Port
}

// fullListener listens on the loopback. short: so that one connection that
// nobody accepts fills the queue, and the next is not answered at all.
func fullListener(short bool) (net.Listener, error) {
	var config net.ListenConfig
	if !short {
		return config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	}
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(socket), "listener")
	err = errors.Join(
		syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
		syscall.Listen(socket, 0))
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	listener, err := net.FileListener(file)
	return listener, errors.Join(err, file.Close())
}

// fillQueue connects until nobody answers any more.
func fillQueue(t testing.TB, address string) []net.Conn {
	t.Helper()
	var open []net.Conn
	for range 64 {
		dialer := net.Dialer{Timeout: 200 * time.Millisecond}
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		if err != nil {
			return open
		}
		open = append(open, conn)
	}
	t.Fatal("a listener whose queue is full still answers")
	return nil
}
