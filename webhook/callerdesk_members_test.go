package webhook

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"callvault/internal/call"
	"callvault/internal/simulator"

	"github.com/google/go-cmp/cmp"
)

const membersCode = "authcode+with/signs"

// readMembers reads the list of a server that answers each page so.
func readMembers(t *testing.T, handler http.Handler) ([]call.Member, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	list, err := NewMemberList(ListAccount{Name: "sales", APIURL: server.URL + "/api", AuthCode: membersCode, AllowPrivateNetworks: true}, "IN")
	if err != nil {
		t.Fatal(err)
	}
	return list.Read(t.Context())
}

// pages answers with one text after the other, and then with the last again.
func pages(t *testing.T, texts ...string) http.Handler {
	t.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := 0
		if _, err := fmt.Sscan(r.URL.Query().Get("current_page"), &n); err != nil || n < 1 {
			t.Error("page", n, err)
		}
		if r.Method != http.MethodPost || r.URL.Path != "/api/getmemberlist_V2" || r.PostFormValue("authcode") != membersCode || strings.Contains(r.URL.RawQuery, "authcode") {
			t.Errorf("%s %s with %v", r.Method, r.URL, r.PostForm)
		}
		_, _ = w.Write([]byte(texts[min(n, len(texts))-1]))
	})
}

func TestMemberList(t *testing.T) {
	t.Parallel()
	asha := call.Member{Account: "sales", Number: "+919311122233", Name: "Asha Rao"}
	ravi := call.Member{Account: "sales", Number: "+919820012345", Name: "Ravi"}
	const ashaRow, raviRow = `{"member_id":"1","member_name":" Asha Rao ","member_num":"09311122233","password":"x"}`, `{"name":"Ravi","mobile":9820012345}`
	for name, tt := range map[string]struct {
		pages []string
		want  []call.Member
	}{
		"as seen":                      {[]string{`{"type":"success","getmember":[` + ashaRow + `],"total_record":1}`}, []call.Member{asha}},
		"other spellings":              {[]string{`{"result":[` + raviRow + `],"total":"1"}`}, []call.Member{ravi}},
		"two pages":                    {[]string{`{"getmember":[` + ashaRow + `],"total_record":2}`, `{"getmember":[` + raviRow + `],"total_record":2}`}, []call.Member{asha, ravi}},
		"all on each page":             {[]string{`{"getmember":[` + ashaRow + `,` + raviRow + `]}`}, []call.Member{asha, ravi}},
		"a total that is never met":    {[]string{`{"getmember":[` + ashaRow + `],"total_record":99}`}, []call.Member{asha}},
		"an empty page ends it":        {[]string{`{"getmember":[` + ashaRow + `]}`, `{"getmember":[]}`}, []call.Member{asha}},
		"and so does an error that is": {[]string{`{"getmember":[` + ashaRow + `]}`, `{"type":"error","message":"No Record Found"}`}, []call.Member{asha}},
		"nobody":                       {[]string{`{"type":"error","message":"No members found"}`}, nil},
		"what says nothing":            {[]string{`{"getmember":[{"member_name":"","member_num":"1"},{"member_name":"X","member_num":"NA"},{},[],7,` + raviRow + `]}`}, []call.Member{ravi}},
		"one number twice":             {[]string{`{"getmember":[` + ashaRow + `,{"member_name":"Other","member_num":"+91 93111 22233"}]}`}, []call.Member{asha}},
	} {
		got, err := readMembers(t, pages(t, tt.pages...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestMemberListFails(t *testing.T) {
	t.Parallel()
	endless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"getmember":[{"name":"N","number":"98%s0000"}]}`, r.URL.Query().Get("current_page"))
	})
	crowd := `{"getmember":[`
	for i := range maxMembers + 1 {
		crowd += fmt.Sprintf(`{"name":"N","number":"9%09d"},`, i)
	}
	crowd = strings.TrimSuffix(crowd, ",") + `]}`
	for name, tt := range map[string]struct {
		handler http.Handler
		want    string
	}{
		"wrong code":    {pages(t, `{"type":"error","message":"Invalid Auth Code!"}`), "page 1: the provider answered: Invalid Auth Code!"},
		"quotes it":     {pages(t, `{"type":"error","message":"no user for `+membersCode+`"}`), "page 1: the provider answered: (its message quotes the credentials)"},
		"a page":        {pages(t, `<html>`), "page 1: the provider answered a web page"},
		"another shape": {pages(t, `{"type":"success"}`), "page 1: the provider answered JSON of another form"},
		"broken":        {pages(t, `{"getmember":[`), "page 1: the provider answered no JSON"},
		"nothing":       {pages(t, ``), "page 1: the provider answered nothing"},
		"fails later":   {pages(t, `{"getmember":[{"name":"N","number":"9800000001"}]}`, `{"type":"error","message":"oops"}`), "page 2: the provider answered: oops"},
		"status":        {http.NotFoundHandler(), "page 1: the provider answered 404 Not Found"},
		"endless":       {endless, "the list does not end after 100 pages"},
		"crowd":         {pages(t, crowd), "the list has more than 5000 members"},
		"too large":     {pages(t, `{"a":"`+strings.Repeat("x", maxAnswer)+`"}`), "page 1: a page is larger than 4194304 bytes"},
	} {
		got, err := readMembers(t, tt.handler)
		if err == nil || err.Error() != tt.want || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "no url", "http://app.callerdesk.io/api"} {
		list, err := NewMemberList(ListAccount{Name: "sales", APIURL: bad, AuthCode: membersCode}, "IN")
		if err == nil {
			_, err = list.Read(t.Context()) // http is not allowed
		}
		if err == nil || strings.Contains(err.Error(), membersCode) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// The simulator's office is read as CallerDesk's would be.
func TestMemberListOfTheSimulator(t *testing.T) {
	t.Parallel()
	got, err := readMembers(t, simulator.NewServer(simulator.ServerOptions{AuthCode: membersCode}))
	if err != nil {
		t.Fatal(err)
	}
	var want []call.Member
	for _, a := range simulator.Agents() {
		want = append(want, call.Member{Account: "sales", Number: a.Number, Name: a.Name})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := readMembers(t, simulator.NewServer(simulator.ServerOptions{AuthCode: "another"})); err == nil || !strings.Contains(err.Error(), "Invalid Auth Code!") {
		t.Error(err)
	}
}
