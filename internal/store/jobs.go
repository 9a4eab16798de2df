package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"callvault/internal/call"
)

// ScheduleJob makes a job due at a time, unless it is due earlier already.
func (s *Store) ScheduleJob(ctx context.Context, name string, at time.Time) error {
	_, err := s.update(ctx, `INSERT INTO retention_jobs (name, next_at) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at
		WHERE retention_jobs.next_at IS NULL OR retention_jobs.next_at > excluded.next_at`, name, at.UnixMilli())
	if err != nil {
		return fmt.Errorf("schedule job %s: %w", name, err)
	}
	return nil
}

// ClaimJob takes a job that nobody is at, for as long as the lease holds, by
// the database's clock; with due only if its time has come. The lease token is
// empty for those who do not get it.
func (s *Store) ClaimJob(ctx context.Context, name string, due bool, lease time.Duration) (leaseToken string, err error) {
	token := newID()
	when := ""
	if due {
		when = " AND retention_jobs.next_at <= {now}"
	}
	n, err := s.update(ctx, `INSERT INTO retention_jobs (name, lease_token, lease_until, started_at)
		VALUES (?, ?, {now} + CAST(? AS BIGINT), {now})
		ON CONFLICT (name) DO UPDATE SET lease_token = excluded.lease_token, lease_until = excluded.lease_until, started_at = excluded.started_at
		WHERE (retention_jobs.lease_until IS NULL OR retention_jobs.lease_until <= {now})`+when,
		name, token, lease.Milliseconds())
	if err != nil {
		return "", fmt.Errorf("claim job %s: %w", name, err)
	}
	if n == 0 {
		return "", nil
	}
	return token, nil
}

// RenewJob lets the lease of a job hold for lease from now on; a call.Conflict
// error says that another has taken the job.
func (s *Store) RenewJob(ctx context.Context, name, leaseToken string, lease time.Duration) error {
	n, err := s.update(ctx, "UPDATE retention_jobs SET lease_until = {now} + ? WHERE name = ? AND lease_token = ?",
		lease.Milliseconds(), name, leaseToken)
	if err != nil {
		return fmt.Errorf("renew the lease of job %s: %w", name, err)
	}
	if n == 0 {
		return call.Errorf(call.Conflict, "another node has taken job %s: the lease was lost", name)
	}
	return nil
}

// EndJob keeps what a claimed job came to, as JSON, and says when it is due
// again; the zero time leaves that as it is. A loser of the lease changes
// nothing.
func (s *Store) EndJob(ctx context.Context, name, leaseToken string, result []byte, next time.Time) error {
	_, err := s.update(ctx, `UPDATE retention_jobs SET lease_token = NULL, lease_until = NULL, ended_at = {now}, result = ?,
			next_at = coalesce(CAST(? AS BIGINT), next_at)
		WHERE name = ? AND lease_token = ?`, string(result), millis(next), name, leaseToken)
	if err != nil {
		return fmt.Errorf("end job %s: %w", name, err)
	}
	return nil
}

// JobRun returns how a job stands; of one that never was, the zero JobRun.
func (s *Store) JobRun(ctx context.Context, name string) (call.JobRun, error) {
	var run call.JobRun
	var result string
	err := s.each(ctx, `SELECT CASE WHEN lease_until > {now} THEN started_at END, next_at, ended_at, result, rules, rules_since
		FROM retention_jobs WHERE name = ?`, []any{name}, func(rows *sql.Rows) error {
		return rows.Scan(timeInto{&run.RunningSince}, timeInto{&run.NextAt}, timeInto{&run.EndedAt}, &result, &run.Rules, timeInto{&run.RulesSince})
	})
	if err != nil {
		return run, fmt.Errorf("read job %s: %w", name, err)
	}
	if result != "" {
		run.Result = []byte(result)
	}
	return run, nil
}

// NoteRules remembers by which rules a job goes, and returns since when they
// have been these.
func (s *Store) NoteRules(ctx context.Context, name, rules string) (since time.Time, err error) {
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.one(ctx, `INSERT INTO retention_jobs (name, rules, rules_since) VALUES (?, ?, {now})
			ON CONFLICT (name) DO UPDATE SET rules = excluded.rules,
				rules_since = CASE WHEN retention_jobs.rules = excluded.rules AND retention_jobs.rules_since IS NOT NULL
					THEN retention_jobs.rules_since ELSE excluded.rules_since END
			RETURNING rules_since`, []any{name, rules}, timeInto{&since})
		return err
	})
	if err != nil {
		return since, fmt.Errorf("note the rules of job %s: %w", name, err)
	}
	return since, nil
}
