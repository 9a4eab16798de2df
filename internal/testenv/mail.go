package testenv

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"
)

// ReadMail takes a mail apart: its header, its attachments and pictures by file
// name, and its texts by media type, all decoded.
func ReadMail(t testing.TB, text []byte) (header mail.Header, parts map[string][]byte) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	parts = make(map[string][]byte)
	if err := readPart(textproto.MIMEHeader(m.Header), m.Body, parts); err != nil {
		t.Fatal(err)
	}
	return m.Header, parts
}

// readPart adds what a part of a mail holds to parts.
func readPart(header textproto.MIMEHeader, body io.Reader, parts map[string][]byte) error {
	name, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return err
	}
	if strings.HasPrefix(name, "multipart/") {
		for reader := multipart.NewReader(body, params["boundary"]); ; {
			p, err := reader.NextRawPart()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				err = readPart(p.Header, p, parts)
			}
			if err != nil {
				return err
			}
		}
	}
	if disposition := header.Get("Content-Disposition"); disposition != "" {
		if _, params, err = mime.ParseMediaType(disposition); err != nil {
			return err
		}
		name = cmp.Or(params["filename"], name)
	}
	switch header.Get("Content-Transfer-Encoding") {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	parts[name], err = io.ReadAll(body)
	return err
}
