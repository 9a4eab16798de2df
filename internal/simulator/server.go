package simulator

import (
	"crypto/subtle"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// ServerOptions say what a Server serves, and to whom.
type ServerOptions struct {
	// AppID and Secret are what TeleCMI's download address asks for.
	AppID  int
	Secret string
	// AuthCode is what CallerDesk's API asks for.
	AuthCode string
	// Recordings are those of one or several Days, Listed their rows of the
	// call lists.
	Recordings []Recording
	Listed     []ListRow
	// AnySize, when over 0, serves a recording of so many bytes (one fewer if
	// odd) under every other name too, which costs no computing: for
	// benchmarks. At 0 other names are answered as the providers do.
	AnySize int64
}

// Server serves recordings as the providers do, with their faults: CallerDesk
// at /incoming/…, /outgoing/… and /0/… to whoever has the address, TeleCMI at
// /v2/play to whoever has the secret, who is told of errors in JSON under
// status 200. It answers the call lists of both, CallerDesk's at
// /…/call_list_v2 and TeleCMI's at /v2/answered and so on, with their faults
// as well. Safe for concurrent use.
type Server struct {
	options    ServerOptions
	recordings map[string]Recording
	sounds     sounds
	mux        *http.ServeMux

	mu    sync.Mutex
	tries map[string]int
}

// NewServer makes a Server. It listens nowhere by itself.
func NewServer(options ServerOptions) *Server {
	s := &Server{
		options:    options,
		recordings: make(map[string]Recording, len(options.Recordings)),
		tries:      make(map[string]int),
		mux:        http.NewServeMux(),
	}
	for _, r := range options.Recordings {
		s.recordings[r.Source] = r
	}
	s.mux.HandleFunc("GET /v2/play", s.play)
	s.mux.HandleFunc("POST /{version}/getmemberlist_V2", s.memberList)
	s.mux.HandleFunc("GET /incoming/", s.callerDesk)
	s.mux.HandleFunc("GET /outgoing/", s.callerDesk)
	s.mux.HandleFunc("GET /0/", s.callerDesk)
	s.mux.HandleFunc("POST /{version}/"+listCalls, s.deskList)
	for _, list := range []string{listAnswered, listMissed, listOutAnswered, listOutMissed, listVoicemail} {
		s.mux.HandleFunc("POST /v2/"+list, s.cmiList(list))
	}
	return s
}

// ServeHTTP answers one request for a recording or a list.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mux.ServeHTTP(w, r)
}

// play is TeleCMI's download: all errors have status 200.
func (s *Server) play(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	appID, secret, file := query.Get("appid"), query.Get("secret"), query.Get("file")
	switch {
	case appID == "" || secret == "" || file == "":
		writeBody(w, http.StatusOK, "application/json", `{"code":404,"error":true,"msg":"Parameter missing"}`)
		return
	case appID != strconv.Itoa(s.options.AppID),
		subtle.ConstantTimeCompare([]byte(secret), []byte(s.options.Secret)) != 1:
		writeBody(w, http.StatusOK, "application/json", `{"code":407,"error":true,"msg":"Authentication Failed"}`)
		return
	}
	recording, ready := s.take(file)
	if !ready {
		writeBody(w, http.StatusOK, "application/json", `{"code":502,"msg":"Internal Server Error"}`)
		return
	}
	s.serve(w, recording)
}

// callerDesk is CallerDesk's download: open to whoever has the address.
func (s *Server) callerDesk(w http.ResponseWriter, r *http.Request) {
	recording, ready := s.take(r.URL.Path)
	switch {
	case !ready:
		writeBody(w, http.StatusNotFound, "text/html", errorPage("404 Not Found"))
	case recording.ErrorPage != "":
		writeBody(w, http.StatusOK, recording.ErrorPage, errorPage("This site is temporarily unavailable"))
	default:
		s.serve(w, recording)
	}
}

// take finds a recording and counts the try; ready is false as long as the
// provider does not have it.
func (s *Server) take(source string) (recording Recording, ready bool) {
	recording, known := s.recordings[source]
	if !known {
		if s.options.AnySize <= 0 || strings.HasSuffix(source, "/") {
			return Recording{}, false
		}
		return sizedRecording(source, s.options.AnySize), true
	}
	if recording.Later == 0 {
		return recording, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tries[source] < recording.Later {
		s.tries[source]++
		return recording, false
	}
	return recording, true
}

func (s *Server) serve(w http.ResponseWriter, recording Recording) {
	w.Header().Set("Content-Type", mediaTypeSent(recording))
	w.Header().Set("Content-Length", strconv.FormatInt(recording.Size(), 10))
	w.WriteHeader(http.StatusOK)
	if err := s.sounds.write(w, recording); err != nil {
		// The caller has gone. Nothing else can go wrong, and the connection
		// is of no more use.
		panic(http.ErrAbortHandler)
	}
}

// mediaTypeSent is what the host says about the file, which goes by its name
// and not by what is in it.
func mediaTypeSent(r Recording) string {
	if strings.HasSuffix(r.Source, ".mp3") {
		return "audio/mpeg"
	}
	return "audio/x-wav"
}

func errorPage(title string) string {
	return "<!DOCTYPE html>\n<html><head><title>" + title + "</title></head>\n" +
		"<body><center><h1>" + title + "</h1></center><hr><center>nginx</center></body></html>\n"
}

func writeBody(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if _, err := io.WriteString(w, body); err != nil {
		panic(http.ErrAbortHandler)
	}
}
