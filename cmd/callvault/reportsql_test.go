package main

import (
	"bytes"
	"database/sql"
	"encoding/csv"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"
	"callvault/reports"
)

// reportedDay is the day whose report is computed again, 21 November 2026 in
// Kolkata, in Unix milliseconds: India has had one offset since 1945.
const (
	reportedDay = 1_795_199_400_000
	dayLength   = 86_400_000
	istOffset   = 19_800_000
)

// fillCalls writes made-up calls of the four weeks up to the reported day,
// straight into the table.
func fillCalls(t *testing.T, db *sql.DB, postgres bool) {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 21))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	const columns = `id, account, provider, call_key, key_kind, direction, outcome, status, customer_number, business_number,
		agent_id, agent_name, agent_number, offers, group_name, campaign, started_at, wait_seconds, talk_seconds,
		hangup_cause, hangup_by, cost, legs_count, customer_rev`
	marks := make([]string, 24)
	for i := range marks {
		marks[i] = "?"
		if postgres {
			marks[i] = fmt.Sprintf("$%d", i+1)
		}
	}
	insert := "INSERT INTO calls (" + columns + ") VALUES (" + strings.Join(marks, ", ") + ")"
	outcomes := call.Outcomes()
	for i := range 4000 {
		day := int64(0)
		if i >= 3000 {
			day = []int64{1, 7, 14, 21, 28}[rng.IntN(5)]
		}
		outcome := outcomes[rng.IntN(len(outcomes))]
		if rng.IntN(2) == 0 {
			outcome = call.Answered
		}
		var wait, talk any
		if rng.IntN(4) > 0 {
			wait = rng.IntN(45) - 1 // one in 45 is −1: not known
		}
		if outcome == call.Answered && rng.IntN(10) > 0 {
			talk = rng.IntN(900)
			if rng.IntN(50) == 0 {
				talk = 14_000 + rng.IntN(2000)
			}
		}
		campaign := pick("", "spring", "autumn")
		if rng.IntN(10) == 0 {
			campaign = fmt.Sprint("click-", i)
		}
		agent := rng.IntN(9) // 0: nobody
		number := ""
		if agent > 0 {
			number = fmt.Sprintf("+91930000000%d", agent)
		}
		customer := fmt.Sprintf("+91980000%04d", rng.IntN(1500))
		reversed := []byte(strings.TrimPrefix(customer, "+"))
		slices.Reverse(reversed)
		_, err := tx.ExecContext(t.Context(), insert, fmt.Sprintf("call-%05d", i), pick("sales", "support", "sales"), "callerdesk", fmt.Sprint(i), "call",
			pick("inbound", "inbound", "outbound", ""), string(outcome), "", customer, pick("", "+911204567890", "+911204567891"),
			"", "", number, "", pick("", "Sales", "Billing", "Help"), campaign,
			reportedDay-day*dayLength+rng.Int64N(dayLength), wait, talk, "", "", pick("", "0.25", "1", "free", "2.5"), 1, string(reversed))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// plainMeasures are the measures in SQL, each as what it says.
func plainMeasures() string {
	all := wholeMeasures
	for _, side := range []string{"inbound", "outbound"} {
		of := "direction = '" + side + "' AND "
		for _, outcome := range []string{"missed", "voicemail", "busy", "rejected", "failed", "abandoned", "cancelled"} {
			all += ", count(CASE WHEN " + of + "outcome = '" + outcome + "' THEN 1 END) AS " + side + "_outcome_" + outcome
		}
		all += ", count(CASE WHEN " + of + "outcome = 'unknown' THEN 1 END) AS " + side + "_unknown" +
			", coalesce(sum(CASE WHEN " + of + "outcome = 'answered' THEN talk_seconds END), 0) AS " + side + "_talk_total_seconds" +
			", avg(CASE WHEN " + of + "outcome = 'answered' THEN 1.0 * talk_seconds END) AS " + side + "_aht_seconds" +
			", max(CASE WHEN " + of + "outcome = 'answered' THEN talk_seconds END) AS " + side + "_talk_longest_seconds" +
			", count(CASE WHEN " + of + "outcome = 'answered' THEN 1 END) AS " + side + "_recordings_not_named" +
			", sum(CASE WHEN " + of + "outcome <> 'unknown' AND cost IN ('0.25', '1', '2.5') THEN CAST(cost AS NUMERIC) END) AS " + side + "_cost"
	}
	return all
}

const wholeMeasures = `
	count(CASE WHEN outcome <> 'unknown' THEN 1 END) AS calls,
	count(CASE WHEN direction = 'inbound' AND outcome <> 'unknown' THEN 1 END) AS offered,
	count(CASE WHEN direction = 'inbound' AND outcome = 'answered' THEN 1 END) AS answered,
	count(CASE WHEN direction = 'inbound' AND outcome IN ('missed', 'busy', 'rejected', 'voicemail', 'failed') THEN 1 END) AS missed,
	count(CASE WHEN direction = 'inbound' AND outcome IN ('abandoned', 'cancelled') THEN 1 END) AS abandoned,
	count(CASE WHEN direction = 'inbound' AND outcome IN ('abandoned', 'cancelled') AND wait_seconds BETWEEN 0 AND 5 THEN 1 END) AS short_abandons,
	count(CASE WHEN direction = 'inbound' AND outcome = 'answered' AND wait_seconds BETWEEN 0 AND 20 THEN 1 END) AS in_time,
	count(CASE WHEN direction = 'inbound' AND outcome = 'answered' AND wait_seconds >= 0 THEN 1 END) AS judged,
	avg(CASE WHEN direction = 'inbound' AND outcome = 'answered' AND wait_seconds >= 0 THEN 1.0 * wait_seconds END) AS asa_seconds,
	avg(CASE WHEN direction = 'inbound' AND outcome IN ('abandoned', 'cancelled') AND wait_seconds >= 0 THEN 1.0 * wait_seconds END) AS abandon_wait_seconds,
	count(CASE WHEN direction = 'outbound' AND outcome <> 'unknown' THEN 1 END) AS outbound,
	count(CASE WHEN direction = 'outbound' AND outcome = 'answered' THEN 1 END) AS connected,
	count(CASE WHEN outcome = 'unknown' THEN 1 END) AS unknown,
	coalesce(sum(CASE WHEN outcome = 'answered' THEN talk_seconds END), 0) AS talk_total_seconds,
	avg(CASE WHEN outcome = 'answered' THEN 1.0 * talk_seconds END) AS aht_seconds,
	max(CASE WHEN outcome = 'answered' THEN talk_seconds END) AS talk_longest_seconds,
	sum(CASE WHEN outcome <> 'unknown' AND cost IN ('0.25', '1', '2.5') THEN CAST(cost AS NUMERIC) END) AS cost,
	count(CASE WHEN direction = 'inbound' AND outcome = 'answered' AND wait_seconds >= 0 THEN 1 END) AS asa_known,
	count(CASE WHEN direction = 'inbound' AND outcome IN ('abandoned', 'cancelled') AND wait_seconds >= 0 THEN 1 END) AS abandon_wait_known,
	count(CASE WHEN outcome = 'answered' THEN 1 END) AS answered_total,
	count(CASE WHEN outcome IN ('missed', 'busy', 'rejected', 'voicemail', 'failed') THEN 1 END) AS missed_total,
	count(CASE WHEN outcome IN ('abandoned', 'cancelled') THEN 1 END) AS abandoned_total,
	count(CASE WHEN direction = 'outbound' AND outcome IN ('missed', 'busy', 'rejected', 'voicemail', 'failed') THEN 1 END) AS outbound_missed,
	count(CASE WHEN direction = 'outbound' AND outcome IN ('abandoned', 'cancelled') THEN 1 END) AS outbound_abandoned`

// sliceMeasures are the names of the measures that tables of groups and the like
// have, as far as SQL computes them.
func sliceMeasures() []string {
	all := []string{"calls", "offered", "answered", "missed", "abandoned", "short_abandons", "answer_rate", "abandonment_rate",
		"service_level", "service_level_judged", "asa_seconds", "abandon_wait_seconds", "outbound", "connected", "connect_rate", "unknown",
		"unique_callers", "repeat_callers", "not_returned", "returned", "asa_known", "abandon_wait_known",
		"answered_total", "missed_total", "abandoned_total", "outbound_missed", "outbound_abandoned"}
	for _, side := range []string{"", "inbound_", "outbound_"} {
		for _, name := range []string{"talk_total_seconds", "aht_seconds", "talk_median_seconds", "talk_p90_seconds", "talk_longest_seconds", "cost"} {
			all = append(all, side+name)
		}
	}
	for _, side := range []string{"inbound_", "outbound_"} {
		for _, name := range []string{"outcome_missed", "outcome_voicemail", "outcome_busy", "outcome_rejected", "outcome_failed",
			"outcome_abandoned", "outcome_cancelled", "unknown", "recordings_not_named"} {
			all = append(all, side+name)
		}
	}
	return all
}

// plain is a row of figures by their names; what is NULL is not there.
type plain map[string]float64

func (p plain) ratio(name string, a, b float64) {
	if b != 0 {
		p[name] = a / b
	}
}

// query computes the measures of each value of an SQL expression.
func query(t *testing.T, db *sql.DB, key, where string) map[string]plain {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT "+key+" AS k,"+plainMeasures()+" FROM calls WHERE "+where+" GROUP BY k")
	if err != nil {
		t.Fatal(err)
	}
	found := scanPlain(t, rows)
	for _, p := range found {
		p.ratio("answer_rate", p["answered"], p["offered"]-p["short_abandons"])
		p.ratio("abandonment_rate", p["abandoned"]-p["short_abandons"], p["offered"]-p["short_abandons"])
		p.ratio("connect_rate", p["connected"], p["outbound"])
		p.ratio("service_level_judged", p["judged"], p["answered"])
		if 2*p["judged"] >= p["answered"] {
			p.ratio("service_level", p["in_time"], p["offered"]-p["short_abandons"]-(p["answered"]-p["judged"]))
		}
	}
	// Percentiles by rank.
	for side, of := range map[string]string{"": "", "inbound_": " AND direction = 'inbound'", "outbound_": " AND direction = 'outbound'"} {
		rows, err = db.QueryContext(t.Context(), `SELECT k,
				avg(CASE WHEN place = (n + 1) / 2 OR place = n / 2 + 1 THEN 1.0 * talk END) AS `+side+`talk_median_seconds,
				min(CASE WHEN 100 * place >= 90 * n THEN talk END) AS `+side+`talk_p90_seconds
			FROM (SELECT `+key+` AS k, talk_seconds AS talk, count(*) OVER (PARTITION BY `+key+`) AS n,
				row_number() OVER (PARTITION BY `+key+` ORDER BY talk_seconds) AS place
				FROM calls WHERE outcome = 'answered' AND talk_seconds IS NOT NULL`+of+` AND `+where+`) AS talks GROUP BY k`)
		if err != nil {
			t.Fatal(err)
		}
		for k, p := range scanPlain(t, rows) {
			maps.Copy(found[k], p)
		}
	}
	for _, p := range found {
		p["unique_callers"], p["repeat_callers"], p["not_returned"], p["returned"] = 0, 0, 0, 0
	}
	// Customers, and where those called last whom nobody answered.
	for _, query := range []string{
		`SELECT k, count(*) AS unique_callers, count(CASE WHEN n > 1 THEN 1 END) AS repeat_callers
			FROM (SELECT ` + key + ` AS k, customer_number, count(*) AS n FROM calls
				WHERE direction = 'inbound' AND outcome <> 'unknown' AND ` + where + ` GROUP BY 1, 2) AS customers GROUP BY k`,
		`SELECT k, count(CASE WHEN back = 0 THEN 1 END) AS not_returned, count(CASE WHEN back > 0 THEN 1 END) AS returned
			FROM (SELECT ` + key + ` AS k, (SELECT count(*) FROM calls AS a WHERE a.customer_rev = c.customer_rev
					AND a.outcome = 'answered' AND a.started_at > c.started_at) AS back
				FROM calls AS c WHERE direction = 'inbound' AND outcome NOT IN ('answered', 'unknown') AND ` + where + `
				AND NOT EXISTS (SELECT 1 FROM calls AS l WHERE l.customer_rev = c.customer_rev AND l.direction = 'inbound'
					AND l.outcome NOT IN ('answered', 'unknown') AND (l.started_at > c.started_at OR l.started_at = c.started_at AND l.id > c.id)
					AND l.started_at < ` + fmt.Sprint(reportedDay+dayLength) + `)) AS missed GROUP BY k`,
	} {
		if rows, err = db.QueryContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
		for k, p := range scanPlain(t, rows) {
			if found[k] != nil {
				maps.Copy(found[k], p)
			}
		}
	}
	return found
}

func scanPlain(t *testing.T, rows *sql.Rows) map[string]plain {
	t.Helper()
	defer func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]plain)
	for rows.Next() {
		var key string
		values := make([]sql.NullFloat64, len(columns)-1)
		into := []any{&key}
		for i := range values {
			into = append(into, &values[i])
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		p := make(plain)
		for i, v := range values {
			if v.Valid {
				p[columns[i+1]] = v.Float64
			}
		}
		found[key] = p
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// compareFigure compares a figure of a report with the plain one.
func compareFigure(t *testing.T, where, name, got string, want plain) {
	t.Helper()
	v, known := want[name]
	if !known {
		if got != "n/a" {
			t.Errorf("%s, %s: %s, and SQL has none", where, name, got)
		}
		return
	}
	n, err := strconv.ParseFloat(got, 64)
	if err != nil || math.Abs(n-v) > 0.0006 {
		t.Errorf("%s, %s: %s, and SQL has %v", where, name, got, v)
	}
}

// TestMeasuresAgainstSQL: plain SQL computes the measures again, and has the same,
// on both databases.
func TestMeasuresAgainstSQL(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) (store.Options, string, string){
		"SQLite": func(t *testing.T) (store.Options, string, string) {
			path := filepath.Join(t.TempDir(), "callvault.db")
			return store.Options{Path: path}, "sqlite", path
		},
		"PostgreSQL": func(t *testing.T) (store.Options, string, string) {
			dsn := testenv.Postgres(t)
			return store.Options{DSN: dsn}, "pgx", dsn
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options, driver, source := open(t)
			s, err := store.Open(t.Context(), options)
			if err != nil {
				t.Fatal(err)
			}
			db, err := sql.Open(driver, source)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			fillCalls(t, db, driver == "pgx")
			measuresAgainstSQL(t, s, db)
		})
	}
}

func measuresAgainstSQL(t *testing.T, s *store.Store, db *sql.DB) {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r, err := reports.New(reports.Options{Store: s, SpoolDir: dir, Mail: reports.MailOptions{Dir: dir}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Reports: []reports.Report{{Name: "daily", Schedule: "0 7 * * *", Zone: zone, Period: reports.Day, Formats: []reports.Format{reports.CSV},
			ServiceLevel: reports.ServiceLevel{Formula: reports.OfOffered, Within: 20 * time.Second, ShortAbandon: 5 * time.Second}}}})
	if err != nil {
		t.Fatal(err)
	}
	table := func(name reports.Table) (rows []map[string]string) {
		var out bytes.Buffer
		if err := r.WriteTable(t.Context(), "daily", time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), name, reports.TableCSV, &out); err != nil {
			t.Fatal(err)
		}
		records, err := csv.NewReader(&out).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range records[1:] {
			row := make(map[string]string)
			for i, column := range records[0] {
				row[column] = strings.TrimPrefix(record[i], "'")
			}
			rows = append(rows, row)
		}
		return rows
	}
	between := func(from, to int64) string { return fmt.Sprintf("started_at >= %d AND started_at < %d", from, to) }
	today := between(reportedDay, reportedDay+dayLength)

	// Groups, numbers, campaigns, accounts.
	for name, key := range map[reports.Table]string{
		reports.GroupsTable: "group_name", reports.NumbersTable: "business_number", reports.AccountsTable: "account",
		reports.CampaignsTable: "CASE WHEN campaign LIKE 'click-%' THEN 'others' ELSE campaign END",
	} {
		want := query(t, db, key, today)
		rows := table(name)
		if len(rows) != len(want) || len(rows) < 2 {
			t.Errorf("%s: %d rows, SQL has %d", name, len(rows), len(want))
		}
		for _, row := range rows {
			k := row[map[reports.Table]string{reports.GroupsTable: "group", reports.NumbersTable: "business_number",
				reports.AccountsTable: "account", reports.CampaignsTable: "campaign"}[name]]
			if row["others"] != "0" {
				k = "others"
			}
			for _, measure := range sliceMeasures() {
				compareFigure(t, string(name)+" "+k, measure, row[measure], want[k])
			}
		}
	}

	// Agents, and the hours of the day.
	agents := query(t, db, "agent_number", today+" AND agent_number <> '' AND direction <> ''")
	for _, row := range table(reports.AgentsTable) {
		want := agents[row["agent_number"]]
		for shown, measure := range map[string]string{"answered": "answered", "outbound": "outbound", "connected": "connected", "wait_mean_seconds": "asa_seconds"} {
			compareFigure(t, "agent "+row["agent_number"], measure, row[shown], want)
		}
		all := query(t, db, "agent_number", today+" AND agent_number = '"+row["agent_number"]+"'")[row["agent_number"]]
		for _, measure := range sliceMeasures() {
			// What an agent is offered, and answers of it, is counted by the rings.
			if measure != "offered" && measure != "answer_rate" {
				compareFigure(t, "all of agent "+row["agent_number"], measure, row[measure], all)
			}
		}
	}
	ofWeek := query(t, db, fmt.Sprintf("CAST((started_at + %d) / 3600000 %% 24 AS TEXT)", istOffset), today)
	for _, row := range table(reports.WeekdayHoursTable) {
		for _, measure := range sliceMeasures() {
			compareFigure(t, row["weekday"]+" "+row["hour"], measure, row[measure], ofWeek[row["hour"]])
		}
	}
	hours := query(t, db, fmt.Sprintf("CAST((started_at + %d) / 3600000 %% 24 AS TEXT)", istOffset), today+" AND direction <> ''")
	for _, row := range table(reports.HoursTable) {
		want := hours[row["hour"]]
		for shown, measure := range map[string]string{"inbound_calls": "offered", "inbound_answered": "answered", "inbound_missed": "missed",
			"inbound_abandoned": "abandoned", "inbound_answer_rate": "answer_rate", "inbound_asa": "asa_seconds", "outbound_calls": "outbound",
			"outbound_answered": "connected", "total_talk_total": "talk_total_seconds"} {
			compareFigure(t, "hour "+row["hour"], measure, row[shown], want)
		}
	}

	// The whole, the day before, and the four Saturdays.
	var saturdays []string
	for _, week := range []int64{1, 2, 3, 4} {
		saturdays = append(saturdays, "("+between(reportedDay-7*week*dayLength, reportedDay-(7*week-1)*dayLength)+")")
	}
	all := func(where string) plain { return query(t, db, "'all'", where)["all"] }
	whole, before, usual := all(today), all(between(reportedDay-dayLength, reportedDay)), all("("+strings.Join(saturdays, " OR ")+")")
	for _, name := range []string{"offered", "outbound"} {
		usual[name] /= 4
	}
	sqlNames := map[string]string{"calls inbound": "offered", "answered inbound": "answered", "missed inbound": "missed", "abandoned inbound": "abandoned",
		"answer_rate inbound": "answer_rate", "abandonment_rate inbound": "abandonment_rate", "service_level inbound": "service_level",
		"asa inbound": "asa_seconds", "abandon_wait inbound": "abandon_wait_seconds", "calls outbound": "outbound", "connect_rate outbound": "connect_rate",
		"talk_total total": "talk_total_seconds", "aht total": "aht_seconds", "talk_median total": "talk_median_seconds", "talk_p90 total": "talk_p90_seconds",
		"talk_longest total": "talk_longest_seconds", "calls total": "calls", "cost total": "cost"}
	compared := 0
	for _, row := range table(reports.SummaryTable) {
		want := map[string]plain{"Calls": whole, "Rates": whole, "Waiting": whole, "Talking": whole, "Cost": whole, "Previous": before, "Mean of four before": usual}[row["section"]]
		if measure := sqlNames[row["measure"]+" "+row["direction"]]; measure != "" && want != nil {
			compareFigure(t, row["section"], measure, row["value"], want)
			compared++
		}
		if row["section"] == "Days" && row["measure"] == "calls" && row["direction"] == "inbound" && row["value"] != "n/a" {
			from, err := time.Parse(time.RFC3339, row["period_from"])
			if err != nil {
				t.Fatal(err)
			}
			compareFigure(t, row["period_from"], "offered", row["value"], plain{"offered": all(between(from.UnixMilli(), from.UnixMilli()+dayLength))["offered"]})
		}
		if row["measure"] == "unique_callers" {
			var n float64
			if err := db.QueryRowContext(t.Context(), "SELECT count(DISTINCT customer_number) FROM calls WHERE direction = 'inbound' AND outcome <> 'unknown' AND "+today).Scan(&n); err != nil {
				t.Fatal(err)
			}
			compareFigure(t, "customers", "unique", row["value"], plain{"unique": n})
			compared++
		}
	}
	if compared < 2*8+len(sqlNames) {
		t.Errorf("only %d figures of the summary were compared", compared)
	}
}
