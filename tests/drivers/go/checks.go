// What the checks of Go's drivers share: they are made of database/sql and its pool. The file beside
// it, libpq.go or pgx.go, brings the driver and what it can do beyond that. tests/support/foreign.py
// says what the environment holds, and what is printed.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

const large = 8 * 1024 * 1024

type check struct {
	name string
	run  func(db *sql.DB)
}

var (
	copyIn  = os.Getenv("COPY_IN") == "yes"
	listens = os.Getenv("LISTENS") == "yes"
	all     = context.Background()
)

func url(user, password, database string) string {
	return fmt.Sprintf("postgres://%s:%s@%s:%s/%s", user, password, os.Getenv("PGHOST"),
		os.Getenv("PGPORT"), database)
}

func tenant() string {
	return url(os.Getenv("PGUSER"), os.Getenv("PGPASSWORD"), os.Getenv("PGDATABASE"))
}

func neighbour() string {
	return url(os.Getenv("NEIGHBOUR_USER"), os.Getenv("NEIGHBOUR_PASSWORD"),
		os.Getenv("NEIGHBOUR_DATABASE"))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func open(where string) *sql.DB {
	db, err := sql.Open(driver, where)
	must(err)
	return db
}

func unique(prefix string) string {
	random := make([]byte, 6)
	_, err := rand.Read(random)
	must(err)
	return fmt.Sprintf("%s-%x", prefix, random)
}

func same(found, expected interface{}) {
	if found != expected {
		panic(fmt.Sprintf("expected %v, found %v", expected, found))
	}
}

func fails(sqlstate string, err error) {
	if err == nil {
		panic("no error " + sqlstate)
	}
	if code(err) != sqlstate {
		panic(fmt.Sprintf("expected error %s, found %v", sqlstate, err))
	}
}

type querier interface {
	QueryRow(query string, values ...interface{}) *sql.Row
	Exec(query string, values ...interface{}) (sql.Result, error)
}

func text(db querier, query string, values ...interface{}) string {
	var found string
	must(db.QueryRow(query, values...).Scan(&found))
	return found
}

func number(db querier, query string, values ...interface{}) int {
	var found int
	must(db.QueryRow(query, values...).Scan(&found))
	return found
}

func run(db querier, query string, values ...interface{}) {
	_, err := db.Exec(query, values...)
	must(err)
}

var shared = []check{
	{"insert_select", func(db *sql.DB) {
		name := unique("n")
		var id int64
		must(db.QueryRow("INSERT INTO thing (name, amount, body, data) VALUES ($1, $2, $3, $4)"+
			" RETURNING id", name, 5, "grüße ☂", []byte{0, 255}).Scan(&id))
		var amount, body string
		var data []byte
		var made time.Time
		must(db.QueryRow("SELECT amount, body, data, created_at FROM thing WHERE id = $1 AND name = $2",
			id, name).Scan(&amount, &body, &data, &made))
		same(amount+body, "5.00grüße ☂")
		same(bytes.Equal(data, []byte{0, 255}) && time.Since(made) < time.Hour, true)
	}},

	{"transactions", func(db *sql.DB) {
		kept, lost := unique("kept"), unique("lost")
		insert := "INSERT INTO thing (name) VALUES ($1)"
		inside, err := db.Begin()
		must(err)
		run(inside, insert, kept)
		run(inside, "SAVEPOINT here")
		_, err = inside.Exec(insert, kept)
		fails("23505", err)
		run(inside, "ROLLBACK TO SAVEPOINT here")
		must(inside.Commit())
		inside, err = db.Begin()
		must(err)
		run(inside, insert, lost)
		must(inside.Rollback())
		same(text(db, "SELECT string_agg(name, ' ') FROM thing WHERE name IN ($1, $2)", kept, lost),
			kept)
		inside, err = db.BeginTx(all, &sql.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true})
		must(err)
		same(text(inside, "SHOW transaction_isolation"), "serializable")
		_, err = inside.Exec(insert, lost)
		fails("25006", err)
		must(inside.Rollback())
	}},

	{"prepared_1000", func(db *sql.DB) {
		other := open(tenant())
		defer other.Close()
		one, err := db.Prepare("SELECT $1::int + 1")
		must(err)
		two, err := other.Prepare("SELECT $1::int + 1")
		must(err)
		for i := 0; i < 1000; i++ {
			var found int
			must([]*sql.Stmt{one, two}[i%2].QueryRow(i).Scan(&found))
			same(found, i+1)
		}
		must(one.Close())
		must(two.Close())
	}},

	// More texts than the driver keeps statements of.
	{"many_statements", func(db *sql.DB) {
		for i := 0; i < 600; i++ {
			same(number(db, fmt.Sprintf("SELECT $1::int + %d", i%550), 1), i%550+1)
		}
	}},

	{"errors", func(db *sql.DB) {
		db.SetMaxOpenConns(1)
		for i := 0; i < 3; i++ {
			for query, sqlstate := range map[string]string{"SELEKT": "42601",
				"SELECT 1 / 0": "22012", "SELECT * FROM nowhere": "42P01",
				"INSERT INTO thing (name) VALUES (NULL)": "23502"} {
				_, err := db.Exec(query)
				fails(sqlstate, err)
				same(number(db, "SELECT 1"), 1)
			}
			var found int
			fails("22012", db.QueryRow("SELECT 1 / $1::int", 0).Scan(&found))
		}
	}},

	{"failed_transaction", func(db *sql.DB) {
		inside, err := db.Begin()
		must(err)
		_, err = inside.Exec("SELECT 1 / 0")
		fails("22012", err)
		_, err = inside.Exec("SELECT 1")
		fails("25P02", err)
		must(inside.Rollback())
		same(number(db, "SELECT 1"), 1)
	}},

	{"large", func(db *sql.DB) {
		name, body := unique("large"), strings.Repeat("g", large)
		data := bytes.Repeat([]byte{7}, large)
		run(db, "INSERT INTO thing (name, body, data) VALUES ($1, $2, $3)", name, body, data)
		var foundBody string
		var foundData []byte
		must(db.QueryRow("SELECT body, data FROM thing WHERE name = $1", name).Scan(&foundBody,
			&foundData))
		same(foundBody == body && bytes.Equal(foundData, data), true)
		run(db, "DELETE FROM thing WHERE name = $1", name)
	}},

	// A context that ends sends a cancel request.
	{"cancel", func(db *sql.DB) {
		until, end := context.WithTimeout(all, 300*time.Millisecond)
		defer end()
		begun := time.Now()
		_, err := db.ExecContext(until, "SELECT pg_sleep(60)")
		same(err != nil && time.Since(begun) < 30*time.Second, true)
		for i := 0; i < 20; i++ {
			same(number(db, "SELECT $1::int", i), i)
		}
		for end := time.Now().Add(20 * time.Second); number(db, "SELECT count(*) FROM pg_stat_activity"+
			" WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'") > 0; {
			same(time.Now().Before(end), true)
		}
	}},

	{"query_timeout", func(db *sql.DB) {
		db.SetMaxOpenConns(1)
		run(db, "SET statement_timeout = '300ms'")
		_, err := db.Exec("SELECT pg_sleep(60)")
		fails("57014", err)
		same(text(db, "SHOW statement_timeout"), "300ms")
	}},

	{"metadata", func(db *sql.DB) {
		rows, err := db.Query("SELECT code, title, length(title) FROM kind LIMIT 0")
		must(err)
		defer rows.Close()
		types, err := rows.ColumnTypes()
		must(err)
		found := ""
		for _, each := range types {
			found += each.Name() + " " + each.DatabaseTypeName() + ", "
		}
		same(found, "code TEXT, title TEXT, length INT4, ")
	}},

	{"settings", func(db *sql.DB) {
		zones := []string{"Asia/Tokyo", "America/New_York", "Europe/Berlin"}
		clients := make([]*sql.DB, len(zones))
		for i, zone := range zones {
			clients[i] = open(tenant() + "?timezone=" + zone + "&application_name=app-" + fmt.Sprint(i))
			defer clients[i].Close()
		}
		for i := 0; i < 30; i++ {
			same(text(clients[i%3], "SELECT current_setting('TimeZone') || ' '"+
				" || current_setting('application_name')"), fmt.Sprintf("%s app-%d", zones[i%3], i%3))
		}
	}},

	{"listen", func(db *sql.DB) {
		if !listens {
			_, err := db.Exec("LISTEN news")
			fails("0A000", err)
		}
		same(number(db, "SELECT 1"), 1)
	}},

	// Everybody writes the same natural key, and reads his own row alone, each through a pool.
	{"pools_of_two_tenants", func(db *sql.DB) {
		name := unique("shared")
		pools := []*sql.DB{db, open(neighbour())}
		defer pools[1].Close()
		for i, pool := range pools {
			run(pool, "INSERT INTO thing (name, body) VALUES ($1, $2)", name, fmt.Sprint(i))
		}
		var group sync.WaitGroup
		problems := make(chan interface{}, 16)
		for i := 0; i < 16; i++ {
			group.Add(1)
			go func(i int) {
				defer group.Done()
				defer func() {
					if problem := recover(); problem != nil {
						problems <- problem
					}
				}()
				for n := 0; n < 25; n++ {
					same(text(pools[i%2], "SELECT string_agg(body, ' ') FROM thing WHERE name = $1", name),
						fmt.Sprint(i%2))
				}
			}(i)
		}
		group.Wait()
		close(problems)
		for problem := range problems {
			panic(problem)
		}
	}},
}

func attempt(each check) (problem interface{}) {
	db := open(tenant())
	defer db.Close()
	defer func() { problem = recover() }()
	each.run(db)
	return nil
}

func main() {
	for _, each := range append(shared, own...) {
		if problem := attempt(each); problem != nil {
			fmt.Printf("failed %s: %s\n", each.name,
				strings.Join(strings.Fields(fmt.Sprint(problem)), " "))
		} else {
			fmt.Printf("ok %s\n", each.name)
		}
	}
}
