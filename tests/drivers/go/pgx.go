// pgx 4, also without database/sql: its statement cache, batches, COPY and pool.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
	_ "github.com/jackc/pgx/v4/stdlib"
)

const driver = "pgx"

func code(err error) string {
	var found *pgconn.PgError
	if errors.As(err, &found) {
		return found.Code
	}
	return ""
}

func connect(options string) *pgx.Conn {
	conn, err := pgx.Connect(all, tenant()+options)
	must(err)
	return conn
}

var own = []check{
	{"batch", func(_ *sql.DB) {
		conn := connect("")
		defer conn.Close(all)
		batch := &pgx.Batch{}
		for i := 0; i < 300; i++ {
			batch.Queue("SELECT $1::int + 1", i)
		}
		results := conn.SendBatch(all, batch)
		for i := 0; i < 300; i++ {
			var found int
			must(results.QueryRow().Scan(&found))
			same(found, i+1)
		}
		must(results.Close())
	}},

	{"batch_with_error", func(_ *sql.DB) {
		conn := connect("")
		defer conn.Close(all)
		name := unique("n")
		batch := &pgx.Batch{}
		batch.Queue("INSERT INTO thing (name) VALUES ($1)", name)
		batch.Queue("SELECT 1 / $1::int", 0)
		batch.Queue("INSERT INTO thing (name) VALUES ($1)", name+"-2")
		results := conn.SendBatch(all, batch)
		_, err := results.Exec()
		must(err)
		_, err = results.Exec()
		fails("22012", err)
		results.Close()
		var found int
		must(conn.QueryRow(all, "SELECT count(*) FROM thing WHERE name LIKE $1", name+"%").Scan(&found))
		same(found, 0)
	}},

	{"copy_in", func(db *sql.DB) {
		conn := connect("")
		defer conn.Close(all)
		prefix, rows := unique("copy"), [][]interface{}{}
		for i := 0; i < 1000; i++ {
			rows = append(rows, []interface{}{fmt.Sprintf("%s%d", prefix, i), "x"})
		}
		_, err := conn.CopyFrom(all, pgx.Identifier{"thing"}, []string{"name", "body"},
			pgx.CopyFromRows(rows))
		expected := 0
		if copyIn {
			must(err)
			expected = 1000
		} else {
			fails("0A000", err)
		}
		same(number(db, "SELECT count(*) FROM thing WHERE name LIKE $1", prefix+"%"), expected)
	}},

	{"cache_modes", func(_ *sql.DB) {
		for _, mode := range []string{"statement_cache_mode=prepare", "statement_cache_mode=describe",
			"statement_cache_capacity=0", "statement_cache_capacity=3"} {
			one, two := connect("?"+mode), connect("?"+mode)
			for i := 0; i < 100; i++ {
				var found int
				conn := []*pgx.Conn{one, two}[i%2]
				must(conn.QueryRow(all, fmt.Sprintf("SELECT $1::int + %d", i%7), i).Scan(&found))
				same(found, i+i%7)
			}
			must(one.Close(all))
			must(two.Close(all))
		}
	}},

	{"simple_protocol", func(_ *sql.DB) {
		conn := connect("")
		defer conn.Close(all)
		var found string
		must(conn.QueryRow(all, "SELECT $1 || 'x'", pgx.QuerySimpleProtocol(true), "it's").Scan(&found))
		same(found, "it'sx")
	}},

	{"notification", func(db *sql.DB) {
		conn := connect("")
		defer conn.Close(all)
		_, err := conn.Exec(all, "LISTEN news")
		if !listens {
			fails("0A000", err)
			return
		}
		must(err)
		run(db, "NOTIFY news, 'hello'")
		until, end := context.WithTimeout(all, 20*time.Second)
		defer end()
		heard, err := conn.WaitForNotification(until)
		must(err)
		same(heard.Payload, "hello")
	}},

	{"pgxpool", func(_ *sql.DB) {
		name := unique("shared")
		pools := make([]*pgxpool.Pool, 2)
		for i, where := range []string{tenant(), neighbour()} {
			pool, err := pgxpool.Connect(all, where+"?pool_max_conns=4")
			must(err)
			defer pool.Close()
			_, err = pool.Exec(all, "INSERT INTO thing (name, body) VALUES ($1, $2)", name, fmt.Sprint(i))
			must(err)
			pools[i] = pool
		}
		var group sync.WaitGroup
		wrong := make(chan string, 1000)
		for i := 0; i < 16; i++ {
			group.Add(1)
			go func(i int) {
				defer group.Done()
				for n := 0; n < 25; n++ {
					var found string
					err := pools[i%2].QueryRow(context.Background(),
						"SELECT string_agg(body, ' ') FROM thing WHERE name = $1", name).Scan(&found)
					if err != nil || found != fmt.Sprint(i%2) {
						wrong <- fmt.Sprint(err, found)
					}
				}
			}(i)
		}
		group.Wait()
		same(len(wrong), 0)
	}},
}
