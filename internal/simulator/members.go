package simulator

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strconv"
)

// membersPage is how many members CallerDesk's list has on a page, whatever is
// asked for.
const membersPage = 5

// memberList is CallerDesk's list of the people of the office, with what else
// such a list tells; errors have status 200 and are called text/html.
func (s *Server) memberList(w http.ResponseWriter, r *http.Request) {
	if s.options.AuthCode == "" || subtle.ConstantTimeCompare([]byte(r.PostFormValue("authcode")), []byte(s.options.AuthCode)) != 1 {
		writeBody(w, http.StatusOK, "text/html; charset=UTF-8", `{"type":"error","message":"Invalid Auth Code!"}`)
		return
	}
	page, err := strconv.Atoi(r.FormValue("current_page"))
	if err != nil || page < 1 {
		page = 1
	}
	type member struct {
		ID       string `json:"member_id"`
		Name     string `json:"member_name"`
		Email    string `json:"member_email"`
		Number   string `json:"member_num"`
		Password string `json:"password"`
		Access   string `json:"access"`
		Status   string `json:"status"`
		Type     string `json:"type"`
		Extn     string `json:"agent_extn"`
	}
	all := Agents()
	from := min((page-1)*membersPage, len(all))
	members := []member{}
	for i, a := range all[from:min(from+membersPage, len(all))] {
		members = append(members, member{
			ID: strconv.Itoa(9000 + from + i), Name: a.Name, Number: "0" + a.Number[3:],
			Password: "not for anybody's log", Access: "2", Status: "1", Type: "member", Extn: a.Extension,
		})
	}
	text, err := json.Marshal(map[string]any{"type": "success", "getmember": members, "total_record": len(all)})
	if err != nil { // texts always marshal
		text = []byte(`{"type":"error","message":"Internal"}`)
	}
	writeBody(w, http.StatusOK, "text/html; charset=UTF-8", string(text))
}
