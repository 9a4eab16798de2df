package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	// teleCMIPage is what a page has, whatever limit is asked for.
	teleCMIPage = 10
	// A voicemail is of the missed call of the same number that began so long
	// before, or a little after: clocks differ.
	voicemailAfter  = 5 * time.Minute
	voicemailBefore = 5 * time.Second
)

// listTeleCMI reads the five lists of the calls from one moment to another. One
// that fails does not keep the others from being read, unless they would fail
// alike.
func listTeleCMI(ctx context.Context, a *asker, from, to time.Time, take func([]listedRow) error) error {
	var failures []error
	var own error // of take
	takeIn := func(rows []listedRow) error {
		own = take(rows)
		return own
	}
	for _, list := range [...]string{listAnswered, listOutAnswered, listOutMissed} {
		err := a.teleCMIList(ctx, list, teleCMIPage, from, to, func(rows []json.RawMessage) error {
			return takeIn(plainRows(list, rows))
		})
		if own != nil || ctx.Err() != nil {
			return errors.Join(own, ctx.Err())
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", list, err))
		}
		if errors.Is(err, errListCredentials) {
			return err
		}
	}
	failures = append(failures, a.missedWithVoicemail(ctx, from, to, takeIn))
	return errors.Join(failures...)
}

func plainRows(list string, rows []json.RawMessage) []listedRow {
	all := make([]listedRow, len(rows))
	for i, row := range rows {
		all[i] = listedRow{list, envelope{CDR: []json.RawMessage{row}}}
	}
	return all
}

// missedWithVoicemail reads the missed calls and joins to each its voicemail,
// whose rows have no id.
func (a *asker) missedWithVoicemail(ctx context.Context, from, to time.Time, take func([]listedRow) error) error {
	var missed, voicemails []json.RawMessage
	gather := func(into *[]json.RawMessage) func([]json.RawMessage) error {
		return func(rows []json.RawMessage) error {
			*into = append(*into, rows...)
			return nil
		}
	}
	missedErr := a.teleCMIList(ctx, listMissed, teleCMIPage, from.Add(-voicemailAfter), to, gather(&missed))
	if missedErr != nil {
		missedErr = fmt.Errorf("%s: %w", listMissed, missedErr)
	}
	var voicemailErr error
	if missedErr == nil {
		if voicemailErr = a.teleCMIList(ctx, listVoicemail, 0, from, to, gather(&voicemails)); voicemailErr != nil {
			voicemailErr = fmt.Errorf("%s: %w", listVoicemail, voicemailErr)
		}
	}
	rows := pairVoicemail(missed, voicemails, from)
	for len(rows) > 0 {
		n := min(len(rows), teleCMIPage)
		if err := take(rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	if missedErr != nil {
		return missedErr
	}
	return voicemailErr
}

// pairVoicemail joins voicemails to the missed calls of the same number that
// are nearest in time. What is of no call stands by itself; calls before from
// are not repeated without their voicemail.
func pairVoicemail(missed, voicemails []json.RawMessage, from time.Time) []listedRow {
	type place struct {
		from string
		at   time.Time
	}
	where := func(raw json.RawMessage) place {
		f, problem := rowFields(raw)
		if problem != "" {
			return place{} // it stays what it is: unreadable
		}
		return place{f.text("from"), f.moment(nil, "time")}
	}
	rows := plainRows(listMissed, missed)
	places := make([]place, len(missed))
	for i, raw := range missed {
		places[i] = where(raw)
	}
	var alone []listedRow
	for _, raw := range voicemails {
		v := where(raw)
		best, apart := -1, time.Duration(0)
		for i, m := range places {
			later := v.at.Sub(m.at)
			if m.from == "" || m.from != v.from || len(rows[i].envelope.Voicemail) > 0 || later < -voicemailBefore || later > voicemailAfter {
				continue
			}
			if best < 0 || later.Abs() < apart {
				best, apart = i, later.Abs()
			}
		}
		if best < 0 {
			alone = append(alone, listedRow{listVoicemail, envelope{Voicemail: []json.RawMessage{raw}}})
			continue
		}
		rows[best].envelope.Voicemail = []json.RawMessage{raw}
	}
	kept := rows[:0]
	for i, row := range rows {
		if places[i].at.IsZero() || !places[i].at.Before(from) || len(row.envelope.Voicemail) > 0 {
			kept = append(kept, row)
		}
	}
	return append(kept, alone...)
}

// teleCMIList reads one list.
func (a *asker) teleCMIList(ctx context.Context, list string, size int, from, to time.Time, take func([]json.RawMessage) error) error {
	return readPages(size, func(page int) (listPage, error) {
		question, err := json.Marshal(map[string]any{
			"appid": json.Number(a.account.AppID), "secret": a.account.Secret,
			"start_date": from.UnixMilli(), "end_date": to.UnixMilli(), "page": page, "limit": teleCMIPage,
		})
		if err != nil {
			return listPage{}, fmt.Errorf("app_id is no number")
		}
		answer, err := a.post(ctx, list, "application/json", question)
		if err != nil {
			return listPage{}, err
		}
		return a.readTeleCMIPage(list, answer)
	}, take)
}

// readTeleCMIPage reads an answer of one of the lists. Errors come as a code in
// an answer with status 200.
func (a *asker) readTeleCMIPage(list string, answer []byte) (listPage, error) {
	var page struct {
		Code      json.RawMessage `json:"code"`
		Msg       any             `json:"msg"`
		Count     json.RawMessage `json:"count"`
		Total     json.RawMessage `json:"total"`
		CDR       json.RawMessage `json:"cdr"`
		Voicemail json.RawMessage `json:"voicemail"`
	}
	if err := json.Unmarshal(answer, &page); err != nil {
		return listPage{}, fmt.Errorf("the provider answered %s", looksLike(answer))
	}
	message, _ := page.Msg.(string)
	code, ok := whole(page.Code)
	switch {
	case !ok:
		return listPage{}, fmt.Errorf("the provider answered %s", looksLike(answer))
	case code == 407 || code == 401:
		return listPage{}, fmt.Errorf("%w: code %d %s", errListCredentials, code, a.message(message))
	case code != 200:
		return listPage{}, fmt.Errorf("the provider answered code %d %s", code, a.message(message))
	}
	rows, total := page.CDR, page.Count
	if list == listVoicemail {
		rows = page.Voicemail
	}
	if len(total) == 0 {
		total = page.Total
	}
	return rowsOf(rows, total)
}
