package call_test

import (
	"encoding/json"
	"strings"
	"testing"

	"callvault/internal/call"
)

func TestRedactor(t *testing.T) {
	t.Parallel()
	r := call.NewRedactor("+919812345678", func(string) string { return "token" })
	for text, want := range map[string]string{
		`{"from":"+919812345678"}`:        `{"from":"+xxxxxxxxxxxx"}`,
		`{"from":919812345678,"a":1}`:     `{"from":111111111111,"a":1}`,
		`from=%2B919812345678&to=1`:       `from=%2Bxxxxxxxxxxxx&to=1`,
		`from=%20919812345678`:            `from=%20xxxxxxxxxxxx`,
		`09812345678`:                     `xxxxxxxxxxx`,
		`9812345678_1.wav`:                `xxxxxxxxxx_1.wav`,
		`00919812345678`:                  `xxxxxxxxxxxxxx`,
		`"sid":"1679812345678"`:           `"sid":"1679812345678"`, // another run of digits
		`2345678`:                         `2345678`,               // too short to be sure
		`+919812345679`:                   `+919812345679`,
		`{"a":"919812345678","b":"0981"}`: `{"a":"xxxxxxxxxxxx","b":"0981"}`,
	} {
		if got := r.Text(text); got != want {
			t.Errorf("%s becomes %s, want %s", text, got, want)
		}
		if r.Holds(text) != (text != want) {
			t.Errorf("%s: Holds does not say what Text does", text)
		}
	}
}

func TestErasedLegStaysErased(t *testing.T) {
	t.Parallel()
	number := json.RawMessage(`"919812345678"`)
	report := call.Leg{
		Account: "sales", Provider: call.Mapped, Key: "9812345678-1", CustomerNumber: "+919812345678", Group: "Sales",
		Recordings: []call.Wanted{{Kind: call.Conversation, Source: "https://x/9812345678.wav"}},
		Attributes: call.Attributes{"from": number, "duration": json.RawMessage("40")},
	}
	report.AddKey(call.KeyCall, "call-919812345678")
	erased := report
	call.NewRedactor(report.CustomerNumber, func(string) string { return "token" }).Leg(&erased)
	if erased.Fill(report) {
		t.Error("a report told an erased leg something")
	}
	if again := erased.Reread([]call.Leg{report}, nil); !again.Erased {
		t.Error("an erased leg was read again")
	}
	text, err := erased.JSON()
	if err != nil || strings.Contains(text, "12345678") {
		t.Errorf("%s, %v", text, err)
	}
	if erased.Key != "token" || erased.CallKey() != (call.Key{Kind: call.KeyCall, Value: "token"}) || erased.Group != "Sales" || len(erased.Attributes) != 1 {
		t.Errorf("too much or too little is left: %s", text)
	}
}

func TestNumberNamedInAReason(t *testing.T) {
	t.Parallel()
	r := call.NewRedactor("+919812345678", nil)
	for text, want := range map[string]bool{
		"request of +919812345678":    true,
		"request of 98123 45678":      true,
		"request of (0)98123-45678":   true,
		"of 2026-11-20, 9812345678.":  true,
		"request of 2026-11-20":       false,
		"ticket 20261120/45678":       false,
		"of 9812345679, not 98123456": false,
	} {
		if got := r.IsNamed(text); got != want {
			t.Errorf("%q names the number: %t", text, got)
		}
	}
}
