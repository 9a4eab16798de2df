package main

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
)

// readMail takes a mail apart: its header, its attachments and pictures by file
// name, and its texts by media type, all decoded.
func readMail(t *testing.T, text []byte) (header mail.Header, parts map[string][]byte) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	parts = make(map[string][]byte)
	var read func(contentType string, body io.Reader)
	read = func(contentType string, body io.Reader) {
		_, params, err := mime.ParseMediaType(contentType)
		if err != nil {
			t.Fatal(err)
		}
		reader := multipart.NewReader(body, params["boundary"])
		for {
			p, err := reader.NextRawPart()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			kind := p.Header.Get("Content-Type")
			if strings.HasPrefix(kind, "multipart/") {
				read(kind, p)
				continue
			}
			var content io.Reader = p
			switch p.Header.Get("Content-Transfer-Encoding") {
			case "base64":
				content = base64Reader(p)
			case "quoted-printable":
				content = quotedprintable.NewReader(p)
			}
			decoded, err := io.ReadAll(content)
			if err != nil {
				t.Fatal(err)
			}
			name := p.FileName()
			if name == "" {
				name, _, _ = strings.Cut(kind, ";")
			}
			parts[name] = decoded
		}
	}
	read(m.Header.Get("Content-Type"), m.Body)
	return m.Header, parts
}
