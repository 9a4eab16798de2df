package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file compares the rows of report runs with the log.

// runActions are the actions whose entries tell of a run's row.
func runActions() []audit.Action {
	return []audit.Action{audit.RunBuilt, audit.RunFailed, audit.RunFilesExpiring, audit.RunFilesExpired, audit.RunFilesKept}
}

// lookedAt says in SQL when it was looked whether a run must be revised: 2 at a time
// of the schedule that is still to come, until when nobody looks; 1 since it was
// built; 0 not since then.
const lookedAt = "CASE WHEN looked_at > {now} + 3600000 THEN 2 WHEN looked_at > as_of THEN 1 ELSE 0 END"

// plannedElsewhere says in SQL whether a row tells of something that is put for a run
// where no file of its report lies, or that is another run's: nobody plans such, and
// what was planned gets deleted.
const plannedElsewhere = `CASE WHEN EXISTS (SELECT 1 FROM planned_files p WHERE p.run_id = runs.id
	AND (substr(p.object_key, 1, length(runs.report) + 9) <> 'reports/' || runs.report || '/'
		OR EXISTS (SELECT 1 FROM runs o WHERE o.id <> p.run_id AND replace(o.files, '"' || p.object_key || '"', '') <> o.files))) THEN 1 ELSE 0 END`

// runRows reads runs. Up to which delivery each knows all is written down without a
// word in the log when somebody has looked, and when nobody knows any more: then it
// has no known_deliveries to be compared.
func runRows(ctx context.Context, s *Store, where string, args ...any) ([]*loggedRow, error) {
	type seen struct {
		looked, elsewhere int
		known             int64
	}
	var all []*seen
	entry := runEntry("")
	rows, err := entryRows("SELECT "+runColumns+", "+lookedAt+", "+plannedElsewhere+", known_deliveries FROM runs", func(r row) (audit.Entry, error) {
		is := &seen{}
		all = append(all, is)
		return entry(rowWith{r, []any{&is.looked, &is.elsewhere, &is.known}})
	})(ctx, s, where, args...)
	if err != nil {
		return nil, err
	}
	drawn, err := s.drawnDeliveries(ctx)
	for i, r := range rows {
		if all[i].looked != 0 || all[i].known == 0 {
			r.set("known_deliveries", nil)
		}
		switch {
		case all[i].elsewhere != 0:
			r.wrong = "a row of planned_files says that something is being put for it which is not among the files of its report"
		case all[i].looked == 2:
			r.wrong = "its row says that it was looked at, whether it must be revised, at a time to come"
		case all[i].known > drawn:
			r.wrong = "its row says that it knows of more deliveries than there are"
		}
	}
	return rows, err
}

func checkRunRow(ctx context.Context, s *Store, row *loggedRow, last audit.Entry, differ []string) (string, bool, error) {
	var told audit.RunFacts
	var until time.Time
	if json.Unmarshal(last.Facts, &told) != nil || row.field("retain_until") != nil && json.Unmarshal(row.field("retain_until"), &until) != nil {
		return "", false, nil //nolint:nilerr // the check of the log names the entry
	}
	if until.Before(told.RetainUntil.Truncate(time.Millisecond)) {
		return less(until, told.RetainUntil), false, nil
	}
	differ = slices.DeleteFunc(slices.Clone(differ), func(field string) bool {
		switch field {
		case "known_deliveries":
			return told.KnownDeliveries == nil || row.field(field) == nil
		case "blocked_by", "blocked_until":
			return told.KnownDeliveries == nil // so it is of an earlier version
		}
		return false
	})
	if row.text("state") == string(call.RunBuilding) && only(differ, "state") {
		return "", true, nil // it failed, and is being built again
	}
	if len(differ) > 0 && only(differ, "files", "error") && len(row.field("files")) == 0 {
		erased, err := s.isErased(ctx, call.ErasedReport, row.id)
		return "", erased, err
	}
	return "", len(differ) == 0, nil
}
