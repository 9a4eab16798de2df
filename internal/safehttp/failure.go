package safehttp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
)

// FailedError says in a sentence for people why a request brought nothing.
// Go's own words name addresses of the inside, such as the resolver's, and
// repeat what the host sent.
type FailedError struct {
	// Sentence names neither hosts nor addresses.
	Sentence string
	// Err is what Go says. It is for comparing, not for showing; see Detail.
	Err error
}

// Error implements error.
func (e *FailedError) Error() string { return e.Sentence }

// Unwrap gives errors.Is and errors.As what Go says.
func (e *FailedError) Unwrap() error { return e.Err }

// Detail is what the operator's log may have: what the operating system, the
// resolver or TLS said, with addresses. It is empty for what a host sent, as
// it may quote the request and so a secret.
func (e *FailedError) Detail() string {
	if network, ok := errors.AsType[*net.OpError](e.Err); ok {
		return network.Error()
	}
	if lookup, ok := errors.AsType[*net.DNSError](e.Err); ok {
		return lookup.Error()
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](e.Err); ok {
		return certificate.Error()
	}
	return ""
}

// explain puts an error of net/http into words.
func explain(err error) error {
	if errors.Is(err, ErrTooManyRedirects) {
		return ErrTooManyRedirects
	}
	return &FailedError{Sentence: sentence(err), Err: err}
}

func sentence(err error) string {
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		switch {
		case lookup.IsNotFound:
			return "the host's name is not known"
		case lookup.IsTimeout:
			return "the host's name could not be looked up in time"
		}
		return "the host's name could not be looked up"
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return untrusted(certificate.Err)
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return "the host declined a secure connection"
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return "the host did not answer in time"
	}
	for _, known := range []struct {
		is   error
		says string
	}{
		{syscall.ECONNREFUSED, "the host refused the connection"},
		{syscall.EHOSTUNREACH, "the host cannot be reached"},
		{syscall.ENETUNREACH, "the host cannot be reached"},
		{syscall.ECONNRESET, "the connection was cut"},
		{syscall.EPIPE, "the connection was cut"},
		{http.ErrSchemeMismatch, "the host does not speak https"},
		{io.EOF, "the connection was cut"},
		{io.ErrUnexpectedEOF, "the connection was cut"},
	} {
		if errors.Is(err, known.is) {
			return known.says
		}
	}
	if network, ok := errors.AsType[*net.OpError](err); ok && network.Op == "dial" {
		return "no connection to the host could be made"
	}
	return "the host's answer could not be understood"
}

func untrusted(err error) string {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the host's certificate is for another name"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "the host's certificate has expired or is not valid yet"
	}
	return "the host's certificate is not trusted"
}
