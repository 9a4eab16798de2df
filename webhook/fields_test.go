package webhook

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"callvault/internal/call"
)

func TestParseTime(t *testing.T) {
	t.Parallel()
	want := time.Date(2024, 12, 30, 7, 13, 19, 0, time.UTC)
	for _, s := range []string{"2024-12-30 12:43:19", "2024-12-30  12:43:19", "2024-12-30n12:43:19", "2024-12-30T12:43:19",
		"2024-12-30\\n12:43:19", "2024-12-30+12:43:19", "2024/12/30 12:43:19", "2024-12-30 12:43:19.0004", "2024-12-30T07:13:19Z",
		"2024-12-30T12:43:19+05:30", "2024-12-30 12:43:19 +0530", "1735542799", "1735542799000", "1735542799000000",
		"1735542799000000000", "1735542799.0", "1.735542799e12", "1735542799000.0"} {
		if got := parseTime(s, testZone); !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s: %v", s, got)
		}
	}
	if got := parseTime("1735542799.1239", nil); !got.Equal(want.Add(123*time.Millisecond)) && !got.Equal(want.Add(124*time.Millisecond)) {
		t.Errorf("fraction of seconds: %v", got)
	}
	for _, s := range []string{"", "0", "0000-00-00 00:00:00", "NA", "2024-12-30", "2024-13-30 12:43:19", "2024-12-30 25:43:19",
		"1999-12-30 12:43:19", "2100-12-30 12:43:19", "-1735542799", "NaN", "Infinity12", "1e300000000", "0x1p30000000",
		"2024-12-30 12:43:19 or so", "99999999999999999999", "          "} {
		if got := parseTime(s, testZone); !got.IsZero() {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestParseSeconds(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int{"26": 26, "0": 0, "26.9": 26, "00:00:39": 39, "01:01:01": 3661} {
		if got, ok := parseSeconds(s); !ok || got != want {
			t.Errorf("%s: %d %t", s, got, ok)
		}
	}
	for _, s := range []string{"", "-1", "NaN", "1e9", "x", "1:2", "a:b:c", "999:00:00"} {
		if got, ok := parseSeconds(s); ok {
			t.Errorf("%s: %d", s, got)
		}
	}
}

func TestPhones(t *testing.T) {
	t.Parallel()
	tests := []struct {
		raw        string
		worldFirst bool
		want       string
	}{
		{"09812345678", false, "+919812345678"},
		{"9812345678", false, "+919812345678"},
		{"919812345678", false, "+919812345678"},
		{"+91 98123-45678", false, "+919812345678"},
		{"+442071838750", false, "+442071838750"},
		{"442071838750", true, "+442071838750"},
		{"919812345678", true, "+919812345678"},
		{"9812345678", true, "+919812345678"},
		{"919812345678.0", true, "+919812345678"},
		{"9.19812345678e11", true, "+919812345678"},
		{"204", true, "204"},
		{"001-234", false, "001234"},
		{"", false, ""}, {"0", true, ""}, {"unknown", false, ""}, {"not available", false, ""}, {"anonymous", false, ""},
	}
	for _, tt := range tests {
		p := newPhones("IN", tt.worldFirst)
		for range 2 { // parsed, then remembered
			if got := p.normalize(tt.raw); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.raw, got, tt.want)
			}
		}
	}
	if got := newPhones("", false).normalize("9812345678"); got != "9812345678" {
		t.Errorf("without a region: %s", got)
	}
}

// TestPhonesBounded: the memory of numbers does not grow without end, and what
// is asked for again and again stays.
func TestPhonesBounded(t *testing.T) {
	t.Parallel()
	p := newPhones("", false)
	for i := range 3 * phonesKept {
		p.normalize(string(rune('a'+i%26)) + time.Duration(i).String())
		p.normalize("204")
	}
	if n := len(p.young) + len(p.old); n > 2*phonesKept {
		t.Errorf("%d numbers remembered", n)
	}
	if p.young["204"] == "" && p.old["204"] == "" {
		t.Error("a number that is asked for all the time was forgotten")
	}
}

// TestWrongTypes: what has another type than documented is read as far as it
// makes sense.
func TestWrongTypes(t *testing.T) {
	t.Parallel()
	c := oneCall(t, "sales", `{"CallSid":8397472,"Direction":["IVR"],"Status":{"a":"b"},"TalkDuration":40,"EndTime":1672650214,
		"receiver_name":true,"call_group":null,"SourceNumber":9812345678,"coins":1.5}`)
	if c.Key != "8397472" || c.Outcome != call.Answered || c.Status != "" || *c.TalkSeconds != 40 || c.Cost != "1.5" ||
		c.CustomerNumber != "+919812345678" || c.EndedAt.Unix() != 1672650214 || c.Group != "" {
		t.Errorf("%+v", c)
	}
}

// TestPlainNumbers: the short way to a number finds what the long way finds.
func TestPlainNumbers(t *testing.T) {
	t.Parallel()
	if got := plain("9811122233", "IN"); got != "+919811122233" {
		t.Errorf("the short way finds %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		region := rapid.SampledFrom([]string{"IN", "US", "GB", "IT", "RU", "BR", "AE", "MX", "SG", "KZ", ""}).Draw(t, "region")
		digits := rapid.StringMatching(`(0|1|8|91|44|7|971|1204)?[0-9]{7,11}`).Draw(t, "digits")
		if got := plain(digits, region); got != "" {
			if want := valid(digits, region); got != want {
				t.Fatalf("%s in %s: %s, want %s", digits, region, got, want)
			}
		}
		if got := plainWorld(digits); got != "" {
			if want := valid("+"+digits, ""); got != want {
				t.Fatalf("%s: %s, want %s", digits, got, want)
			}
		}
	})
}
