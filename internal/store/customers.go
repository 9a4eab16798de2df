package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"callvault/internal/call"
)

// onlyInbound limits a filter to inbound calls; ok is false if it excludes
// them, so that it selects nothing.
func onlyInbound(f call.Filter) (_ call.Filter, ok bool) {
	if f.Direction != "" && f.Direction != call.Inbound {
		return f, false
	}
	f.Direction = call.Inbound
	return f, true
}

// CustomerStats counts the distinct customers of the inbound calls that the
// filter selects and that count as offered; calls without a number are left
// out.
func (s *Store) CustomerStats(ctx context.Context, f call.Filter) (call.CustomerStats, error) {
	var stats call.CustomerStats
	f, ok := onlyInbound(f)
	if !ok {
		return stats, nil
	}
	c, err := s.matching(ctx, f)
	if err != nil {
		return stats, err
	}
	c.add("customer_number <> ''")
	c.add("outcome <> 'unknown'")
	err = s.each(ctx, "SELECT count(*), coalesce(sum(CASE WHEN n > 1 THEN 1 ELSE 0 END), 0) FROM (SELECT count(*) AS n FROM calls"+c.where()+" GROUP BY customer_number) AS customers",
		c.args, func(rows *sql.Rows) error { return rows.Scan(&stats.Unique, &stats.Repeat) })
	if err != nil {
		return stats, fmt.Errorf("count customers: %w", err)
	}
	return stats, nil
}

// NotReturned calls f for every customer with an inbound call of the filter
// that nobody answered, with the first answered call after the last of them,
// in either direction and on any account, until asOf. First come those not
// returned, then the others, each by their last attempt.
func (s *Store) NotReturned(ctx context.Context, filter call.Filter, asOf time.Time, f func(call.Missing) error) error {
	filter, ok := onlyInbound(filter)
	if !ok {
		return nil
	}
	c, err := s.matching(ctx, filter)
	if err != nil {
		return err
	}
	c.add("customer_number <> ''")
	c.add("outcome NOT IN ('answered', 'unknown')")
	// The last attempt of each customer says where they called.
	query := `WITH attempts AS (
			SELECT customer_number, customer_rev, started_at, business_number, account, group_name,
				provider, campaign, agent_id, agent_name, agent_number,
				min(started_at) OVER customer AS first_at, count(*) OVER customer AS n,
				row_number() OVER (PARTITION BY customer_number ORDER BY started_at DESC, id DESC) AS place
			FROM calls` + c.where() + ` WINDOW customer AS (PARTITION BY customer_number)
		), missed AS (
			SELECT a.customer_number, a.first_at, a.started_at AS last_at, a.n, a.business_number, a.account, a.group_name,
				a.provider, a.campaign, a.agent_id, a.agent_name, a.agent_number,
				(SELECT r.id FROM calls r WHERE r.customer_rev = a.customer_rev
					AND r.customer_number = a.customer_number AND r.outcome = 'answered'
					AND r.started_at > a.started_at AND r.started_at < ?
					ORDER BY r.started_at, r.id LIMIT 1) AS returned
			FROM attempts a WHERE a.place = 1
		)
		SELECT m.customer_number, m.first_at, m.last_at, m.n, m.business_number, m.account, m.group_name,
			m.provider, m.campaign, m.agent_id, m.agent_name, m.agent_number,
			r.started_at, coalesce(r.account, ''), coalesce(r.provider, ''), coalesce(r.direction, ''),
			coalesce(r.agent_id, ''), coalesce(r.agent_name, ''), coalesce(r.agent_number, '')
		FROM missed m LEFT JOIN calls r ON r.id = m.returned
		ORDER BY CASE WHEN r.started_at IS NULL THEN 0 ELSE 1 END, m.last_at, m.customer_number`
	err = s.each(ctx, query, append(c.args, asOf.UnixMilli()), func(rows *sql.Rows) error {
		var m call.Missing
		err := rows.Scan(&m.Number, timeInto{&m.FirstAt}, timeInto{&m.LastAt}, &m.Attempts, &m.Called, &m.Account, &m.Group,
			&m.Provider, &m.Campaign, &m.Agent.ID, &m.Agent.Name, &m.Agent.Number,
			timeInto{&m.ReturnedAt}, &m.Return.Account, &m.Return.Provider, &m.Return.Direction,
			&m.Return.Agent.ID, &m.Return.Agent.Name, &m.Return.Agent.Number)
		if err != nil {
			return err
		}
		return f(m)
	})
	if err != nil {
		return fmt.Errorf("find missed calls: %w", err)
	}
	return nil
}
