package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"callvault/internal/call"
)

// CheckAgain checks one call, leg, delivery or row that the log tells of, or the
// identifiers that lead to one call, as Fault.Where names it. What is not there any
// more, or is none of these, is not among what was looked at.
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
		}
	}
	if err != nil {
		return call.Checked{}, fmt.Errorf("check %s: %w", where, err)
	}
	return c.checked, nil
}
