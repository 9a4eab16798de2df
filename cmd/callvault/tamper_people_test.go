package main

// tamperedPeople are changes of who may look, of what holds keep, of erasures, exports
// and of what stops the work for an account.
func tamperedPeople() []tampered {
	const erasure, hold = "erasure erasure/{erasure}", "hold hold/{hold}"
	var all []tampered
	one := func(name, change string, want ...string) {
		all = append(all, tampered{name: name, change: change, want: want})
	}
	one("another password", "UPDATE users SET password_hash = 'y' WHERE name = 'asha'", "user user/asha")
	one("another token", "UPDATE tokens SET hash = zeroblob(32) WHERE name = 'wall'", "token token/wall")
	one("login that nobody made", "INSERT INTO sessions VALUES (zeroblob(32), 'asha', zeroblob(32), 1, 4102444800000)", "user session/asha")
	one("user is gone", "DELETE FROM users WHERE name = 'asha'", "user user/asha")
	one("token is gone", "DELETE FROM tokens WHERE name = 'wall'", "token token/wall")

	one("call that never came under the hold", "INSERT INTO hold_calls SELECT '{hold}', '{other}', since FROM hold_calls", hold)
	one("call since later under the hold", "UPDATE hold_calls SET since = since + 1", hold)
	one("recording that is said to be held", "INSERT INTO held_recordings VALUES ('{recording}', 1)", "hold held/{recording}")

	one("another key of the numbers", "UPDATE erasure_key SET key = zeroblob(52)", erasure)
	one("key of the numbers is gone", "DELETE FROM erasure_key", erasure)
	one("thing that nobody wants to be erased", "INSERT INTO erasure_items (erasure_id, kind, ref, state, at) VALUES ('{erasure}', 'call', '{call}', 'due', 1)", erasure)
	one("number of which nobody spoke", "INSERT INTO suppressed_numbers VALUES (77, 'x', 1)", "erasure suppressed/77")
	one("number that is kept out for longer", "UPDATE suppressed_numbers SET before_at = before_at + 1", erasure)
	one("number that is kept out for longer, too", "INSERT INTO suppressed_numbers SELECT 77, number_hash, before_at + 1 FROM suppressed_numbers", erasure)
	all = append(all, column("erasures", "id = '{erasure}'", map[string]string{
		"scanned": "scanned + 1", "found_at": "found_at + 3600000", "certified_at": "certified_at + 3600000",
	}, erasure)...)
	all = append(all, tampered{name: "nothing was looked through", change: "UPDATE erasures SET found_at = NULL", want: []string{erasure}})

	all = append(all, column("exports", "id = '{export}'", map[string]string{
		"state": "'ready'", "request": "'{}'", "groups_of": "'[\"x\"]'", "asked_by": "'x'", "reason": "'x'", "created_at": "created_at + 1",
		"calls": "9", "recordings": "9", "missing": "9", "altered": "9", "size": "9", "manifest_sha256": "'x'", "remove_at": "1", "piece_size": "9", "prefix": "'x'",
	}, "export export/{export}")...)
	one("export is gone", "DELETE FROM exports WHERE id = '{export}'", "export export/{export}")
	one("export that nobody asked for", "INSERT INTO exports (id, state, request, groups_of, asked_by, reason, created_at) VALUES ('x', 'removed', '{}', '', 'x', 'x', 1)", "export export/x")

	one("account that waits", "INSERT INTO account_pauses VALUES ('sales', 'x', 1)", "account account/sales")
	one("account that waits for another reason", "UPDATE account_pauses SET reason = 'x'", "account account/closed")
	one("account that does not wait any more", "DELETE FROM account_pauses", "account account/closed")
	one("report that is known since today", "UPDATE report_schedules SET first_seen = first_seen + 1 WHERE report = 'daily'", "report report/daily")
	one("report that is not known any more", "DELETE FROM report_schedules WHERE report = 'daily'", "report report/daily")
	return all
}
