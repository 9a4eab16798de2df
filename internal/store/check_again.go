package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// CheckAgain checks one call, leg, delivery or row that the log tells of, or the
// identifiers that lead to one call, as Fault.Where names it. What is not there any
// more is not among what was looked at, unless it is a row of which the log does not
// say that it should be; nor is what is none of these.
func (s *Store) CheckAgain(ctx context.Context, o call.CheckOptions, where string) (call.Checked, error) {
	kind, name, _ := strings.Cut(where, "/")
	c := newChecker(s, o, call.FaultKind(kind))
	var err error
	switch call.FaultKind(kind) {
	case call.FaultCall:
		var one conditions
		one.add("id = ?", name)
		_, err = c.callPage(ctx, one, 1)
	case call.FaultLeg:
		account, key, _ := strings.Cut(name, "/")
		var page []*keptLeg
		page, err = c.legPage(ctx, "account = ? AND leg_key = ?", account, key)
		if err == nil {
			err = c.legs(ctx, page)
		}
	case call.FaultKind(strings.TrimSuffix(bodyPlace, "/")):
		sum, badSum := hex.DecodeString(name)
		if badSum != nil {
			break
		}
		c.checked.Kinds = []call.FaultKind{call.FaultDelivery}
		var one conditions
		one.add("sha256 = ?", sum)
		err = c.bodiesAlone(ctx, one)
	case call.FaultDelivery:
		id, badID := strconv.ParseInt(name, 10, 64)
		if badID != nil {
			break
		}
		var page []*keptDelivery
		page, err = c.deliveryPage(ctx, " WHERE id = ?", id)
		if err == nil {
			err = c.deliveries(ctx, page)
		}
	case call.FaultIdentifier:
		err = c.identifiersOf(ctx, name)
	default:
		for _, table := range loggedTables() {
			if table.noun != kind {
				continue
			}
			c.checked.Kinds = []call.FaultKind{table.kind}
			var rows []*loggedRow
			if rows, err = table.one(ctx, s, name); err == nil {
				err = c.logged(ctx, table, rows)
			}
			if err == nil && len(rows) == 0 {
				err = c.notThere(ctx, table, name)
			}
		}
	}
	if err != nil {
		return call.Checked{}, fmt.Errorf("check %s: %w", where, err)
	}
	return c.checked, nil
}

// notThere looks at a row that is not there, or not any more. That is well if the log
// does not say that it should be: somebody has taken out what was one too many, or it
// is over. Whether the log is right about another the check of the log says.
func (c *checker) notThere(ctx context.Context, table loggedTable, id string) error {
	where := table.noun + "/" + id
	var lost string // what is wrong with that
	var err error
	switch table.kind {
	case call.FaultAccount:
		lost, err = c.lostPause(ctx, id, math.MaxInt64)
	case call.FaultRecording:
		lost, err = c.whyRecordingGone(ctx, where, id)
	default:
		var told map[string]audit.Entry
		told, err = c.lastEntries(ctx, []string{where}, table.actions...)
		lost = string(told[where].Action)
	}
	if err == nil && lost == "" {
		c.checked.Where = append(c.checked.Where, where)
	}
	return err
}
