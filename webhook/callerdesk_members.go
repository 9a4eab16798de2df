package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"callvault/internal/call"
)

// The bounds of reading a list of members.
const (
	// membersPage is how many are asked for at a time, maxMemberPages how many
	// pages; what CallerDesk gives at most is not documented.
	membersPage    = 100
	maxMemberPages = 100
	// maxMembers bounds a list: more people than this are a mistake.
	maxMembers = 5000
)

// MemberList reads CallerDesk's list of the people of an account
// (getmemberlist_V2): it names those whom reports know by their number only.
type MemberList struct {
	asker  *asker
	phones *phones
}

// NewMemberList makes a MemberList. Region (ISO 3166-1) is that of numbers
// without a country code, as for the account's reports. Its error is a fault of
// the account.
func NewMemberList(a ListAccount, region string) (*MemberList, error) {
	asker, err := newAsker(a, sleep)
	if err != nil {
		return nil, err
	}
	return &MemberList{asker, newPhones(region, false)}, nil
}

// Read asks for the whole list, page by page. Members without a number or a
// name are left out; of two with one number the first counts. Its errors hold
// neither the secret nor what members are called.
func (m *MemberList) Read(ctx context.Context) ([]call.Member, error) {
	defer m.asker.client.CloseIdle()
	var list []call.Member
	seen := map[string]bool{}
	rows := 0
	for page := 1; page <= maxMemberPages; page++ {
		answer, err := m.ask(ctx, page)
		if err != nil {
			return nil, fmt.Errorf("page %d: %w", page, err)
		}
		fresh := false
		for _, f := range answer.rows {
			c := call.Member{
				Account: m.asker.account.Name,
				Number:  m.phones.normalize(firstOf(f, "member_num", "member_number", "member_mobile", "mobile", "number", "phone")),
				Name:    f.word("member_name", "name"),
			}
			if c.Number == "" || c.Name == "" || seen[c.Number] {
				continue
			}
			if len(list) == maxMembers {
				return nil, fmt.Errorf("the list has more than %d members", maxMembers)
			}
			list, seen[c.Number], fresh = append(list, c), true, true
		}
		// A page that brings nothing new is beyond the end, or the only one
		// there is, once more.
		if rows += len(answer.rows); !fresh || rows >= answer.total && answer.total > 0 {
			return list, nil
		}
	}
	return nil, fmt.Errorf("the list does not end after %d pages", maxMemberPages)
}

// memberRows is one page of the list.
type memberRows struct {
	rows []fields
	// total is how many there are on all pages; 0 if that is not said.
	total int
}

func (m *MemberList) ask(ctx context.Context, page int) (memberRows, error) {
	// The page is asked for in the query; the secret has no place there.
	place := url.Values{"current_page": {strconv.Itoa(page)}, "per_page": {strconv.Itoa(membersPage)}}
	form := url.Values{"authcode": {m.asker.account.AuthCode}}
	answer, err := m.asker.post(ctx, "getmemberlist_V2?"+place.Encode(), "application/x-www-form-urlencoded", []byte(form.Encode()))
	if err != nil {
		return memberRows{}, err
	}
	return m.read(answer)
}

// read reads an answer. Errors come with status 200. The list has been seen as
// getmember; others of CallerDesk's lists are in result.
func (m *MemberList) read(body []byte) (memberRows, error) {
	if len(body) == 0 || body[0] != '{' || !json.Valid(body) {
		return memberRows{}, fmt.Errorf("the provider answered %s", looksLike(body))
	}
	answer := members(body)
	message := answer.word("message", "msg")
	if strings.EqualFold(answer.text("type"), "error") {
		if isNoRecords(message) {
			return memberRows{}, nil
		}
		return memberRows{}, fmt.Errorf("the provider answered: %s", m.asker.message(message))
	}
	var raw []json.RawMessage
	found := slices.ContainsFunc([]string{"getmember", "result", "members", "member", "memberlist", "data"}, func(name string) bool {
		return answer.has(name) && json.Unmarshal(answer[name], &raw) == nil
	})
	if !found {
		return memberRows{}, fmt.Errorf("the provider answered %s", looksLike(body))
	}
	var page memberRows
	for _, row := range raw {
		if len(row) > 0 && row[0] == '{' {
			page.rows = append(page.rows, members(row))
		}
	}
	if n, err := strconv.Atoi(firstOf(answer, "total_record", "total")); err == nil {
		page.total = n
	}
	return page, nil
}
