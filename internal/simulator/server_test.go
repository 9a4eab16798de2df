package simulator_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"callvault/internal/simulator"

	"github.com/google/go-cmp/cmp"
)

type answer struct {
	Status int
	Type   string
	Body   string
}

func get(t *testing.T, address string) answer {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if response.ContentLength != int64(len(body)) {
		t.Errorf("Content-Length %d of %d bytes", response.ContentLength, len(body))
	}
	return answer{response.StatusCode, response.Header.Get("Content-Type"), string(body)}
}

func serve(t *testing.T, options simulator.ServerOptions) string {
	t.Helper()
	server := httptest.NewServer(simulator.NewServer(options))
	t.Cleanup(server.Close)
	return server.URL
}

func TestServerOfTeleCMI(t *testing.T) {
	t.Parallel()
	ready := simulator.Recording{Source: "1634720915260737218351_2222223.mp3", Format: simulator.MP3At8kHz, Duration: 30 * time.Second}
	later := simulator.Recording{Source: "1634720915261_1000010414748_203_2222223.wav", Format: simulator.WAVMuLaw, Duration: time.Second, Later: 2}
	base := serve(t, simulator.ServerOptions{
		AppID: 2222223, Secret: "geheim", Recordings: []simulator.Recording{ready, later},
	}) + "/v2/play?"
	credentials := "appid=2222223&secret=geheim&file="

	missing := answer{200, "application/json", `{"code":404,"error":true,"msg":"Parameter missing"}`}
	rejected := answer{200, "application/json", `{"code":407,"error":true,"msg":"Authentication Failed"}`}
	notYet := answer{200, "application/json", `{"code":502,"msg":"Internal Server Error"}`}
	for _, step := range []struct {
		query string
		want  answer
	}{
		{"appid=2222223&secret=geheim", missing},
		{"appid=2222223&file=" + ready.Source, missing},
		{"secret=geheim&file=" + ready.Source, missing},
		{"appid=2222223&secret=wrong&file=" + ready.Source, rejected},
		{"appid=1&secret=geheim&file=" + ready.Source, rejected},
		{credentials + "1634720915260_2222223.mp3", notYet},
		{credentials + ready.Source, answer{200, "audio/mpeg", string(read(t, ready))}},
		{credentials + later.Source, notYet},
		{credentials + later.Source, notYet},
		{credentials + later.Source, answer{200, "audio/x-wav", string(read(t, later))}},
		{credentials + later.Source, answer{200, "audio/x-wav", string(read(t, later))}},
	} {
		if got := get(t, base+step.query); got != step.want {
			t.Errorf("%s: %d %s %.200q, want %d %s %.200q", step.query,
				got.Status, got.Type, got.Body, step.want.Status, step.want.Type, step.want.Body)
		}
	}
}

func TestServerOfCallerDesk(t *testing.T) {
	t.Parallel()
	later := simulator.Recording{Source: "/incoming/11_2026/a.wav", Format: simulator.WAVPCM, Duration: time.Second, Later: 1}
	page := simulator.Recording{Source: "/outgoing/11_2026/b.wav", Duration: time.Second, ErrorPage: "audio/wav"}
	base := serve(t, simulator.ServerOptions{Recordings: []simulator.Recording{later, page}})

	if got := get(t, base+later.Source); got.Status != 404 {
		t.Errorf("the first try gives %d, want 404", got.Status)
	}
	if diff := cmp.Diff(answer{200, "audio/x-wav", string(read(t, later))}, get(t, base+later.Source)); diff != "" {
		t.Errorf("the second try: %s", diff)
	}
	for range 5 {
		if got := get(t, base+page.Source); got.Status != 200 || got.Type != "audio/wav" || !strings.HasPrefix(got.Body, "<!DOCTYPE html>") {
			t.Errorf("the error page is %d %s %.40q", got.Status, got.Type, got.Body)
		}
	}
	for _, path := range []string{"/incoming/11_2026/none.wav", "/outgoing/", "/", "/elsewhere/a.wav"} {
		if got := get(t, base+path); got.Status != 404 {
			t.Errorf("%s gives %d, want 404", path, got.Status)
		}
	}
}

func TestServerOfAnySize(t *testing.T) {
	t.Parallel()
	base := serve(t, simulator.ServerOptions{AppID: 1, Secret: "s", AnySize: 220_000})
	first := get(t, base+"/incoming/11_2026/1.wav")
	second := get(t, base+"/v2/play?appid=1&secret=s&file=1634720915260_1.mp3")
	for _, got := range []answer{first, second} {
		if got.Status != 200 || len(got.Body) < 219_990 || len(got.Body) > 220_000 {
			t.Errorf("%d and %d bytes", got.Status, len(got.Body))
		}
		wavLength(t, []byte(got.Body))
	}
	if first.Body == second.Body {
		t.Error("two recordings are the same")
	}
}

// A whole day can be had, and in the end is just what the day says.
func TestServerServesADay(t *testing.T) {
	t.Parallel()
	day := newDay(t, simulator.Options{Seed: 2, Calls: 60, Later: 2})
	base := serve(t, simulator.ServerOptions{AppID: 2222223, Secret: "s", Recordings: day.Recordings})
	pages := 0
	for _, r := range day.Recordings {
		address := base + r.Source
		if !strings.HasPrefix(r.Source, "/") {
			address = base + "/v2/play?appid=2222223&secret=s&file=" + r.Source
		}
		for range r.Later {
			if early := get(t, address); len(early.Body) > 400 {
				t.Errorf("%s is there too early", r.Source)
			}
		}
		got := get(t, address)
		if r.ErrorPage != "" {
			pages++
			continue
		}
		if !bytes.Equal([]byte(got.Body), read(t, r)) {
			t.Errorf("%s is not what it should be", r.Source)
		}
	}
	if pages != 1 {
		t.Errorf("%d error pages, want 1", pages)
	}
}
