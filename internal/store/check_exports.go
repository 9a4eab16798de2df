package store

import (
	"context"
	"database/sql"
	"encoding/json"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file compares exports with the audit log. How far the work on one is, and
// whether the pieces of a removed one are gone, the log does not tell.

func exportRows(ctx context.Context, s *Store, where string, args ...any) (rows []*loggedRow, err error) {
	err = s.each(ctx, "SELECT "+exportColumns+" FROM exports"+where, args, func(r *sql.Rows) error {
		var e call.Export
		var request, groups string
		fields := exportFields(&e)
		fields[2], fields[3] = &request, &groups // which may be no JSON any more
		if err := r.Scan(fields...); err != nil {
			return err
		}
		row := &loggedRow{id: e.ID}
		rows = append(rows, row)
		if !json.Valid([]byte(request)) || groups != "" && json.Unmarshal([]byte(groups), &e.Groups) != nil {
			row.wrong = "what was asked for cannot be read any more"
			return nil //nolint:nilerr // it is what is wrong with it
		}
		e.Request = json.RawMessage(request)
		entry, err := exportEntry(audit.Actor{}, "", &e)
		if err != nil {
			return err
		}
		row.facts = entry.Facts
		reason, err := json.Marshal(entry.Reason)
		row.set("reason", reason)
		return err
	})
	return rows, err
}

// untoldBefore are the fields of an export of which entries of earlier versions say
// nothing.
func untoldBefore() []string {
	return []string{"asked_by", "groups", "created_at", "finished_at", "remove_at", "piece_size", "prefix"}
}

func checkExportRow(ctx context.Context, s *Store, row *loggedRow, last audit.Entry, differ []string) (string, bool, error) {
	if row.text("reason") != last.Reason {
		return "its row is not what the log told: the reason is another", false, nil
	}
	var told audit.ExportFacts
	if len(differ) == 0 || json.Unmarshal(last.Facts, &told) != nil {
		return "", false, nil //nolint:nilerr // the check of the log names the entry
	}
	var excused []string
	if told.CreatedAt.IsZero() {
		excused = untoldBefore()
	}
	if state := call.ExportState(row.text("state")); last.Action == audit.ExportRequested && (state == call.ExportWaiting || state == call.ExportBuilding) {
		excused = append(excused, "state", "error") // it is being made, or tried again
	}
	if isBlotted(row.field("request"), told.Request) {
		erased, err := s.isErasing(ctx)
		if err != nil {
			return "", false, err
		}
		if erased {
			excused = append(excused, "request")
		}
	}
	return "", only(differ, excused...), nil
}

// isErasing reports whether an erasure was ever begun.
func (s *Store) isErasing(ctx context.Context) (erasing bool, err error) {
	err = s.each(ctx, "SELECT 1 FROM audit_entries WHERE action = ? AND action <> 'recording.archived' LIMIT 1", []any{string(audit.ErasureBegun)}, func(*sql.Rows) error {
		erasing = true
		return nil
	})
	return erasing, err
}

// isBlotted reports whether a text is another but for digits that call.Redactor has
// made unreadable.
func isBlotted(is, was []byte) bool {
	if len(is) != len(was) {
		return false
	}
	for i := range is {
		if is[i] != was[i] && (is[i] != 'x' && is[i] != '1' || was[i] < '0' || was[i] > '9') {
			return false
		}
	}
	return true
}
