#!/usr/bin/env python3
"""What entering a tenant costs the server, what the row policy costs, and what the guard looks at.

    make bench-enter
    tests/bench/enter.py [--rounds 5] [--count 10000] [--write-docs]

A protocol client sends each case `--count` times to one server session and reads the session's CPU
time (user and system) from /proc/PID/schedstat before and after: so only the server's work counts,
its read and its write to the socket too. Cases are pipelined in batches, which leaves out what
waking up costs, but for those called "one at a time", which wait for each answer as a proxy's
clients do. The cases take turns within each round, forwards and backwards. Entering goes to and fro
between two tenants, and leaves the one before; what a session must read of a schema that it has not
been on is measured with a new session each time. Each measurement is a line in build/bench.jsonl.
"""
import argparse
import contextlib
import itertools
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support import guard, process, wire  # noqa: E402
import results  # noqa: E402

BATCH = 50
SINGLY = ", one at a time"
SELECT = "select by key, prepared, row policy"
ENTER_AND_SELECT = "enter, row, and that select"
WARM_UP = 500
TENANT = 42  # in the policy's tables
ROWS = 1000  # a tenant there
SCHEMAS = 200  # that are visited for the first time
TENANTS = 100
SETTINGS = ("application_name", "web", "DateStyle", "ISO, DMY", "TimeZone", "Europe/Berlin",
            "statement_timeout", "30s", "lock_timeout", "5s", "work_mem", "8MB",
            "extra_float_digits", "3", "idle_in_transaction_session_timeout", "60s")

TABLES = """
CREATE ROLE plain LOGIN PASSWORD 'plain';
GRANT CONNECT ON DATABASE shared TO plain;
GRANT t_1, t_2, run_s TO plain;
CREATE FUNCTION pg_temp.make(name text, policy text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE app.%%I (tenant_id bigint NOT NULL, id int NOT NULL, value int,
                    PRIMARY KEY (tenant_id, id));
                    INSERT INTO app.%%I SELECT t, i, i FROM generate_series(1, {tenants}) t,
                    generate_series(1, {rows}) i;
                    GRANT SELECT ON app.%%I TO run_s', name, name, name);
    IF policy IS NOT NULL THEN
        EXECUTE format('ALTER TABLE app.%%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
                        CREATE POLICY p ON app.%%I USING (%%s)', name, name, policy);
    END IF;
END $$;
SELECT pg_temp.make('literal', NULL),
       pg_temp.make('function', 'tenant_id = reeve.tenant_id()'),
       pg_temp.make('subquery', 'tenant_id = (SELECT reeve.tenant_id())'),
       pg_temp.make('setting', 'tenant_id = current_setting(''my.tenant'')::bigint');
DO $$ BEGIN
    FOR i IN 1..{schemas} LOOP
        EXECUTE format('CREATE SCHEMA c_%%s; GRANT USAGE ON SCHEMA c_%%s TO t_1;
                        CREATE TABLE c_%%s.thing (id int PRIMARY KEY, name text);
                        INSERT INTO c_%%s.thing VALUES (1, ''one'');
                        GRANT SELECT ON c_%%s.thing TO t_1', i, i, i, i, i);
    END LOOP;
END $$;
""".replace("%%", "%").format(tenants=TENANTS, rows=ROWS, schemas=SCHEMAS)


def cpu_ns(pid):
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])


class Case:
    """Messages that are sent over and over, by turns; each ends in `ready` ReadyForQuery."""

    def __init__(self, group, name, session, *turns, ready=1, batch=BATCH):
        self.group, self.name, self.session = group, name, session
        self.turns, self.ready, self.batch = turns, ready, batch

    def send(self, count):
        turns = itertools.cycle(self.turns)
        for at in range(0, count, self.batch):
            batch = min(self.batch, count - at)
            found = self.session.ask(*itertools.islice(turns, batch), ready=batch * self.ready)
            errors = [message for message in found if message.type == "E"]
            assert not errors, f"{self.name}: {errors[0]}"

    def measure(self, count):
        """Microseconds of the server's CPU for one."""
        self.send(WARM_UP)
        before = cpu_ns(self.session.backend_pid)
        self.send(count)
        return (cpu_ns(self.session.backend_pid) - before) / 1000 / count


class Visit(Case):
    """Entering each of many schemas of one table, and a select there."""

    def __init__(self, name, server, again):
        super().__init__("visit", name, None, ready=2)
        self.server, self.again = server, again

    def measure(self, _count):
        with guard.Session(self.server) as self.session:
            self.session.arm()
            self.session.enter_schema(1)
            self.session.run("SELECT name FROM thing")
            self.turns = [self.session.entering(1, role="t_1", path=f"c_{number}, public", flags=0)
                          + wire.query("SELECT name FROM thing WHERE id = 1")
                          for number in range(1, SCHEMAS + 1)]
            if self.again:
                self.send(SCHEMAS)
            before = cpu_ns(self.session.backend_pid)
            self.send(SCHEMAS)
            return (cpu_ns(self.session.backend_pid) - before) / 1000 / SCHEMAS


# ---- entering ----

def plain_session(server):
    """As a role that may become each tenant's, without a guard."""
    session = wire.Wire("127.0.0.1", server.port)
    session.login("plain", "shared", "plain")
    session.backend_pid = session.key[0]
    return session


def enterings(armed, **options):
    """Into tenant 1, into tenant 2: schema, or rows."""
    schema = [armed.entering(tenant, role=f"t_{tenant}", path=f"t_{tenant}, public", flags=0,
                             **options) for tenant in guard.TENANTS]
    return schema, [armed.entering(tenant, **options) for tenant in guard.TENANTS]


def reset_texts():
    """What an application or a pooler sends without a guard."""
    return [wire.query(f"RESET ROLE; RESET ALL; SET ROLE t_{tenant}; SET search_path = t_{tenant},"
                       " public") for tenant in guard.TENANTS]


def execution(name, *values):
    return wire.bind(values, name=name) + wire.execute() + wire.sync()


def entering_cases(stack, server):
    armed, other, plain = (stack.enter_context(session) for session in (
        guard.Session(server), guard.Session(server), plain_session(server)))
    armed.arm()
    other.arm()
    schema, rows = enterings(armed)
    schema_more, rows_more = enterings(armed, settings=SETTINGS)
    select = wire.parse("SELECT value FROM app.function WHERE id = $1", "s", (23,))
    for tenant in guard.TENANTS:
        armed.enter_schema(tenant)
        armed.ask(wire.parse("SELECT name FROM thing", f"s_{tenant}"), wire.sync())
    for session in (armed, other):
        session.enter(1)
        session.ask(select, wire.sync())
    yield Case("enter", "enter, schema, no settings", armed, *schema)
    yield Case("enter", "enter, schema, 8 settings", armed, *schema_more)
    yield Case("enter", "enter, row, no settings", armed, *rows)
    yield Case("enter", "enter, row, 8 settings", armed, *rows_more)
    yield Case("enter", "`SELECT 1`, simple protocol", plain, wire.query("SELECT 1"))
    yield Case("enter", "`DISCARD ALL`", plain, wire.query("DISCARD ALL"))
    yield Case("enter", "`RESET ROLE; RESET ALL; SET ROLE; SET search_path`", plain,
               *reset_texts())
    yield Case("enter", "the same, behind `DISCARD ALL`", plain,
               *(wire.query("DISCARD ALL") + text for text in reset_texts()), ready=2)
    entered = [entering + execution("s", 7) for entering in rows]
    yield Case("enter", SELECT, other, execution("s", 7))
    yield Case("enter", ENTER_AND_SELECT, armed, *entered, ready=2)
    yield Case("enter", SELECT + SINGLY, other, execution("s", 7), batch=1)
    yield Case("enter", ENTER_AND_SELECT + SINGLY, armed, *entered, ready=2, batch=1)
    yield Case("enter", "enter, schema, and a prepared select of 1 row", armed,
               *(schema[i] + execution(f"s_{tenant}") for i, tenant in enumerate(guard.TENANTS)),
               ready=2)
    yield Case("enter", "enter, schema, and that select, simple protocol", armed,
               *(entering + wire.query("SELECT name FROM thing") for entering in schema), ready=2)
    yield Visit("a schema of 1 table that the session has been on", server, again=True)
    yield Visit("one that it has not been on", server, again=False)


# ---- the policy ----

POLICIES = {
    "literal": "no policy, `tenant_id = 42` in the query",
    "function": "policy `tenant_id = reeve.tenant_id()`",
    "subquery": "policy `tenant_id = (SELECT reeve.tenant_id())`",
    "setting": "policy `tenant_id = current_setting('my.tenant')::bigint`",
}


def policy_cases(stack, server):
    session = stack.enter_context(guard.Session(server))
    session.arm()
    session.enter(TENANT)
    session.run(f"SET my.tenant = '{TENANT}'")
    for table, title in POLICIES.items():
        which = f"tenant_id = {TENANT} AND" if table == "literal" else ""
        for kind, text, types in (
                ("by key", f"SELECT value FROM app.{table} WHERE {which} id = $1", (23,)),
                (f"of {ROWS} rows", f"SELECT sum(value) FROM app.{table} WHERE {which} id > $1",
                 (23,))):
            name = f"{table} {kind}"
            session.ask(wire.parse(text, name, types), wire.sync())
            expected = [("7",)] if kind == "by key" else [(str(ROWS * (ROWS + 1) // 2),)]
            value = 7 if kind == "by key" else 0
            answer = guard.outcome(session.ask(execution(name, value)))
            assert answer == expected, f"{name}: {answer}"
            yield Case(f"policy, {kind}", title, session, execution(name, value))
        text = f"SELECT value FROM app.{table} WHERE {which} id = 7"
        yield Case("policy, by key, planned each time", title, session, wire.query(text))


# ---- what the guard looks at in each statement ----

STATEMENTS = {
    "select": "SELECT name FROM thing",
    "100 calls of functions": "SELECT sum(length(i::text)) FROM generate_series(1, 100) i",
    "join of 5 tables": "SELECT a.name FROM thing a JOIN thing b USING (name) JOIN thing c"
                        " USING (name) JOIN thing d USING (name) JOIN thing e USING (name)",
}


def hook_cases(stack, server):
    """The same as the same role on the same tables, in a session that has no guard loaded and in one
    that was entered once."""
    plain, armed = (stack.enter_context(session) for session in (
        plain_session(server), guard.Session(server)))
    plain.ask(wire.query("SET ROLE t_1"))
    plain.ask(wire.query("SET search_path = t_1, public"))
    armed.arm()
    armed.enter_schema(1)
    for title, text in STATEMENTS.items():
        for how, session in (("no guard", plain), ("guard", armed)):
            yield Case("statements", f"{title}, {how}", session, wire.query(text))
            session.ask(wire.parse(text, title), wire.sync())
            yield Case("statements", f"{title}, prepared, {how}", session, execution(title))


# ---- results ----

def verdict(figures):
    """What entering adds to a transaction."""
    def added(ending):
        before, behind = (figures.median("enter", name + ending, "server_cpu")
                          for name in (SELECT, ENTER_AND_SELECT))
        return f"{behind - before:.1f} µs"
    return (f"Entering adds {added('')} to a transaction that is pipelined, {added(SINGLY)} to one"
            " that the server wakes up for.")


def tables(figures, cases):
    groups = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case.name)
    for group, names in groups.items():
        base = figures.median(group, names[0], "server_cpu")
        yield from results.table((group, "server CPU, µs", f"of “{names[0]}”"),
                                 [(name, results.number(figures.median(group, name, "server_cpu"), 1),
                                   results.ratio(figures.median(group, name, "server_cpu"), base))
                                  for name in names])
        yield ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=10000, help="of each case in a round")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/")
    options = parser.parse_args()
    os.environ.setdefault("REEVE_BINARY", str(process.ROOT / "build" / "release" / "reeve"))
    load_before = os.getloadavg()[0]
    figures = results.Figures("enter")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(guard.running_guarded())
        with server.connect("shared") as admin:
            admin.execute(TABLES)
            admin.execute("VACUUM ANALYZE")
            version = admin.execute("SHOW server_version").fetchone()[0].split()[0]
        cases = [*entering_cases(stack, server), *policy_cases(stack, server),
                 *hook_cases(stack, server)]
        for round_number in range(1, options.rounds + 1):
            for case in cases if round_number % 2 else reversed(cases):
                count = options.count // (10 if "rows" in case.group else 1)
                value = case.measure(count)
                figures.record(case.group, case.name, "server_cpu", value, "us", round_number)
                print(f"round {round_number}: {case.group}: {case.name}: {value:.1f} µs",
                      flush=True)
    lines = [f"Medians of {options.rounds} rounds of {options.count:,} each (a tenth for"
             f" {ROWS} rows), {results.machine(load_before)}, PostgreSQL {version}.", "",
             *tables(figures, cases), verdict(figures)]
    print("\n" + "\n".join(lines))
    if options.write_docs:
        results.write_docs("enter", lines)


if __name__ == "__main__":
    main()
