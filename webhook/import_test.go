package webhook

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

func TestDecodeFile(t *testing.T) {
	t.Parallel()
	long := `{"CallSid":"` + strings.Repeat("1", maxDocument) + `"}`
	tests := []struct {
		name, file string
		want       []string
	}{
		{"JSON lines", "\ufeff\n{\"CallSid\":\"1\"}\r\n\n{\"CallSid\":\n{\"CallSid\":\"3\"}", []string{"1", "unreadable", "3"}},
		{"form lines", "CallSid=1&EndTime=\nCallSid=2&EndTime=\n", []string{"1", "2"}},
		{"mixed lines", "CallSid=1&EndTime=\n[{\"CallSid\":\"2\"},{\"CallSid\":\"3\"}]\nhello", []string{"1", "2+3", "unreadable"}},
		{"object", "{\n \"CallSid\": \"1\"\n}\n", []string{"1"}},
		{"objects", "{\n \"CallSid\": \"1\"\n}\n{\"CallSid\":\"2\"}", []string{"1", "2"}},
		{"array", "\n[\n {\"CallSid\": \"1\"},\n {\"CallSid\": \"2\"}\n]\n", []string{"1", "2"}},
		{"large array in a line", `[{"CallSid":"1"},` + long + `,{"CallSid":"3"}]`, []string{"1", "!import: document 2 is larger than 1048576 bytes", "3"}},
		{"long line", "{\"CallSid\":\"1\"}\n" + long + "\n{\"CallSid\":\"3\"}", []string{"1", "!import: line 2 is larger than 1048576 bytes", "3"}},
		{"torn", "{\n \"CallSid\": \"1\"\n}\n{\n", []string{"1", "!import: document 2: unexpected EOF"}},
		{"empty", "", nil},
		{"blank", " \n\n", nil},
		{"x", "x", []string{"unreadable"}},
	}
	d := newTestDecoder(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{strings.NewReader(tt.file), iotest.HalfReader(strings.NewReader(tt.file))} {
				if diff := cmp.Diff(tt.want, importAll(d, "sales", r)); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
	broken := io.MultiReader(strings.NewReader("{\"CallSid\":\"1\"}\n"), iotest.ErrReader(errors.New("disk on fire")))
	if diff := cmp.Diff([]string{"1", "!import: line 2: disk on fire"}, importAll(d, "sales", broken)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"!account nobody is not configured"}, importAll(d, "nobody", strings.NewReader("{}"))); diff != "" {
		t.Error(diff)
	}
}

func importAll(d *Decoder, account string, r io.Reader) []string {
	var got []string
	for del, err := range d.DecodeFile(account, testReceivedAt, r) {
		if err != nil {
			got = append(got, "!"+err.Error())
			continue
		}
		var keys []string
		for _, it := range del.Items {
			switch {
			case it.Leg != nil:
				keys = append(keys, it.Leg.Key)
			case it.Live != nil:
				keys = append(keys, it.Live.LegKey)
			default:
				keys = append(keys, string(it.Outcome))
			}
		}
		if del.Source != call.SourceImport || del.UID == "" || !del.ReceivedAt.Equal(testReceivedAt) || del.Account != account {
			keys = append(keys, fmt.Sprintf("%+v", del))
		}
		got = append(got, strings.Join(keys, "+"))
	}
	return got
}

// FuzzDecodeFile: whatever a file holds, each of its deliveries says what
// became of it, and there are no more of them than it has bytes.
func FuzzDecodeFile(f *testing.F) {
	f.Add(callerDeskReport + "\n" + callerDeskReport)
	f.Add("{\"CallSid\":}\n{\"CallSid\":\"1\"}\n")
	f.Add("[{\"CallSid\":\"1\"},\n{\"CallSid\":\"2\"}]")
	f.Add("\ufeff  CallSid=1&Status=ANSWER\r\n\x00\n{")
	d := newTestDecoder(f)
	f.Fuzz(func(t *testing.T, text string) {
		n := 0
		for del, err := range d.DecodeFile("sales", testReceivedAt, strings.NewReader(text)) {
			if n++; n > len(text)+1 {
				t.Fatal("more deliveries than bytes")
			}
			if err == nil && (len(del.Items) == 0 || del.UID == "" || len(del.Body) == 0) {
				t.Fatalf("delivery is %+v", del)
			}
		}
	})
}
