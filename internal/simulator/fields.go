package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/url"
	"strings"
)

// fields are a payload, in the order in which the provider sends it. Values
// are strings, integers, json.Numbers or booleans.
type fields []field

type field struct {
	name  string
	value any
}

// json is the payload as a JSON object.
func (f fields) json() []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, one := range f {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, "%s:%s", mustJSON(one.name), mustJSON(one.value))
	}
	out.WriteByte('}')
	return out.Bytes()
}

// form is the payload URL-encoded.
func (f fields) form() string {
	var out strings.Builder
	for i, one := range f {
		if i > 0 {
			out.WriteByte('&')
		}
		out.WriteString(url.QueryEscape(one.name) + "=" + url.QueryEscape(fmt.Sprint(one.value)))
	}
	return out.String()
}

// multipart is the payload as multipart/form-data, with its content type.
func (f fields) multipart(boundary string) (body []byte, contentType string) {
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	must(w.SetBoundary(boundary))
	for _, one := range f {
		must(w.WriteField(one.name, fmt.Sprint(one.value)))
	}
	must(w.Close())
	return out.Bytes(), w.FormDataContentType()
}

func mustJSON(value any) []byte {
	text, err := json.Marshal(value)
	must(err)
	return text
}

// must holds what cannot fail: the simulator's own values, written to memory.
func must(err error) {
	if err != nil {
		panic("simulator: " + err.Error())
	}
}
