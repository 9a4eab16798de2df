package simulator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ListRow is a row of a provider's call list: what its API tells of a call,
// whether or not the reports of it arrived.
type ListRow struct {
	Account string
	// List is TeleCMI's answered, missed, out_answered, out_missed or voicemail,
	// or CallerDesk's call_list_v2.
	List string
	// At is when the row says that the call was, Day its day in the provider's
	// zone.
	At  time.Time
	Day string
	Row []byte
}

// The lists.
const (
	listCalls       = "call_list_v2"
	listAnswered    = "answered"
	listMissed      = "missed"
	listOutAnswered = "out_answered"
	listOutMissed   = "out_missed"
	listVoicemail   = "voicemail"
)

func (b *builder) list(account, list string, at time.Time, row fields) {
	b.day.Listed = append(b.day.Listed, ListRow{
		Account: account, List: list, At: at, Day: at.In(b.Zone).Format(time.DateOnly), Row: row.json(),
	})
}

// listDesk lists a call as CallerDesk's call_list_v2 does.
func (b *builder) listDesk(c deskCall) {
	const never = "0000-00-00 00:00:00"
	plain := deskCall{}
	number := func(e164 string) string {
		if e164 == "" {
			return ""
		}
		return "0" + strings.TrimPrefix(e164, "+91")
	}
	result, ringing, group := "No Answer", 0, ""
	if c.outcome == answered {
		result, ringing = "Answered", int(c.picked.Sub(c.rung)/time.Second)
	}
	if c.direction == inbound && c.agent.Name != "" {
		group = c.group
	}
	file := c.recordingURL
	if file == "" {
		file = "No recorded File"
	}
	b.list(b.CallerDesk, listCalls, c.started, fields{
		{"id", strconv.Itoa(len(b.day.Listed) + 1)},
		{"sid_id", c.callSid},
		{"file", file},
		{"deskphone", number(c.business)},
		{"caller_name", ""},
		{"is_contact", "0"},
		{"member_name", c.agent.Name},
		{"caller_num", number(c.customer)},
		{"coin_deducted", strconv.Itoa(int(c.ended.Sub(c.started)/time.Minute) + 1)},
		{"member_num", number(c.agent.Number)},
		{"call_date", c.started.Format(time.DateOnly)},
		{"startdatetime", plain.time(c.started, never)},
		{"enddatetime", plain.time(c.ended, never)},
		{"total_duration", wholeSeconds(c.ended.Sub(c.started))},
		{"talk_duration", wholeSeconds(c.talk)},
		{"ringing_duration", ringing},
		{"callresult", result},
		{"callstatus", c.status},
		{"group_name", group},
		{"LegA_Picked_time", plain.time(c.legA, never)},
		{"LegB_Start_time", plain.time(c.rung, never)},
		{"LegB_Picked_time", plain.time(c.picked, never)},
		{"Flow_type", deskDirection(c.direction)},
	})
}

// listedID is the id of a row: that of the leg, unless the day's lists have ids
// of their own.
func (b *builder) listedID(uuid string) string {
	if !b.OtherIDs {
		return uuid
	}
	return "list-" + strings.ReplaceAll(uuid, "-", "")
}

// listCMI lists a call as TeleCMI does; leg is the one that it lists, at its
// `time`.
func (b *builder) listCMI(truth Conversation, leg string, at time.Time) {
	list := map[string]string{
		inbound + answered: listAnswered, inbound: listMissed, outbound + answered: listOutAnswered, outbound: listOutMissed,
	}
	row := fields{{"cmiuid", b.listedID(leg)}, {"time", at.UnixMilli()}, {"rate", 1}, {"name", "unknown"}}
	if truth.Direction == inbound {
		row = append(row, fields{{"from", number(truth.Customer)}, {"to", number(truth.Business)}}...)
	} else {
		row = append(row, fields{{"from", b.user(truth.Agent)}, {"to", number(truth.Customer)}}...)
	}
	if truth.Outcome != answered {
		b.list(b.TeleCMI, list[truth.Direction], at, row)
		if truth.Voicemail {
			b.list(b.TeleCMI, listVoicemail, at, fields{
				{"time", at.UnixMilli()}, {"from", number(truth.Customer)}, {"voicename", b.day.Recordings[truth.Recording].Source},
			})
		}
		return
	}
	seconds := int(truth.Talk / time.Second)
	row = append(row, fields{
		{"agent", b.user(truth.Agent)}, {"duration", seconds}, {"billedsec", (seconds + 59) / 60 * 60}, {"record", "true"},
	}...)
	if truth.Recording >= 0 {
		row = append(row, field{"filename", b.day.Recordings[truth.Recording].Source})
	}
	b.list(b.TeleCMI, list[truth.Direction+answered], at, row)
}

// lose takes a share of the reports out of the events, each with its
// duplicates. Where the lists have ids of their own, whole calls are lost: what
// remained of one could not be told from another.
func (b *builder) lose() {
	if b.Lost <= 0 {
		return
	}
	dice := newDice(b.Seed+1, b.midnight) // the day is the same without
	lost := map[string]bool{}
	for i, c := range b.day.Conversations {
		if b.OtherIDs && dice.chance(b.Lost) {
			lost[strconv.Itoa(i)+c.Account] = true
		}
	}
	for _, e := range b.day.Events {
		if !b.OtherIDs && e.Kind == Report && dice.chance(b.Lost) {
			lost[string(e.Body)+e.Query] = true
		}
	}
	b.day.Events = slices.DeleteFunc(b.day.Events, func(e Event) bool {
		gone := lost[strconv.Itoa(e.Conversation)+e.Account] || lost[string(e.Body)+e.Query] && e.Kind != Live && e.Kind != NotACall
		if gone {
			b.day.Lost = append(b.day.Lost, e)
		}
		return gone
	})
}

// What the providers' APIs are like.
const (
	cmiListPage       = 10 // whatever limit is asked for
	cmiVoicemailPage  = 7
	deskListPage      = 25 // at most
	cmiNotFound       = `{"code":404,"error":true,"msg":"Parameter missing"}`
	cmiRefused        = `{"code":407,"error":true,"msg":"Authentication Failed"}`
	deskRefused       = `{"type":"error","message":"Invalid Auth Code!"}`
	deskNothing       = `{"type":"error","message":"No Record Found!"}`
	maxListQuestion   = 64 << 10
	deskListMediaType = "text/html; charset=UTF-8"
)

// deskList is CallerDesk's call_list_v2.
func (s *Server) deskList(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxListQuestion)
	if s.options.AuthCode == "" || r.PostFormValue("authcode") != s.options.AuthCode {
		writeBody(w, http.StatusOK, deskListMediaType, deskRefused)
		return
	}
	from, to := r.PostFormValue("start_date"), r.PostFormValue("end_date")
	rows := s.listed(func(l ListRow) bool { return l.List == listCalls && l.Day >= from && l.Day <= to })
	if len(rows) == 0 {
		writeBody(w, http.StatusOK, deskListMediaType, deskNothing)
		return
	}
	size, err := strconv.Atoi(r.PostFormValue("per_page"))
	if err != nil || size < 1 || size > deskListPage {
		size = deskListPage
	}
	page, err := strconv.Atoi(r.PostFormValue("current_page"))
	if err != nil {
		page = 1
	}
	writeBody(w, http.StatusOK, "application/json", `{"type":"success","result":[`+strings.Join(pageOf(rows, page, size), ",")+
		`],"current_page":`+strconv.Itoa(page)+`,"total":"`+strconv.Itoa(len(rows))+`"}`)
}

// cmiList is one of TeleCMI's lists: errors have status 200, too.
func (s *Server) cmiList(list string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			AppID  json.Number `json:"appid"`
			Secret string      `json:"secret"`
			From   int64       `json:"start_date"`
			To     int64       `json:"end_date"`
			Page   int         `json:"page"`
		}
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxListQuestion)).Decode(&q)
		switch {
		case err != nil || q.From == 0 || q.To == 0:
			writeBody(w, http.StatusOK, "application/json", cmiNotFound)
			return
		case q.AppID.String() != strconv.Itoa(s.options.AppID) || q.Secret != s.options.Secret:
			writeBody(w, http.StatusOK, "application/json", cmiRefused)
			return
		}
		rows := s.listed(func(l ListRow) bool {
			return l.List == list && l.At.UnixMilli() >= q.From && l.At.UnixMilli() <= q.To
		})
		name, size := "cdr", cmiListPage
		if list == listVoicemail {
			name, size = listVoicemail, cmiVoicemailPage
		}
		writeBody(w, http.StatusOK, "application/json", `{"count":`+strconv.Itoa(len(rows))+`,"`+name+`":[`+
			strings.Join(pageOf(rows, q.Page, size), ",")+`],"code":200}`)
	}
}

// listed are the rows that are wanted, the newest first.
func (s *Server) listed(wanted func(ListRow) bool) []string {
	var found []ListRow
	for _, l := range s.options.Listed {
		if wanted(l) {
			found = append(found, l)
		}
	}
	slices.SortStableFunc(found, func(a, b ListRow) int { return b.At.Compare(a.At) })
	rows := make([]string, len(found))
	for i, l := range found {
		rows[i] = string(l.Row)
	}
	return rows
}

func pageOf(rows []string, page, size int) []string {
	first := max(page-1, 0) * size
	if first >= len(rows) {
		return nil
	}
	return rows[first:min(first+size, len(rows))]
}
