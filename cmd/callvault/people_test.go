package main

import (
	"bytes"
	"database/sql"
	"encoding/csv"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault/internal/config"
	"callvault/internal/simulator"

	"github.com/google/go-cmp/cmp"
)

// apiCalls are the calls of an answer, as far as these tests look.
type apiCalls struct {
	Calls []struct {
		CallKey string `json:"call_key"`
		Group   string
		State   string
		Agent   struct{ ID, Name, Number string }
	}
}

// who is each call with its agent and group, sorted.
func (a apiCalls) who() []string {
	var all []string
	for _, c := range a.Calls {
		all = append(all, fmt.Sprintf("%s: %s/%s/%s in %s", c.CallKey, c.Agent.Name, c.Agent.ID, c.Agent.Number, c.Group))
	}
	slices.Sort(all)
	return all
}

// TestPeople: agents who are added to the configuration name the calls that are
// there already, on all accounts, for searches, live calls, groups and reports.
func TestPeople(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		in := install(t, s, anySize(), "reports: [{name: daily, formats: [csv]}]\n")
		p := in.start(t)
		yesterday := time.Now().In(time.FixedZone("IST", 19800)).AddDate(0, 0, -1)
		at := time.Date(yesterday.Year(), yesterday.Month(), yesterday.Day(), 10, 0, 0, 0, yesterday.Location())
		p.post("support", supportToken, fmt.Sprintf(`{"type":"cdr","direction":"inbound","status":"answered","cmiuuid":"g1","appid":2222223,
			"user":"203_2222223","to":919800000203,"from":919812345678,"virtual_number":914440051100,"time":%d,"answeredsec":60,"team":"Help_2222223"}`, at.UnixMilli()))
		p.post("sales", salesToken, fmt.Sprintf(`{"type":"call_report","CallSid":"1.1","Status":"ANSWER","Direction":"IVR","SourceNumber":"09812345678","DestinationNumber":"08045671100",
			"DialWhomNumber":"09311122233","receiver_name":"Asha R.","StartTime":"%s 11:00:00","EndTime":"%[1]s 11:02:00","TalkDuration":"90","LegB_Picked_time":"%[1]s 11:00:30"}`, at.Format(time.DateOnly)))
		p.post("sales", salesToken, fmt.Sprintf(`{"type":"call_report","CallSid":"1.2","Status":"ANSWER","Direction":"IVR","SourceNumber":"09812345679","DestinationNumber":"08045671100",
			"DialWhomNumber":"09800000001","StartTime":"%s 12:00:00","EndTime":"%[1]s 12:02:00","TalkDuration":"30","LegB_Picked_time":"%[1]s 12:00:30"}`, at.Format(time.DateOnly)))
		p.post("support", supportToken, fmt.Sprintf(`{"type":"event","direction":"outbound","leg":"a","status":"started","call_id":"c1","cmiuuid":"a1","app_id":2222223,
			"user":"203_2222223","to":"919812345678","time":%d}`, time.Now().UnixMilli()))
		token := commandJSON[map[string]string](t, "token", "add", "all", "--role", "viewer", "--data", in.data)["token"]
		billing := commandJSON[map[string]string](t, "token", "add", "team", "--role", "viewer", "--group", "Billing", "--data", in.data)["token"]
		ask := func(token, query string) []string {
			t.Helper()
			return get[apiCalls](t, p.url+"/api/v1/"+query, token).who()
		}
		want := []string{"1.1: Asha R.//+919311122233 in ", "1.2: //+919800000001 in ", "g1: /203/+919800000203 in Help"}
		if diff := cmp.Diff(want, ask(token, "calls")); diff != "" {
			t.Fatal(diff)
		}
		if got := ask(billing, "calls"); got != nil {
			t.Errorf("billing sees %v", got)
		}
		p.stop(syscall.SIGTERM)

		file := filepath.Join(in.data, config.FileName)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, `agents: [{name: Asha Rao, group: Billing, telecmi: ["203"], names: [asha r.]}, {name: Nobody Yet}]`...)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		p = in.start(t)
		asha := []string{"1.1: Asha Rao//+919311122233 in Billing", "g1: Asha Rao/203/+919800000203 in Help"}
		for query, want := range map[string][]string{
			"calls?agent=" + url.QueryEscape("asha rao"): asha,
			"calls?q=Ash":         asha,
			"calls?agent=203":     asha[1:],
			"calls?group=Billing": asha[:1],
			"calls?agent=nobody":  nil,
			"live":                {"c1: Asha Rao/203/ in Billing"},
		} {
			if diff := cmp.Diff(want, ask(token, query)); diff != "" {
				t.Errorf("%s: %s", query, diff)
			}
		}
		// Who is limited to the group sees the calls that are of no other.
		if diff := cmp.Diff(asha[:1], ask(billing, "calls")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"c1: Asha Rao/203/ in Billing"}, ask(billing, "live")); diff != "" {
			t.Error(diff)
		}
		out := t.TempDir()
		commandJSON[map[string]any](t, "report", "daily", "--date", at.Format(time.DateOnly), "--out", out, "--data", in.data)
		agents, err := filepath.Glob(filepath.Join(out, "*-agents.csv"))
		if err != nil || len(agents) != 1 {
			t.Fatal(agents, err)
		}
		table, err := os.ReadFile(agents[0])
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(string(table))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, row := range rows[1:] {
			got = append(got, strings.Join(row[:6], "|"))
		}
		if diff := cmp.Diff([]string{
			"1|Asha Rao|203|+919800000203|sales, support|Billing",
			"2|||+919800000001|sales|",
			"3|Nobody Yet||||",
		}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestMembers: CallerDesk's list of members names agents of whom reports give
// but the number; a list that cannot be read any more takes no name away.
func TestMembers(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		const authCode = "an-authcode-that-nobody-knows"
		in := install(t, s, simulator.NewServer(simulator.ServerOptions{AuthCode: authCode}), "")
		file := filepath.Join(in.data, config.FileName)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.Replace(text, []byte("provider: callerdesk,"), []byte(`provider: callerdesk, authcode: `+authCode+`, api_url: "`+in.provider.URL+`/api",`), 1)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		p := in.start(t)
		who := simulator.Agents()[2]
		p.post("sales", salesToken, fmt.Sprintf(`{"type":"call_report","CallSid":"1.1","Status":"ANSWER","Direction":"IVR","SourceNumber":"09812345678",
			"DialWhomNumber":"0%s","StartTime":"2026-11-20 11:00:00","EndTime":"2026-11-20 11:02:00","TalkDuration":"90"}`, who.Number[3:]))
		token := commandJSON[map[string]string](t, "token", "add", "all", "--role", "viewer", "--data", in.data)["token"]
		want := []string{fmt.Sprintf("1.1: %s//%s in ", who.Name, who.Number)}
		eventually(t, "the member's name", func() bool {
			return cmp.Equal(want, get[apiCalls](t, p.url+"/api/v1/calls", token).who())
		})
		if got := get[apiCalls](t, p.url+"/api/v1/calls?agent="+url.QueryEscape(who.Name), token).who(); !cmp.Equal(want, got) {
			t.Errorf("found are %v", got)
		}
		p.stop(syscall.SIGTERM)
		in.provider.Close()
		// Nobody has asked for a minute.
		ask := s.sql(t, in.data)
		if _, err := ask.ExecContext(t.Context(), "UPDATE member_lists SET asked_at = 0"); err != nil {
			t.Fatal(err)
		}
		again := in.start(t)
		eventually(t, "a word that the list cannot be read", func() bool { return strings.Contains(again.log(), "the names of before stay") })
		if got := get[apiCalls](t, again.url+"/api/v1/calls", token).who(); !cmp.Equal(want, got) {
			t.Errorf("calls are %v", got)
		}
		again.stop(syscall.SIGTERM)
		for _, log := range []string{p.log(), again.log()} {
			if strings.Contains(log, authCode) || strings.Contains(log, who.Name) || strings.Contains(log, "not for anybody") {
				t.Errorf("the log says too much:\n%s", log)
			}
		}
	})
}

// sql opens the database beside the program.
func (s storage) sql(t *testing.T, data string) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", s.dsn
	if dsn == "" {
		driver, dsn = "sqlite", filepath.Join(data, databaseFile)
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
