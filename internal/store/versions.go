package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file notes since when which version of the program has been reading what
// comes, which decides whether a difference is a fault, and compares it with what
// the log says of it.

// BeginVersion notes that this version of the program reads what comes from now
// on, if another did last, and returns since when it has. The log tells of it.
func (s *Store) BeginVersion(ctx context.Context, version string) (since time.Time, err error) {
	actor := audit.ActorOf(ctx)
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		since = time.Time{}
		var told audit.Action
		_, err := t.one(ctx, "SELECT action FROM audit_entries WHERE action IN (?, ?) AND action <> 'recording.archived' ORDER BY seq DESC LIMIT 1",
			[]any{string(audit.VersionBegun), string(audit.DatabaseRebuilt)}, &told)
		if err != nil {
			return err
		}
		f := audit.VersionFacts{Version: version}
		last := ""
		err = t.each(ctx, "SELECT version, since_at FROM program_versions ORDER BY since_at", nil, func(r row) error {
			var before audit.VersionSince
			err := r.Scan(&before.Version, timeInto{&before.Since})
			f.Earlier = append(f.Earlier, before)
			last, since = before.Version, before.Since
			return err
		})
		if err != nil || told == audit.VersionBegun && len(f.Earlier) > 0 && last == version {
			return err
		}
		if len(f.Earlier) == 0 || last != version {
			// After the others, also where a clock was set back.
			after := since.UnixMilli() + 1
			_, err = t.one(ctx, `INSERT INTO program_versions (version, since_at) VALUES (?, CASE WHEN {now} > ? THEN {now} ELSE ? END)
				ON CONFLICT (version) DO UPDATE SET since_at = excluded.since_at RETURNING since_at`, []any{version, after, after}, timeInto{&since})
			if err != nil {
				return err
			}
		}
		if f.Since = since; told == audit.VersionBegun {
			f.Earlier = nil // of which the log tells
		}
		e, err := audit.New(audit.VersionBegun, "", f)
		if err != nil {
			return err
		}
		e.Actor = actor
		return t.audit(ctx, e)
	})
	if err != nil {
		return since, fmt.Errorf("note the program's version: %w", err)
	}
	return since, nil
}

// VersionSince is since when this version of the program has been reading what
// comes: zero if no other ever did, or nobody can tell; now if another did last.
func (s *Store) VersionSince(ctx context.Context, version string) (since time.Time, err error) {
	n := 0
	err = s.each(ctx, "SELECT version, since_at FROM program_versions ORDER BY since_at", nil, func(rows *sql.Rows) error {
		var v string
		var at time.Time
		n++
		if err := rows.Scan(&v, timeInto{&at}); err != nil {
			since = time.Time{}
			return passOver(rows, err) // the check of the log names it
		}
		if since = at; v != version {
			since = time.Now()
		} else if n == 1 {
			since = time.Time{}
		}
		return nil
	})
	if err != nil {
		return since, fmt.Errorf("read the program's versions: %w", err)
	}
	return since, nil
}

// versions compares what is noted of the program's versions with what the log
// tells since it tells of any, and since all was read again by a rebuild.
func (c *logChecker) versions(ctx context.Context) error {
	const where = "log/versions"
	c.checked.Where = append(c.checked.Where, where)
	noted, told := map[string]int64{}, map[string]int64{}
	isTold, what := false, ""
	// By one statement, for a version may begin just now.
	err := c.each(ctx, `SELECT -1 AS seq, version AS name, '' AS facts, since_at FROM program_versions
		UNION ALL SELECT seq, action, facts, 0 FROM audit_entries WHERE action IN (?, ?) AND action <> 'recording.archived' AND seq >= 0 ORDER BY 1`,
		[]any{string(audit.VersionBegun), string(audit.DatabaseRebuilt)}, func(rows *sql.Rows) error {
			var seq, since int64
			var name, facts string
			var f audit.VersionFacts
			err := rows.Scan(&seq, &name, &facts, &since)
			switch {
			case call.AsUnreadable(unreadable(rows, err)) != nil:
				what, err = "since when a version of the program has been reading what comes cannot be read any more", nil
			case err != nil:
			case seq < 0:
				noted[name] = since
			case audit.Action(name) == audit.DatabaseRebuilt:
				isTold = false
			case json.Unmarshal([]byte(facts), &f) != nil: // it is named as an entry
			default:
				if !isTold {
					clear(told)
				}
				isTold = true
				for _, v := range f.Earlier {
					told[v.Version] = v.Since.UnixMilli()
				}
				told[f.Version] = f.Since.UnixMilli()
			}
			return err
		})
	if err != nil {
		return err
	}
	if what == "" && isTold {
		what = differentVersion(noted, told)
	}
	if what != "" {
		c.fault(call.FaultLog, where, "%s", what)
	}
	return nil
}

// differentVersion says of which version something else is noted than the log
// tells, if it is.
func differentVersion(noted, told map[string]int64) string {
	for _, name := range slices.Sorted(maps.Keys(told)) {
		switch at, is := noted[name]; {
		case !is:
			return fmt.Sprintf("the log tells that version %q of the program began to read what comes, and its row is gone", name)
		case at != told[name]:
			return fmt.Sprintf("since when version %q of the program has been reading what comes is not what the log told", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(noted)) {
		if _, is := told[name]; !is {
			return fmt.Sprintf("the log does not tell that version %q of the program began to read what comes", name)
		}
	}
	return ""
}
