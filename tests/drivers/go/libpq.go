// lib/pq: statements without a name, but those that are prepared; COPY through a statement.
package main

import (
	"database/sql"
	"fmt"
	"time"

	"github.com/lib/pq"
)

const driver = "postgres"

func code(err error) string {
	if found, ok := err.(*pq.Error); ok {
		return string(found.Code)
	}
	return ""
}

func load(db *sql.DB, prefix string) error {
	inside, err := db.Begin()
	must(err)
	defer inside.Rollback()
	statement, err := inside.Prepare(pq.CopyIn("thing", "name", "amount"))
	if err != nil {
		return err
	}
	for i := 0; i < 1000; i++ {
		if _, err = statement.Exec(fmt.Sprintf("%s%d", prefix, i), i); err != nil {
			return err
		}
	}
	if _, err = statement.Exec(); err != nil {
		return err
	}
	must(statement.Close())
	return inside.Commit()
}

var own = []check{
	{"copy_in", func(db *sql.DB) {
		prefix, expected := unique("copy"), 0
		err := load(db, prefix)
		if copyIn {
			must(err)
			expected = 1000
		} else {
			fails("0A000", err)
		}
		same(number(db, "SELECT count(*) FROM thing WHERE name LIKE $1", prefix+"%"), expected)
	}},

	{"arrays", func(db *sql.DB) {
		var found []string
		must(db.QueryRow("SELECT $1::text[]", pq.Array([]string{"a", "b, c"})).Scan(
			(*pq.StringArray)(&found)))
		same(fmt.Sprint(len(found))+found[1], "2b, c")
	}},

	{"binary_parameters", func(_ *sql.DB) {
		db := open(tenant() + "?binary_parameters=yes")
		defer db.Close()
		for i := 0; i < 50; i++ {
			same(number(db, "SELECT length($1::bytea) + $2::int", []byte{1, 2}, i), i+2)
		}
	}},

	// One that is told before it is connected tries for ever, and says nothing.
	{"listener", func(db *sql.DB) {
		connected := make(chan error, 1)
		listener := pq.NewListener(tenant(), time.Minute, time.Minute,
			func(event pq.ListenerEventType, err error) { connected <- err })
		defer listener.Close()
		must(<-connected)
		err := listener.Listen("news")
		if !listens {
			fails("0A000", err)
			return
		}
		must(err)
		run(db, "NOTIFY news, 'hello'")
		same((<-listener.Notify).Extra, "hello")
	}},
}
