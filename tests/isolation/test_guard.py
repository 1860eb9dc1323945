"""The extension alone: a server connection in the hands of one hostile tenant after the other.

ATTACKS holds functions that raise AssertionError when a tenant gets through. Each is run with the
guard loaded by the session and preloaded; and for each defence that the test build can take out,
the attacks that name it must notice that it is gone.
"""
import contextlib
import struct

import psycopg
import pytest

from support import guard, process, wire

ATTACKS = {}


def attack(*mutations):
    def register(function):
        ATTACKS[function.__name__] = (function, mutations)
        return function
    return register


def armed(server):
    session = guard.Session(server)
    assert session.arm()[-1].body == b"I"
    return session


def closed_with(session, *messages, ready=0):
    """The SQLSTATE of the FATAL error that ends the session, behind so many ReadyForQuery."""
    session.send(*messages)
    errors = []
    with contextlib.suppress(wire.Closed):
        while True:
            message = session.receive()
            ready -= message.type == "Z"
            assert ready >= 0, "the session goes on"
            errors += [message] if message.type == "E" else []
    assert errors and errors[-1].fields["V"] == "FATAL", errors
    return errors[-1].sqlstate


def check_is(session, tenant, role):
    assert session.run("SELECT current_user, reeve.tenant_id(), reeve.tenant_slug()") == [
        (role, str(tenant), f"tenant-{tenant}")]
    assert session.run("SELECT name FROM app.thing") in (
        [(f"secret of {tenant}",)], "42501"), "another tenant's rows"


# ---- the role ----

ROLE_TEXTS = [
    "RESET ROLE", "SET ROLE NONE", "SET ROLE t_2", "SET ROLE postgres", "SET LOCAL ROLE t_2",
    "SET ROLE reeve_pool", "SET SESSION AUTHORIZATION DEFAULT", "SET SESSION AUTHORIZATION t_2",
    "SET SESSION AUTHORIZATION reeve_pool", "RESET SESSION AUTHORIZATION", "DISCARD ALL",
    "RESET ALL", "SELECT set_config('role', 't_2', false)", "SELECT set_config('role', 'none', false)",
    "SELECT set_config('session_authorization', 't_2', true)",
    "DO $$ BEGIN EXECUTE 'SET ROLE t_2'; END $$", "DO $$ BEGIN RESET ROLE; END $$",
    "DO $$ BEGIN PERFORM set_config('role', 't_2', false); END $$",
    "BEGIN; SAVEPOINT s; RESET ROLE; ROLLBACK TO s; COMMIT",
    "BEGIN; SET LOCAL ROLE NONE; ROLLBACK", "BEGIN; SELECT 1/0", "ROLLBACK",
    "SELECT 1/0", "ALTER ROLE CURRENT_USER SET role = 't_2'", "DISCARD ALL",
]


@attack("guard.role")
def changing_the_role(server):
    for tenant, role, enter in ((1, "run_s", "enter"), (1, "t_1", "enter_schema")):
        with armed(server) as session:
            getattr(session, enter)(tenant)
            for text in ROLE_TEXTS:
                session.run(text)
                if text.startswith("BEGIN; SELECT"):
                    continue
                check_is(session, tenant, role)


@attack("guard.role")
def an_abort_does_not_undo_entering(server):
    with armed(server) as session:
        session.enter(2)
        session.enter(1)
        session.run("SELECT 1/0")
        check_is(session, 1, "run_s")
        session.run("BEGIN; SET ROLE NONE; SELECT 1/0")
        session.run("ROLLBACK")
        check_is(session, 1, "run_s")


# ---- the context ----

CONTEXT_TEXTS = [
    "SET reeve_guard.context = '2 0 0 x'", "SET LOCAL reeve_guard.context = '2 0 0 x'",
    "SELECT set_config('reeve_guard.context', '2 0 0 x', false)", "RESET reeve_guard.context",
    "SET reeve_guard.tenant = 2", "DO $$ BEGIN RESET reeve_guard.context; END $$",
    "ALTER ROLE CURRENT_USER SET reeve_guard.context = '2 0 0 x'", "RESET ALL", "DISCARD ALL",
]
IN_PARALLEL = ("SET force_parallel_mode = on", "SET parallel_setup_cost = 0",
               "SET parallel_tuple_cost = 0", "SET min_parallel_table_scan_size = 0",
               "SET enable_indexscan = off", "SET enable_bitmapscan = off")


@attack()
def changing_the_context(server):
    with armed(server) as session:
        session.enter(1)
        for text in CONTEXT_TEXTS:
            session.run(text)
            check_is(session, 1, "run_s")
        assert session.run("SHOW reeve_guard.context") == "42501"
        assert session.run("SELECT current_setting('reeve_guard.context')") == "42501"
        assert session.run("SELECT * FROM pg_settings WHERE name LIKE 'reeve%'") == []


@attack()
def parallel_workers_have_the_context(server):
    with server.connect("shared") as admin:
        admin.execute("ALTER TABLE app.thing SET (parallel_workers = 2)")
    with armed(server) as session:
        for tenant in (1, 2, 1):
            session.enter(tenant)
            for text in (*CONTEXT_TEXTS, "RESET ALL", *IN_PARALLEL):
                session.run(text)
            plan = str(session.run("EXPLAIN (COSTS off) SELECT count(*) FROM app.thing"))
            assert "Parallel" in plan or "Gather" in plan, plan
            for text in ("SELECT name FROM app.thing", "SELECT min(name) FROM app.thing"):
                assert session.run(text) == [(f"secret of {tenant}",)]
            # Role and refusals hold in the workers too.
            assert session.one("SELECT min(current_user) FROM app.thing") == "run_s"


@attack("guard.nobody")
def nobody_runs_nothing(server):
    """No tenant's statement may come to a session that is nobody's: what it has a right to ends it."""
    with armed(server) as session:
        for text in ("SELECT name FROM app.thing", "SELECT name FROM t_1.thing"):
            assert session.run(text) == "42501"
    for text in ("SELECT query FROM pg_stat_activity", "SELECT 1", "SHOW role", "BEGIN", "COMMIT",
                 "DEALLOCATE ALL", "ALTER ROLE reeve_pool SET work_mem = '1GB'", "COPY app.thing TO STDOUT",
                 "DO $$ BEGIN PERFORM 1; END $$"):
        for entered_before in (False, True):
            with armed(server) as session:
                if entered_before:
                    session.enter(1)
                    session.ask(wire.flush(), session.call("leave", session.guard_key))
                assert closed_with(session, wire.query(text)) == "42501", text


@attack()
def nobody_is_no_tenant(server):
    with armed(server) as session:
        for function in ("tenant_id", "tenant_slug"):
            with server.connect("shared") as admin:
                oid = admin.execute(f"SELECT 'reeve.{function}()'::regprocedure::oid").fetchone()[0]
            [answer] = [message for message in session.ask(wire.function_call(oid, ()))
                        if message.type == "V"]
            assert struct.unpack("!i", answer.body)[0] == -1


# ---- entering ----

@attack("guard.key")
def entering_without_the_key(server):
    with armed(server) as session:
        session.enter(1)
        assert closed_with(session, session.entering(2, key=bytes(32))) == "42501"
    with armed(server) as session:
        session.enter(1)
        assert session.run("SELECT reeve.enter('\\x00', 2, 0, '\\x00')") == "42501"
        assert session.run("SELECT reeve.arm('\\x00')") == "42501"
        assert session.run("SELECT reeve.leave('\\x00')") == "42501"
        assert "42501" in [message.sqlstate for message in session.ask(
            session.call("enter", bytes(32), struct.pack("!q", 2), struct.pack("!i", 0), b"\0"))
            if message.type == "E"]
        check_is(session, 1, "run_s")


@attack("guard.flush")
def an_error_in_front_of_entering(server):
    """What is pipelined behind it must not run as the tenant before, whatever goes wrong."""
    broken = {
        "too few arguments": wire.function_call(0, ()),
        "no such function": wire.function_call(999999, (b"",)),
    }
    for what, message in broken.items():
        with armed(server) as session:
            session.enter(1)
            assert session.run("SELECT name FROM app.thing") == [("secret of 1",)]
            found = closed_with(session, wire.flush(), wire.close("S"), message,
                                wire.query("SELECT current_user"), ready=1)
            assert found == "42501", what


@attack("guard.flush")
def a_deadline_set_by_the_tenant_before(server):
    """It must not strike when the next one enters."""
    with armed(server) as session:
        for _ in range(20):
            session.enter(1)
            session.run("SET statement_timeout = 1")
            session.run("SET lock_timeout = 1")
            with server.connect("shared") as admin:
                admin.execute("ANALYZE app.thing")
            session.enter(2)
            assert session.one("SHOW statement_timeout") == "0"


@attack()
def entering_as_a_role_that_is_none(server):
    with server.connect() as admin:
        admin.execute("ALTER ROLE t_2 CONNECTION LIMIT 0")
    try:
        for role in ("mighty", "postgres", "nobody_at_all", "t_2"):
            with armed(server) as session:
                session.enter(1)
                state = closed_with(session, session.entering(2, role=role),
                                    wire.query("SELECT name FROM app.thing"))
                assert state in ("42501", "42704", "53300"), role
    finally:
        with server.connect() as admin:
            admin.execute("ALTER ROLE t_2 CONNECTION LIMIT -1")


@contextlib.contextmanager
def fenced(server, tenant, schema):
    with server.connect("shared") as admin:
        oid = admin.execute("SELECT oid FROM pg_database WHERE datname = 'shared'").fetchone()[0]
        fence, open_again = ((f"ALTER ROLE t_{tenant} CONNECTION LIMIT 0",
                              f"ALTER ROLE t_{tenant} CONNECTION LIMIT -1") if schema else
                             (f"CREATE ROLE reeve_fence_{oid}_{tenant}", f"DROP ROLE reeve_fence_{oid}_{tenant}"))
        admin.execute(fence)
        try:
            yield
        finally:
            admin.execute(open_again)


@attack("guard.fence")
def a_place_that_is_fenced(server):
    """Nothing begins there, also in a session that is the tenant's already, of plans that are made already;
    what has begun ends as it would. Neighbours do not notice."""
    doings = {
        "query": wire.query("SELECT 1"),
        "prepared": wire.bind(name="made") + wire.execute() + wire.sync(),
        "begin": wire.query("BEGIN; INSERT INTO thing (name) VALUES ('late'); COMMIT"),
        "copy": wire.query("COPY thing (name) TO STDOUT"),
        "set": wire.query("SET work_mem = '1MB'"),
    }
    for schema in (False, True):
        for name, doing in doings.items():
            with armed(server) as session, armed(server) as other:
                enter = guard.Session.enter_schema if schema else guard.Session.enter
                enter(session, 1)
                enter(other, 2)
                session.ask(wire.parse("SELECT 1", "made") + wire.sync())
                for _ in range(3):  # its plan is kept
                    session.ask(doings["prepared"])
                session.run("BEGIN; SELECT 1")
                with fenced(server, 1, schema):
                    assert session.run("SELECT 5") == [("5",)]
                    assert session.run("COMMIT") == []
                    assert other.run("SELECT 6") == [("6",)]
                    assert closed_with(session, doing) == "53300", name
                    with armed(server) as again:
                        assert closed_with(again, again.entering(1, role="t_1", flags=0) if schema
                                           else again.entering(1), wire.query("SELECT 1")) == "53300"
                with armed(server) as again:
                    enter(again, 1)
                    assert again.run("SELECT 7") == [("7",)]


@attack()
def an_error_in_entering_is_fatal(server):
    broken = [
        {"settings": ("no_such_setting", "x")},
        {"settings": ("DateStyle", "no such style")},
        {"settings": ("role", "t_2")},
        {"settings": ("session_authorization", "t_2")},
        {"settings": ("log_statement", "all")},
        {"settings": ("reeve_guard.context", "2 0 0 x")},
        {"settings": ("DateStyle",)},
        {"settings": ("application_name", "\udcff")},
        {"tenant": 0},
        {"tenant": -2},
    ]
    for options in broken:
        with armed(server) as session:
            session.enter(1)
            options = {"tenant": 2, **options}
            message = session.entering(**{**options, "settings": ()})
            if options.get("settings"):
                names = ["tenant-2", "run_s", "app", *options["settings"]]
                packed = b"".join(name.encode("utf-8", "surrogateescape") + b"\0"
                                  for name in names)
                message = wire.flush() + session.call(
                    "enter", session.guard_key, struct.pack("!q", 2), struct.pack("!i", 2), packed)
            closed_with(session, message, wire.query("SELECT name FROM app.thing"))


@attack()
def entering_in_a_transaction(server):
    with armed(server) as session:
        session.enter(1)
        session.run("BEGIN")
        assert "42501" in [message.sqlstate for message in session.ask(session.entering(2))
                           if message.type == "E"]
        session.run("ROLLBACK")
        check_is(session, 1, "run_s")


@attack()
def arming_again_or_as_somebody_else(server):
    with armed(server) as session:
        assert closed_with(session, session.call("arm", bytes(32))) == "42501"
    with pytest.raises(psycopg.OperationalError), server.connect("shared") as admin:
        admin.execute("SELECT reeve.arm(%s)", [bytes(32)])


@attack()
def a_clients_flush_is_no_leaving(server):
    """In the middle of a pipeline there is a transaction, or something to send."""
    with armed(server) as session:
        session.enter(1)
        session.send(wire.parse("SELECT name FROM app.thing"), wire.flush())
        session.receive_until("1")
        session.send(wire.flush(), wire.bind(), wire.flush(), wire.execute(), wire.flush())
        session.receive_until("C")
        session.ask(wire.flush(), wire.sync())
        check_is(session, 1, "run_s")
        session.run("BEGIN")
        session.send(wire.flush())
        assert session.run("SELECT name FROM app.thing") == [("secret of 1",)]


@attack("guard.ready")
def a_flush_where_a_statement_has_ended_the_transaction(server):
    """Two of them, in the middle of a batch: there is no transaction, and nothing to send."""
    for text in ("COMMIT", "ROLLBACK", "DISCARD ALL"):
        with armed(server) as session:
            session.enter(1)
            session.send(wire.parse(text), wire.bind(), wire.execute(), wire.flush())
            session.receive_until("C")
            session.send(wire.flush(), wire.flush(), wire.parse("SELECT current_user"), wire.bind(),
                         wire.execute(), wire.sync())
            assert guard.outcome(session.until_ready()) == [("run_s",)], text
            check_is(session, 1, "run_s")


SOON = 10  # seconds, for answers that with the defect do not come


@attack("guard.deferrable")
def waiting_for_a_safe_snapshot(server):
    """The next one's entering would wait for a serializable transaction that may last for ever."""
    with server.connect("shared", autocommit=False) as writer:
        writer.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        writer.execute("INSERT INTO app.thing VALUES (3, 'of nobody''s business')")
        with armed(server) as session:
            session.socket.settimeout(SOON)
            session.enter(1)
            for name, value in (("isolation", "serializable"), ("read_only", "on"),
                                ("deferrable", "on")):
                session.run(f"SET default_transaction_{name} = {value}")
            try:
                session.enter(2)
            except TimeoutError:
                raise AssertionError("entering waits for another's transaction") from None
            assert session.run("SHOW default_transaction_deferrable") == [("off",)]
            assert session.run("SHOW default_transaction_isolation") == [("read committed",)]
        writer.rollback()


@attack("guard.exit")
def every_error_as_the_end(server):
    """`exit_on_error` of one tenant is no other's, and does not keep entering from being fatal."""
    with armed(server) as session:
        session.enter(1)
        session.run("SET exit_on_error = on")
        session.enter(2)
        for _ in range(2):
            session.send(wire.query("SELECT 1/0"))
            found = []
            with contextlib.suppress(wire.Closed):
                found = session.until_ready()
            assert found and guard.outcome(found) == "22012", "an error of one's own is the end"
        session.enter(1, settings=("exit_on_error", "on"))
        session.enter(2)
        assert session.run("SELECT 1/0") == "22012"
        session.enter(1)
        session.run("SET exit_on_error = on")
        broken = session.entering(2, settings=("DateStyle", "no such style"))
        assert closed_with(session, broken) == "22023"
    with armed(server) as session:
        session.enter(1, settings=("exit_on_error", "on"))
        assert closed_with(session, wire.query("SELECT 1/0")) == "22012"


@attack("guard.idle")
def an_end_for_who_is_idle(server):
    """It would come between two tenants, and so to the next one."""
    with armed(server) as session:
        for _ in range(5):
            session.enter(1)
            session.run("SET idle_session_timeout = '1ms'")
            with server.connect("shared") as admin:
                admin.execute("ANALYZE app.thing")
            try:
                session.enter(2)
            except (wire.Closed, OSError):
                raise AssertionError("the session has ended") from None


DAY = """CREATE OR REPLACE FUNCTION app.day() RETURNS text LANGUAGE plpgsql AS $$
BEGIN RETURN to_char('01/02/2024'::date, 'YYYY-MM-DD'); END $$"""


@attack("guard.meaning")
def what_anothers_settings_made_of_a_literal(server):
    """PostgreSQL keeps a function's statements with their literals converted."""
    with server.connect("shared") as admin:
        admin.execute(DAY)
    ways = {
        "set": ["SET DateStyle = 'SQL, DMY'", "SELECT app.day()"],
        "set back": ["SET DateStyle = 'SQL, DMY'", "SELECT app.day()", "RESET DateStyle"],
        "local": ["BEGIN", "SET LOCAL DateStyle = 'SQL, DMY'", "SELECT app.day()", "COMMIT"],
        "by function": ["SELECT set_config('DateStyle', 'SQL, DMY', false)", "SELECT app.day()"],
    }
    for way, statements in ways.items():
        with armed(server) as session:
            session.enter(1)
            found = [session.run(statement) for statement in statements]
            assert [("2024-02-01",)] in found
            session.enter(2)
            assert session.one("SELECT app.day()") == "2024-01-02", way
    with armed(server) as session:
        for _ in range(2):
            session.enter(1, settings=("DateStyle", "SQL, DMY"))
            assert session.one("SELECT app.day()") == "2024-02-01"
            session.enter(2)
            assert session.one("SELECT app.day()") == "2024-01-02"
        assert session.run("SET standard_conforming_strings = off") == "0A000"


# ---- what a session leaves behind ----

@attack("guard.prepared")
def sql_level_prepared_statements(server):
    with armed(server) as session:
        session.enter(1)
        session.run("PREPARE mine AS SELECT 'left by 1'")
        session.run("DO $$ BEGIN EXECUTE 'PREPARE \"Hidden\" AS SELECT 1'; END $$")
        session.enter(2)
        assert session.run("EXECUTE mine") == "26000"
        assert session.run('EXECUTE "Hidden"') == "26000"
        session.run("PREPARE mine AS SELECT 2")
        session.run("DEALLOCATE ALL")
        session.run("PREPARE mine AS SELECT 3")
        session.enter(1)
        assert session.run("EXECUTE mine") == "26000"


@attack("guard.settings")
def settings(server):
    with armed(server) as session:
        session.enter(1, settings=("DateStyle", "German"))
        session.run("SET TimeZone = 'Asia/Tokyo'")
        session.run("SET app.secret = 'of 1'")
        session.run("SELECT U&\"set\\005Fconfig\"('work_mem', '64kB', false)")
        session.run("SET search_path = t_2")
        session.enter(2)
        assert session.one("SELECT current_setting('app.secret', true)") in (None, "")
        assert session.one("SHOW search_path") == "app, public"
        assert session.one("SHOW DateStyle") == "ISO, MDY"
        assert session.one("SHOW TimeZone") != "Asia/Tokyo"
        assert session.one("SHOW work_mem") == "4MB"


@attack()
def the_search_path_is_what_a_reset_goes_back_to(server):
    with armed(server) as session:
        session.enter_schema(2)
        session.enter_schema(1)
        for text in ("RESET ALL", "DISCARD ALL", "RESET search_path", "SET search_path TO DEFAULT"):
            session.run("SET search_path = t_2")
            session.run(text)
            assert session.run("SELECT name FROM thing") == [("secret of 1",)], text


@attack()
def search_paths_of_any_length(server):
    """Each is shown as it was given, and nothing of the one before it, whatever was done to that."""
    paths = ["app, public", "public", f"{'x' * 63}, app", ", ".join(["app", "public"] * 60), "app",
             '"$user", public', "app, public"]
    with armed(server) as session:
        for number, path in enumerate(paths):
            session.enter(1 + number % 2, path=path)
            assert session.one("SHOW search_path") == path
            session.run(f"SET search_path = {'y' * number}z, pg_catalog")
            session.run("BEGIN; SET LOCAL search_path = t_2; SAVEPOINT s; RESET search_path")
            assert session.one("SHOW search_path") == path
            session.run("ROLLBACK TO s; COMMIT; RESET search_path")
            assert session.one("SHOW search_path") == path
            if number % 3 == 0:
                session.run("SET search_path = t_1")


@attack()
def a_read_only_session_ends(server):
    with armed(server) as session:
        session.enter(1, flags=guard.READ_ONLY | guard.SHARED_TABLES)
        assert session.run("UPDATE app.thing SET name = name") == "25006"
        session.enter(1)
        assert session.run("UPDATE app.thing SET name = name") == []
        session.run("SET default_transaction_read_only = on")
        session.enter(2)
        assert session.run("UPDATE app.thing SET name = name") == []
        session.enter(1, flags=guard.READ_ONLY | guard.SHARED_TABLES)
        session.run("SET default_transaction_read_only = off")
        session.enter(2, flags=guard.READ_ONLY | guard.SHARED_TABLES)
        assert session.run("UPDATE app.thing SET name = name") == "25006"


@attack("guard.advisory")
def advisory_locks_left(server):
    with armed(server) as session, armed(server) as other:
        session.enter(1)
        assert session.run("SELECT pg_advisory_lock(7)") == [("",)]
        other.enter(1)
        assert other.one("SELECT pg_try_advisory_lock(7)") == "f"
        session.enter(2)
        assert other.one("SELECT pg_try_advisory_lock(7)") == "t", "a lock was left behind"


@attack()
def advisory_locks_of_neighbours(server):
    locks = ["pg_advisory_lock(7)", "pg_advisory_lock(1, 2)", "pg_advisory_lock_shared(8)",
             "pg_advisory_xact_lock(9)"]
    with armed(server) as one, armed(server) as two, armed(server) as same:
        one.enter(1), two.enter(2), same.enter(1)
        one.run("BEGIN")
        for lock in locks:
            one.run(f"SELECT {lock}")
        for call in ("(7)", "(1, 2)", "(8)", "(9)"):
            assert two.one(f"SELECT pg_try_advisory_lock{call}") == "t", call
            assert same.one(f"SELECT pg_try_advisory_lock{call}") == "f", call
        assert two.run("DO $$ BEGIN PERFORM pg_advisory_lock(7); END $$") == []
        assert two.run("EXPLAIN ANALYZE SELECT pg_advisory_lock(7)")[0]
        assert two.one("SELECT (SELECT pg_try_advisory_lock(7))") == "t"
        # Not by calling the function itself.
        oid = int(one.one("SELECT 'pg_catalog.pg_try_advisory_lock(bigint)'::regprocedure::oid"))
        one.run("COMMIT")
        found = two.ask(wire.function_call(oid, (struct.pack("!q", 7),)))
        assert [m.sqlstate for m in found if m.type == "E"] == ["42501"]


# ---- channels ----

ANNOUNCE = """
    CREATE OR REPLACE FUNCTION app.announce() RETURNS void LANGUAGE plpgsql
        AS $$ BEGIN PERFORM pg_notify('news', 'x'); END $$;
    CREATE OR REPLACE FUNCTION app.announce_short() RETURNS void LANGUAGE sql
        AS $$ SELECT pg_notify('news', 'x') $$;
    CREATE OR REPLACE FUNCTION app.announce_atomic() RETURNS void LANGUAGE sql
        BEGIN ATOMIC SELECT pg_notify('news', 'x'); END;
    CREATE OR REPLACE FUNCTION app.announce_rows() RETURNS SETOF text LANGUAGE sql STABLE
        AS $$ SELECT pg_notify('news', 'x')::text $$;
    CREATE OR REPLACE FUNCTION app.announce_as_owner() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
        AS $$ BEGIN EXECUTE 'NOTIFY news, ''x'''; END $$;
    CREATE OR REPLACE FUNCTION app.announce_change() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN NOTIFY news, 'x'; RETURN NEW; END $$;
    CREATE TABLE IF NOT EXISTS app.with_default (i int, said text DEFAULT pg_notify('news', 'x'));
    CREATE TABLE IF NOT EXISTS app.with_rule (i int);
    CREATE OR REPLACE RULE r AS ON INSERT TO app.with_rule DO ALSO NOTIFY news, 'x';
    CREATE TABLE IF NOT EXISTS app.with_query (i int);
    CREATE OR REPLACE RULE r AS ON INSERT TO app.with_query DO ALSO SELECT pg_notify('news', 'x');
    CREATE TABLE IF NOT EXISTS app.with_trigger (i int);
    CREATE OR REPLACE TRIGGER t AFTER INSERT ON app.with_trigger
        FOR EACH ROW EXECUTE FUNCTION app.announce_change();
    CREATE OR REPLACE VIEW app.announcing AS SELECT pg_notify('news', 'x')::text AS said;
    GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA app TO run_s"""
ANNOUNCEMENTS = [
    "NOTIFY news, 'x'", "SELECT pg_notify('news', 'x')", r"SELECT pg_notify(U&'n\0065ws', 'x')",
    "SELECT * FROM pg_notify('news', 'x')", "SELECT 1 WHERE pg_notify('news', 'x')::text = ''",
    "WITH a AS MATERIALIZED (SELECT pg_notify('news', 'x')) SELECT * FROM a",
    "SELECT (SELECT pg_notify('news', 'x'))", "EXPLAIN ANALYZE SELECT pg_notify('news', 'x')",
    "SELECT query_to_xml('SELECT pg_notify(''news'', ''x'')::text', true, true, '')",
    "PREPARE p AS SELECT pg_notify('news', $1); EXECUTE p('x'); DEALLOCATE p",
    "BEGIN; DECLARE c CURSOR FOR SELECT pg_notify('news', 'x'); FETCH c; COMMIT",
    "DO $$ BEGIN NOTIFY news, 'x'; END $$", "DO $$ BEGIN EXECUTE 'NOTIFY news, ''x'''; END $$",
    "DO $$ BEGIN PERFORM pg_notify('news', 'x'); END $$",
    "DO $$ DECLARE t text; BEGIN t := pg_notify('news', 'x'); END $$",
    "COPY (SELECT pg_notify('news', 'x')) TO STDOUT",
    "SELECT app.announce()", "SELECT app.announce_short()", "SELECT app.announce_atomic()",
    "SELECT app.announce_as_owner()", "SELECT * FROM app.announce_rows()",
    "SELECT * FROM app.announcing", "INSERT INTO app.with_default VALUES (1)",
    "INSERT INTO app.with_rule VALUES (1)", "INSERT INTO app.with_query VALUES (1)",
    "INSERT INTO app.with_trigger VALUES (1)",
]


def heard(session, text="SELECT 1"):
    """What came until now: the server tells it before it is ready for more."""
    found = [message.body[4:].split(b"\0")[:2] for message in session.ask(wire.query(text))
             if message.type == "A"]
    return [tuple(text.decode() for text in pair) for pair in found]


@attack("guard.channels")
def channels_of_neighbours(server):
    with server.connect("shared") as admin:
        admin.execute(ANNOUNCE)
    with armed(server) as one, armed(server) as two, armed(server) as speaker:
        one.enter(1), two.enter(2)
        assert one.run("LISTEN news") == [] and two.run("LISTEN news") == []
        for tenant, hearing, other in ((1, one, two), (2, two, one)):
            speaker.enter(tenant)
            for text in ANNOUNCEMENTS:
                answer = speaker.run(text)
                assert isinstance(answer, list), (text, answer)
                assert heard(hearing) == [(f"{tenant}:news", "x")], text
                assert heard(other) == [], text
        with server.connect("shared") as admin:
            for channel in ("news", "1:news", "1"):
                admin.execute("SELECT pg_notify(%s, 'x')", [channel])
        assert heard(one) == heard(two) == []
        assert one.run("SELECT pg_listening_channels()") == [("news",)]
        assert one.run("SELECT * FROM pg_listening_channels()") == [("news",)]
        one.run("UNLISTEN news")
        assert one.run("SELECT pg_listening_channels()") == []
        speaker.enter(1)
        speaker.run("NOTIFY news")
        assert heard(one) == []


@attack("guard.notify")
def notifying_by_other_ways(server):
    """Where the call is not replaced."""
    with server.connect("shared") as admin:
        admin.execute(ANNOUNCE)
    with armed(server) as session:
        session.enter(1)
        oid = int(session.one("SELECT 'pg_catalog.pg_notify'::regproc::oid"))
        found = session.ask(wire.function_call(oid, (b"news", b"x")))
        assert [m.sqlstate for m in found if m.type == "E"] == ["42501"]
        session.run("PREPARE p (text) AS SELECT $1")
        for text in ("EXECUTE p(pg_notify('news', 'x')::text)", "COPY app.with_default (i) FROM STDIN"):
            session.send(wire.query(text), wire.copy_data(b"1\n"), wire.copy_done())
            assert guard.outcome(session.until_ready()) == "42501", text


@attack()
def names_of_channels(server):
    with armed(server) as session:
        session.enter(1)
        for name, answer in (("x" * 51, []), ("x" * 52, "22023"), ("x" * 63, "22023")):
            assert session.run(f"LISTEN {name}") == answer
            assert session.run(f"NOTIFY {name}") == answer
            assert session.run(f"UNLISTEN {name}") == answer
            assert session.run(f"SELECT pg_notify('{name}', '')") == (answer or [("",)])
        for channel in ("''", "NULL"):
            assert session.run(f"SELECT pg_notify({channel}, 'x')") == "22023"
        for text in ("DO $$ BEGIN LISTEN x; END $$", "DO $$ BEGIN EXECUTE 'LISTEN x'; END $$"):
            assert session.run(text) == "0A000", text
        assert session.run("SELECT * FROM reeve.channel_secret") == "42501"
        heard(session)
        assert session.run("""LISTEN "Größe; '" """) == []
        announced = heard(session, "SELECT pg_notify('Größe; ''', NULL)")
        assert announced == [("1:Größe; '", "")]


@attack()
def a_database_that_an_older_script_has_prepared(server):
    """Nobody listens to what is everybody's, nor says anything there."""
    with server.connect("shared") as admin:
        admin.execute("ALTER TABLE reeve.channel_secret RENAME TO away")
        try:
            with armed(server) as session:
                session.enter(1)
                for text in ("LISTEN x", "NOTIFY x", "UNLISTEN x", "SELECT pg_notify('x', 'y')"):
                    assert session.run(text) == "55000", text
                assert session.run("UNLISTEN *") == []
                check_is(session, 1, "run_s")
        finally:
            admin.execute("ALTER TABLE reeve.away RENAME TO channel_secret")


@attack("guard.unlisten")
def listening_left(server):
    with armed(server) as session, armed(server) as other:
        session.enter(1), other.enter(1)
        session.run("LISTEN news")
        session.enter(2)
        assert session.run("SELECT count(*) FROM pg_listening_channels()") == [("0",)]
        session.enter(1)
        session.run("LISTEN news")
        session.run("DISCARD ALL")
        other.run("NOTIFY news")
        assert heard(session) == []


@attack("guard.heard")
def hearing_as_nobody(server):
    """Between two tenants a session still listens for the first."""
    with armed(server) as session, armed(server) as other:
        session.enter(1), other.enter(1)
        session.run("LISTEN news")
        session.ask(wire.flush(), wire.sync())
        other.run("NOTIFY news")
        assert [message.type for message in session.ask(wire.sync())] == ["Z"]


@attack("guard.reading")
def listening_and_others_channels(server):
    """A session that waits looks at what is none of its own, and goes on."""
    with armed(server) as session, armed(server) as other, server.connect("shared") as admin:
        session.enter(1), other.enter(2)
        session.run("LISTEN news")
        for _ in range(3):
            other.run(f"NOTIFY news, '{'x' * 7900}'")
        process.wait_until(lambda: admin.execute(
            "SELECT pg_notification_queue_usage() = 0").fetchone()[0], "it has looked")
        check_is(session, 1, "run_s")


@attack("guard.sequences")
def sequences(server):
    with armed(server) as session:
        session.enter(1)
        session.run("SELECT nextval('app.number')")
        session.enter(2)
        assert session.run("SELECT lastval()") == "55000"
        assert session.run("SELECT currval('app.number')") == "55000"


@attack("guard.random")
def random_numbers(server):
    with armed(server) as session:
        session.enter(1)
        session.run("SELECT setseed(0.25)")
        expected = session.one("SELECT random()")
        session.run("SELECT setseed(0.25)")
        session.enter(2)
        assert session.one("SELECT random()") != expected


@attack()
def cursors_and_open_transactions(server):
    with armed(server) as session:
        session.enter(1)
        session.run("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 'left by 1'; COMMIT")
        assert session.run("SELECT name FROM pg_cursors") == [("c",)]
        session.enter(2)
        assert session.run("SELECT name FROM pg_cursors") == []
        assert session.run("FETCH c") == "34000"


# ---- names that are the proxy's ----

@attack("guard.names")
def the_proxys_prepared_statements(server):
    with armed(server) as session:
        session.enter(1)
        session.ask(wire.parse("SELECT 'text of 1'", "reeve_1"), wire.sync())
        session.enter(2)
        for text in ("EXECUTE reeve_1", "EXPLAIN EXECUTE reeve_1", "EXPLAIN VERBOSE EXECUTE reeve_1",
                     "CREATE TEMP TABLE t AS EXECUTE reeve_1",
                     "PREPARE reeve_2 AS SELECT 1",
                     "DO $$ BEGIN EXECUTE 'EXECUTE reeve_1'; END $$"):
            assert session.run(text) in ("42939", "42501"), text
        # The proxy says this in place of a client's own name; nothing is to come of it.
        assert session.run("DEALLOCATE reeve_1") == []
        assert session.run("DO $$ BEGIN EXECUTE 'DEALLOCATE reeve_1'; END $$") == []
        assert session.run("DEALLOCATE reeve_2") == "26000"
        assert session.run("SELECT * FROM pg_prepared_statements") == "42501"
        assert session.run("SELECT * FROM pg_prepared_statement()") == "42501"
        assert guard.outcome(session.ask(wire.bind(name="reeve_1"), wire.execute(),
                                         wire.sync())) == [("text of 1",)]


@attack()
def the_unnamed_statement(server):
    with armed(server) as session:
        session.enter(1)
        session.ask(wire.parse("SELECT 'text of 1'"), wire.sync())
        session.enter(2)
        assert guard.outcome(session.ask(wire.bind(), wire.execute(), wire.sync())) == "26000"


# ---- the others ----

@attack("guard.lock")
def locking_a_shared_table(server):
    with armed(server) as session:
        session.enter(1)
        for mode in ("ACCESS EXCLUSIVE", "EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE",
                     "SHARE UPDATE EXCLUSIVE"):
            assert session.run(f"BEGIN; LOCK app.thing IN {mode} MODE") == "42501", mode
            session.run("ROLLBACK")
        assert session.run("BEGIN; LOCK app.thing; COMMIT") == "42501"
        session.run("ROLLBACK")
        assert session.run("BEGIN; LOCK app.thing IN ROW EXCLUSIVE MODE; COMMIT") == []
        session.enter_schema(1)
        assert session.run("BEGIN; LOCK thing; COMMIT") == []


UTILITIES = [
    "ALTER ROLE CURRENT_USER PASSWORD 'x'", "ALTER ROLE CURRENT_USER SET work_mem = '1MB'",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", "DROP OWNED BY CURRENT_USER",
    "DROP OWNED BY run_s", "REASSIGN OWNED BY CURRENT_USER TO t_2", "PREPARE TRANSACTION 'x'",
    "COMMIT PREPARED 'x'", "DO $$ BEGIN EXECUTE 'LISTEN x'; END $$", "LOAD 'plpgsql'",
    "CREATE TEMP TABLE t (i int)", "CREATE VIEW v AS SELECT 1", "GRANT SELECT ON app.thing TO t_2",
    "COMMENT ON TABLE app.thing IS 'x'", "ALTER TABLE app.thing RENAME TO x", "VACUUM app.thing",
    "CREATE TABLE x AS SELECT 1", "SELECT 1 INTO y", "CHECKPOINT", "TRUNCATE app.thing",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "IMPORT FOREIGN SCHEMA a FROM"
    " SERVER b INTO c", "DO $$ BEGIN EXECUTE 'ALTER ROLE CURRENT_USER PASSWORD ''x'''; END $$",
    "SECURITY LABEL ON TABLE app.thing IS 'x'", "ALTER SYSTEM SET work_mem = '1MB'",
]


@attack("guard.utility")
def what_a_role_may_do_to_itself(server):
    with armed(server) as session:
        session.enter(1)
        for text in UTILITIES:
            state = session.run(text)
            assert isinstance(state, str) and state, f"allowed: {text}"
        check_is(session, 1, "run_s")
    with server.connect("shared") as admin:
        assert admin.execute("SELECT count(*) FROM pg_authid WHERE rolname = 'run_s' AND"
                             " rolpassword IS NOT NULL").fetchone() == (0,)
        assert admin.execute("SELECT count(*) FROM pg_default_acl").fetchone() == (0,)


@attack()
def what_a_client_library_sends(server):
    """Must go on working."""
    harmless = ["DISCARD ALL", "RESET ALL", "LISTEN x", "UNLISTEN x", "UNLISTEN *", "CLOSE ALL", "DEALLOCATE ALL",
                "RESET ROLE", "RESET SESSION AUTHORIZATION", "SET SESSION AUTHORIZATION DEFAULT",
                "SELECT pg_advisory_unlock_all()", "SHOW TRANSACTION ISOLATION LEVEL",
                "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE; COMMIT",
                "NOTIFY something", "SELECT pg_notify('x', 'y')", "EXPLAIN SELECT 1",
                "BEGIN; SAVEPOINT a; RELEASE a; SET CONSTRAINTS ALL DEFERRED; COMMIT",
                "PREPARE x AS SELECT 1; EXECUTE x; DEALLOCATE x", "SET ROLE none",
                "BEGIN; DECLARE c CURSOR FOR SELECT 1; FETCH c; MOVE c; CLOSE c; COMMIT",
                "DO $$ BEGIN NULL; END $$", "DISCARD PLANS", "DISCARD SEQUENCES", "DISCARD TEMP"]
    with armed(server) as session:
        session.enter(1)
        for text in harmless:
            assert isinstance(session.run(text), list), (text, session.run(text))


@attack()
def neighbours_sessions(server):
    with armed(server) as session, armed(server) as neighbour:
        session.enter(1)
        neighbour.enter(2)
        neighbour.send(wire.query("SELECT pg_sleep(3) /* secret of 2 */"))
        with server.connect() as admin:
            process.wait_until(lambda: admin.execute(
                "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'active'",
                [neighbour.backend_pid]).fetchone(), "the neighbour is at work")
        for text in ("", "RESET ROLE", "SET SESSION AUTHORIZATION DEFAULT", "DISCARD ALL"):
            if text:
                session.run(text)
            assert "secret" not in str(session.run("SELECT query FROM pg_stat_activity"
                                                   f" WHERE pid = {neighbour.backend_pid}"))
            for function in ("pg_cancel_backend", "pg_terminate_backend"):
                assert session.run(f"SELECT {function}({neighbour.backend_pid})") == "42501"
        assert guard.outcome(neighbour.until_ready()) == [("",)]


# ---- running them ----

@pytest.fixture(scope="module", params=[False, True], ids=["by-session", "preloaded"])
def server(request):
    with guard.running_guarded(preload=request.param) as running:
        yield running


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(server, name):
    ATTACKS[name][0](server)


def test_entered_twice_in_one_packet(server):
    """The answer to the first waits for what is behind it, which is the Flush that leaves again."""
    with armed(server) as session:
        for first, second in ((1, 2), (2, 1)):
            for _ in range(2):
                session.send(session.entering(first) + session.entering(second)
                             + wire.query("SELECT name FROM thing WHERE name LIKE 'secret%'"))
                found = [message for _ in range(3) for message in session.until_ready()]
                assert guard.outcome(found) == [(f"secret of {second}",)]


def test_the_operators_settings_stay_in_force():
    operator = {"statement_timeout": "7s", "lock_timeout": "6s",
                "default_transaction_isolation": "repeatable read",
                "default_transaction_deferrable": "on"}
    with guard.running_guarded(**operator) as server, armed(server) as session:
        for tenant in (1, 2, 1):
            session.enter(tenant)
            assert {name: session.one(f"SHOW {name}") for name in operator} == operator
            session.run("SET statement_timeout = '1h'; SET default_transaction_isolation = serializable")


def test_every_mutation_has_an_attack():
    named = {mutation for _, mutations in ATTACKS.values() for mutation in mutations}
    assert sorted(named) == guard.mutations()


@pytest.mark.parametrize("mutation", guard.mutations())
def test_the_attacks_notice(mutation):
    with guard.running_guarded(mutate=mutation) as server:
        for attack_function, mutations in ATTACKS.values():
            if mutation in mutations:
                with pytest.raises((AssertionError, wire.Closed)):
                    attack_function(server)
