package console_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"

	"github.com/google/go-cmp/cmp"
)

const audioPath = "/api/v1/recordings/rec-1/audio"

func TestAudio(t *testing.T) {
	t.Parallel()
	furnished := newHouse(t)
	whole := furnished.vault.objects["calls/2023/01/02/sales/rec-1.wav"]
	etag := `"` + furnished.store.calls[0].Recordings[0].SHA256 + `"`
	for name, tt := range map[string]struct {
		header []string
		status int
		body   []byte
		rng    string
		opened []int64
	}{
		"whole":          {nil, 200, whole, "", []int64{0}},
		"beginning":      {[]string{"Range", "bytes=0-9"}, 206, whole[:10], "bytes 0-9/100000", []int64{0}},
		"middle":         {[]string{"Range", "bytes=70000-70003"}, 206, whole[70000:70004], "bytes 70000-70003/100000", []int64{70000}},
		"from":           {[]string{"Range", "bytes=99990-"}, 206, whole[99990:], "bytes 99990-99999/100000", []int64{99990}},
		"last":           {[]string{"Range", "bytes=-5"}, 206, whole[99995:], "bytes 99995-99999/100000", []int64{99995}},
		"beyond the end": {[]string{"Range", "bytes=99990-200000"}, 206, whole[99990:], "bytes 99990-99999/100000", []int64{99990}},
		"several":        {[]string{"Range", "bytes=0-1,5-6"}, 200, whole, "", []int64{0}},
		"same":           {[]string{"Range", "bytes=1-2", "If-Range", etag}, 206, whole[1:3], "bytes 1-2/100000", []int64{1}},
		"another":        {[]string{"Range", "bytes=1-2", "If-Range", `"other"`}, 200, whole, "", []int64{0}},
		"known":          {[]string{"If-None-Match", etag}, 304, nil, "", nil},
		"expected other": {[]string{"If-Match", `"other"`}, 412, nil, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			r := h.get(t, audioPath, compliance, tt.header...)
			if r.status != tt.status || !bytes.Equal(r.body, tt.body) || r.header.Get("Content-Range") != tt.rng {
				t.Errorf("status %d, %d bytes, Content-Range %q", r.status, len(r.body), r.header.Get("Content-Range"))
			}
			if r.status < 300 {
				want := map[string]string{"Content-Type": "audio/wav", "ETag": etag, "Accept-Ranges": "bytes",
					"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache", "Content-Disposition": "",
					"Last-Modified": "Mon, 02 Jan 2023 09:04:00 GMT"}
				for name, value := range want {
					if r.header.Get(name) != value {
						t.Errorf("%s is %q, want %q", name, r.header.Get(name), value)
					}
				}
			}
			h.settle()
			if diff := cmp.Diff(tt.opened, h.vault.opened); diff != "" || h.vault.closed != len(tt.opened) {
				t.Errorf("closed %d, opened: %s", h.vault.closed, diff)
			}
		})
	}
}

func TestRangeOutside(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, rng := range []string{"bytes=100000-", "bytes=5-4", "lines=1-2", "bytes=x"} {
		r := h.get(t, audioPath, compliance, "Range", rng)
		r.wantError(t, http.StatusRequestedRangeNotSatisfiable, call.Invalid)
		if r.header.Get("ETag") != "" || strings.HasPrefix(rng, "bytes=1000") && r.header.Get("Content-Range") != "bytes */100000" {
			t.Errorf("%s: header %v", rng, r.header)
		}
	}
	if len(h.vault.opened) != 0 {
		t.Error("the vault was opened")
	}
}

func TestAudioHead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.do(t, http.MethodHead, audioPath, compliance)
	if r.status != 200 || r.header.Get("Content-Length") != "100000" || len(h.vault.opened) != 0 {
		t.Errorf("status %d, Content-Length %s, opened %v", r.status, r.header.Get("Content-Length"), h.vault.opened)
	}
}

func TestDownload(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*call.CallDetail){
		`attachment; filename=sales-20230102T090230Z-5678.wav`:           func(*call.CallDetail) {},
		`attachment; filename=sales-20230102T090230Z-voicemail-5678.wav`: func(c *call.CallDetail) { c.Recordings[0].Kind = call.VoicemailMessage },
		`attachment; filename=sales-5678.wav`:                            func(c *call.CallDetail) { c.StartedAt = time.Time{} },
		`attachment; filename=sales-20230102T090230Z.wav`:                func(c *call.CallDetail) { c.CustomerNumber = "+139" },
		`attachment; filename=_a_b_-20230102T090230Z-5678.wav`:           func(c *call.CallDetail) { c.Recordings[0].Account = "../a\r\nb\"ü" },
	} {
		h := newHouse(t)
		change(&h.store.calls[0])
		r := h.get(t, audioPath+"?download=1", admin)
		if got := r.header.Get("Content-Disposition"); r.status != 200 || got != want {
			t.Errorf("status %d, Content-Disposition %q, want %q", r.status, got, want)
		}
	}
}

func TestStrangeContentIsNotDisplayed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.get(t, "/api/v1/recordings/rec-strange/audio", compliance)
	if r.status != 200 || r.header.Get("Content-Type") != "application/octet-stream" || r.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("status %d, header %v", r.status, r.header)
	}
}

func TestVaultWithoutTheObject(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, header := range [][]string{nil, {"Range", "bytes=5-6"}} {
		r := h.get(t, "/api/v1/recordings/rec-lost/audio?download=1", compliance, header...)
		message := r.wantError(t, http.StatusServiceUnavailable, call.Unavailable)
		if strings.Contains(message, "secret-bucket") {
			t.Errorf("message is %q", message)
		}
		for _, name := range []string{"ETag", "Content-Range", "Content-Disposition", "Last-Modified"} {
			if r.header.Get(name) != "" {
				t.Errorf("%s is %q", name, r.header.Get(name))
			}
		}
	}
	if e := h.log.entries(t, "request failed"); len(e) != 2 || !strings.Contains(in[string](t, e[0], "error"), "rec-lost.wav") {
		t.Errorf("the log has %v", e)
	}
}

// deadlines is a connection that notes until when it may stall.
type deadlines struct {
	*httptest.ResponseRecorder
	until []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.until = append(d.until, t)
	return nil
}

// However long the audio, the connection may stall only so long: whatever
// time limit the server has is put off as the listener goes on.
func TestStalledListenersAreCutOff(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest(http.MethodGet, audioPath, nil)
	r.Header.Set("Authorization", "Bearer "+admin)
	begin := time.Now()
	h.handler.ServeHTTP(w, r)
	if w.Body.Len() != audioBytes || len(w.until) < 2 {
		t.Fatalf("%d bytes, deadlines %v", w.Body.Len(), w.until)
	}
	for _, until := range w.until {
		if until.Before(begin.Add(time.Minute)) || until.After(time.Now().Add(time.Minute)) {
			t.Errorf("it may stall until %s", until)
		}
	}
}

// An object that is shorter than the database says is not passed off as whole.
func TestObjectTooShort(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+"/api/v1/recordings/rec-short/audio", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+compliance)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err == nil {
		t.Errorf("%d bytes were read without an error", body.Len())
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if e := h.log.entries(t, "object cut short"); len(e) != 1 || e[0]["error"] != "unexpected EOF" {
		t.Errorf("the log has %v", e)
	}
}
