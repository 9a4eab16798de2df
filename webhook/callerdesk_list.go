package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// callerDeskPage is how many rows are asked for at a time; more than 25 has not
// been seen to work.
const callerDeskPage = 25

// listCallerDesk reads the calls of the day that begins at from. CallerDesk
// takes dates of the account's zone.
func listCallerDesk(ctx context.Context, a *asker, from time.Time, take func([]listedRow) error) error {
	date := from.Format(time.DateOnly)
	ask := func(page int) (listPage, error) {
		form := url.Values{
			"authcode": {a.account.AuthCode}, "start_date": {date}, "end_date": {date},
			"current_page": {strconv.Itoa(page)}, "per_page": {strconv.Itoa(callerDeskPage)},
		}
		answer, err := a.post(ctx, listCalls, "application/x-www-form-urlencoded", []byte(form.Encode()))
		if err != nil {
			return listPage{}, err
		}
		return a.readCallerDeskPage(answer)
	}
	return readPages(callerDeskPage, ask, func(rows []json.RawMessage) error {
		list := make([]listedRow, len(rows))
		for i, row := range rows {
			list[i] = listedRow{listCalls, envelope{Result: []json.RawMessage{row}}}
		}
		return take(list)
	})
}

// readCallerDeskPage reads an answer of call_list_v2. Errors come with status
// 200, some as text/html; one of them says that there are no calls.
func (a *asker) readCallerDeskPage(answer []byte) (listPage, error) {
	var page struct {
		Type    string          `json:"type"`
		Message any             `json:"message"`
		Result  json.RawMessage `json:"result"`
		Total   json.RawMessage `json:"total"`
	}
	if err := json.Unmarshal(answer, &page); err != nil {
		return listPage{}, fmt.Errorf("the provider answered %s", looksLike(answer))
	}
	message, _ := page.Message.(string)
	switch strings.ToLower(page.Type) {
	case "success":
	case "error":
		switch {
		case isNoRecords(message):
			return listPage{}, nil
		case strings.Contains(strings.ToLower(message), "auth"):
			return listPage{}, fmt.Errorf("%w: %s", errListCredentials, a.message(message))
		}
		return listPage{}, fmt.Errorf("the provider answered: %s", a.message(message))
	default:
		return listPage{}, fmt.Errorf("the provider answered %s", looksLike(answer))
	}
	return rowsOf(page.Result, page.Total)
}

// rowsOf reads the rows of a page and its total.
func rowsOf(rows, total json.RawMessage) (listPage, error) {
	var p listPage
	if n, ok := whole(total); ok {
		p.total = max(n, 0)
	}
	if text := string(rows); text == "" || text == "null" || text == `""` || text == "{}" {
		return p, nil
	}
	if err := json.Unmarshal(rows, &p.rows); err != nil {
		return listPage{}, errors.New("the provider's rows are no list")
	}
	if len(p.rows) > maxPageRows {
		return listPage{}, fmt.Errorf("a page has %d rows", len(p.rows))
	}
	return p, nil
}
