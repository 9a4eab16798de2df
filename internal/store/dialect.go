package store

import (
	"strconv"
	"strings"
	"sync"
)

// dialect holds all in which the two databases differ.
type dialect struct {
	name      string
	goose     string
	folder    string
	postgres  bool
	writers   int    // transactions at a time
	now       string // the database's clock, Unix milliseconds
	skipLock  string // ends a SELECT that claims rows
	lockRow   string // ends a SELECT that waits for a row, to change it
	bindCache *sync.Map
}

func sqliteDialect() dialect {
	return dialect{
		name: "SQLite", goose: "sqlite3", folder: "migrations/sqlite",
		writers:   1, // there is one lock
		now:       "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
		bindCache: new(sync.Map),
	}
}

func postgresDialect() dialect {
	return dialect{
		name: "PostgreSQL", goose: "postgres", folder: "migrations/postgres",
		postgres: true,
		// While one waits for the server the other is being prepared.
		writers: 2,
		// Not clock_timestamp(): that is volatile, and no index serves it.
		now:      "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS BIGINT)",
		skipLock: "FOR UPDATE SKIP LOCKED",
		lockRow:  "FOR UPDATE",

		bindCache: new(sync.Map),
	}
}

// bind turns the portable question marks into what the database wants, and
// {now} into its clock. SQL texts here hold no question mark but placeholders.
func (d dialect) bind(query string) string {
	if cached, ok := d.bindCache.Load(query); ok {
		if bound, ok := cached.(string); ok {
			return bound
		}
	}
	bound := strings.ReplaceAll(query, "{now}", d.now)
	bound = strings.ReplaceAll(bound, "{skip locked}", d.skipLock)
	bound = strings.ReplaceAll(bound, "{lock row}", d.lockRow)
	if d.postgres {
		var b strings.Builder
		n := 0
		for _, r := range bound {
			if r == '?' {
				n++
				b.WriteByte('$')
				b.WriteString(strconv.Itoa(n))
				continue
			}
			b.WriteRune(r)
		}
		bound = b.String()
	}
	d.bindCache.Store(query, bound)
	return bound
}
