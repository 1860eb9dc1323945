"""THREATS 14, 17 to 26 and 28: what a session leaves behind, and names that tenants share.

One attacker and one victim in turn on a cluster with a single backend, as tenants with raw SQL. Under
the guard it is the same server process for both, which test_it_is_one_process makes sure of.
"""
import struct

import psycopg
import pytest

from support import attack, wire
from support.attack import quietly
from support.process import wait_until

SHARED = ("row", "schema")
SOON_SECONDS = 10


@pytest.fixture
def pair(stage):
    """The attacker's connection and the victim's."""
    with stage.connect() as attacker, stage.connect(stage.victim) as victim:
        yield attacker, victim


def value(connection, text, *arguments):
    return connection.execute(text, arguments or None).fetchone()[0]


def is_guarded(stage):
    return stage.attacker_place["enforcement"] == "guard"


def test_it_is_one_process(stage, pair):
    attacker, victim = pair
    pids = {value(each, "SELECT pg_backend_pid()") for each in (attacker, victim) * 3}
    assert not is_guarded(stage) or len(pids) == 1


def test_statements_prepared_by_one_and_run_by_another(stage):
    attack.attack_in_turn(stage)


# ---- 17: temporary objects ----

@pytest.mark.parametrize("text", [
    "CREATE TEMP TABLE thing (name text)", "CREATE TEMP TABLE scratch AS SELECT 1 AS n",
    "SELECT 1 AS n INTO TEMP scratch", "CREATE TEMP VIEW thing AS SELECT 1 AS name",
    "CREATE TEMP SEQUENCE counter", "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"])
def test_temporary_objects(stage, pair, text):
    """Refused; then nothing can shadow a real table for the next tenant."""
    attacker, victim = pair
    error = quietly(attacker, text)
    assert error is not None
    assert value(victim, "SELECT count(*) FROM thing WHERE name = %s", stage.secret) == 1
    assert value(victim, "SELECT count(*) FROM pg_class WHERE relpersistence = 't'") == 0


# ---- 18: settings ----

SETTINGS = {
    "search_path": "pg_catalog", "default_transaction_read_only": "on", "statement_timeout": "12345",
    "lock_timeout": "12345", "work_mem": "65kB", "DateStyle": "German", "TimeZone": "Asia/Tokyo",
    "standard_conforming_strings": "off", "transform_null_equals": "on", "row_security": "off",
    "application_name": "attacker", "client_encoding": "LATIN1", "app.secret": "attacker",
    "default_transaction_isolation": "serializable", "enable_seqscan": "off",
    "idle_in_transaction_session_timeout": "12345", "plan_cache_mode": "force_generic_plan",
}
WAYS = {
    "set": "SET {name} = '{value}'",
    "set_config": "SELECT set_config('{name}', '{value}', false)",
    "in DO": "DO $$ BEGIN PERFORM set_config('{name}', '{value}', false); END $$",
    "escaped": "SELECT U&\"set\\005Fconfig\"('{name}', '{value}', false)",
}


@pytest.mark.parametrize("way", WAYS)
def test_settings(stage, pair, way):
    attacker, victim = pair
    shows = {name: f"SELECT current_setting('{name}', true)" for name in SETTINGS}
    before = {name: value(victim, shows[name]) for name in SETTINGS}
    for name, new in SETTINGS.items():
        quietly(attacker, WAYS[way].format(name=name, value=new))
        after = value(victim, shows[name])
        # PostgreSQL cannot forget that a name with a dot was used, only what was in it.
        assert after == before[name] or (before[name] is None and after == ""), name
        attacker.execute("RESET ALL")
    assert value(victim, "SELECT count(*) FROM thing WHERE name = %s", stage.secret) == 1


def test_replication_role(stage, pair):
    attacker, victim = pair
    assert quietly(attacker, "SET session_replication_role = replica") is not None
    assert value(victim, "SHOW session_replication_role") == "origin"


# ---- 14 and 18: what a shared prepared statement means ----

def attack_meaning(stage):
    """A text that the attacker prepares under a setting which nobody sees must not have the
    attacker's meaning for the victim."""
    text = "SELECT count(*) FROM thing WHERE data IS NOT NULL AND body = NULL OR name = NULL"
    with (wire.connect_to_tenant(stage.reeve, stage.attacker) as attacker,
          wire.connect_to_tenant(stage.reeve, stage.victim) as victim):
        victim.ask(wire.query("INSERT INTO thing (name, data) VALUES ('no body', 'x')"))
        attacker.ask(wire.query("SELECT U&\"set\\005Fconfig\"('transform_null_equals', 'on', false)"),
                     wire.parse(text, "mine"), wire.bind(name="mine"), wire.execute(), wire.sync(),
                     ready=2)
        for _ in range(3):
            found = victim.ask(wire.parse(text, "its"), wire.bind(name="its"), wire.execute(),
                               wire.close("S", "its"), wire.sync())
            rows = [message.columns for message in found if message.type == "D"]
            assert rows == [[b"0"]], f"the attacker's setting is in the victim's statement: {rows}"
        victim.ask(wire.query("DELETE FROM thing WHERE name = 'no body'"))


def test_meaning_of_a_shared_statement(stage):
    attack_meaning(stage)


def test_literals_in_a_shared_statement(stage):
    """The same text under another DateStyle is another statement."""
    text = "SELECT ('01/02/2020'::date - '2020-01-01'::date)::text"
    with (wire.connect_to_tenant(stage.reeve, stage.attacker) as attacker,
          wire.connect_to_tenant(stage.reeve, stage.victim) as victim):
        attacker.ask(wire.query("SET DateStyle = 'ISO, DMY'"))
        for _ in range(2):
            for connection, expected in ((attacker, b"31"), (victim, b"1")):
                found = connection.ask(wire.parse(text, "s"), wire.bind(name="s"), wire.execute(),
                                       wire.close("S", "s"), wire.sync())
                assert [m.columns for m in found if m.type == "D"] == [[expected]]


# ---- 19: names of prepared statements ----

def test_sql_level_prepare(stage, pair):
    attacker, victim = pair
    quietly(attacker, f"PREPARE stolen AS SELECT 'of the attacker, not {stage.mode}'")
    quietly(attacker, "DO $$ BEGIN EXECUTE 'PREPARE hidden AS SELECT 1'; END $$")
    attacker.close()  # it keeps its backend as long as it has statements of that kind
    for name in ("stolen", "hidden"):
        error = quietly(victim, f"EXECUTE {name}")
        assert error is not None and error.sqlstate == "26000"


@pytest.mark.parametrize("text", ["DEALLOCATE ALL", "DISCARD ALL", "DISCARD PLANS",
                                  "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"])
def test_taking_prepared_statements_away(stage, pair, text):
    """The victim's go on working, whatever the attacker throws away."""
    attacker, victim = pair
    query = "SELECT name FROM thing WHERE name = %s"
    for _ in range(3):
        assert victim.execute(query, [stage.secret], prepare=True).fetchone() == (stage.secret,)
        quietly(attacker, text)
    assert victim.execute(query, [stage.secret], prepare=True).fetchone() == (stage.secret,)


def test_guessing_the_proxys_names(stage):
    """No list of them, and no way to run, explain or take away one that one sees."""
    with (wire.connect_to_tenant(stage.reeve, stage.victim) as victim,
          stage.connect() as attacker):
        text = f"SELECT name FROM thing WHERE name = '{stage.secret}'"
        victim.ask(wire.parse(text, "s"), wire.sync())
        try:
            seen = attacker.execute("SELECT * FROM pg_prepared_statements").fetchall()
        except psycopg.Error:
            seen = []
        assert stage.secret not in str(seen)
        with stage.admin(stage.victim_place["database"]) as admin:
            assert stage.mode == "database" or not is_guarded(stage) or not admin.execute(
                "SELECT has_function_privilege(%s, 'pg_prepared_statement()', 'EXECUTE')",
                [stage.attacker_place["role"]]).fetchone()[0]
        for text in ("EXECUTE reeve_1", "EXPLAIN EXECUTE reeve_1", "DEALLOCATE reeve_1"):
            error = quietly(attacker, text)
            assert error is not None, text


# ---- 20: cursors, advisory locks, LISTEN, sequences ----

def test_cursors(stage, pair):
    attacker, victim = pair
    quietly(attacker, "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 'attacker'; COMMIT")
    attacker.close()
    assert victim.execute("SELECT name FROM pg_cursors").fetchall() == []
    error = quietly(victim, "FETCH c")
    assert error is not None and error.sqlstate == "34000"


LOCKS = ["pg_advisory_lock(42)", "pg_advisory_lock_shared(42)", "pg_advisory_lock(4, 2)",
         "pg_advisory_xact_lock(42)"]


@pytest.mark.parametrize("lock", LOCKS)
def test_advisory_locks(roomy_stage, lock):
    take_lock(roomy_stage, lock)


def take_lock(stage, lock):
    """Namespaced by tenant or refused (24); none is left behind (20)."""
    if stage.mode == "database":
        return  # its advisory locks are its own
    key = lock[lock.index("("):]
    with stage.connect() as attacker, stage.connect(stage.victim) as victim:
        error = quietly(attacker, f"BEGIN; SELECT {lock}")
        if error is not None:
            assert error.sqlstate == "42501" and not is_guarded(stage)
            return
        assert value(victim, f"SELECT pg_try_advisory_lock{key}") is True
        with stage.connect() as sibling:
            assert value(sibling, f"SELECT pg_try_advisory_lock{key}") is False
        quietly(attacker, "COMMIT")
    with stage.connect() as again:  # the lock goes as its session is cleaned, just behind the answer to COMMIT
        wait_until(lambda: value(again, f"SELECT pg_try_advisory_lock{key}"), "the lock is gone", SOON_SECONDS)


def test_last_value_of_a_sequence(stage, pair):
    attacker, victim = pair
    attacker.execute("INSERT INTO thing (name) VALUES ('for a number')")
    for text in ("SELECT lastval()", "SELECT currval('thing_id_seq')"):
        error = quietly(victim, text)
        assert error is not None and error.sqlstate == "55000", text
    attacker.execute("DELETE FROM thing WHERE name = 'for a number'")


@pytest.mark.parametrize("text", ["LISTEN channel", "DO $$ BEGIN EXECUTE 'LISTEN channel'; END $$"])
def test_listening(roomy_stage, text):
    listen(roomy_stage, text)


def listen(stage, text):
    """Nothing that a neighbour says on a channel arrives (20, 23)."""
    with (wire.connect_to_tenant(stage.reeve, stage.attacker) as attacker,
          stage.connect(stage.victim) as victim):
        attacker.ask(wire.query(text))
        quietly(victim, f"NOTIFY channel, '{stage.secret}'")
        quietly(victim, "SELECT pg_notify('channel', 'again')")
        # What comes within a transaction, the server sends before it says that it is ready.
        attacker.ask(wire.query("BEGIN"))
        if stage.mode != "database":  # else nobody but the attacker is in it
            with stage.admin(stage.attacker_place["database"]) as neighbour:
                neighbour.execute(f"NOTIFY channel, '{stage.secret}'")
        for text in ("COMMIT", "SELECT 1"):
            found = attacker.ask(wire.query(text))
            assert "A" not in [message.type for message in found]


# ---- 21: what a client leaves undone ----

UNDONE = {
    "a transaction": [wire.query("BEGIN; INSERT INTO thing (name) VALUES ('forged')")],
    "a failed transaction": [wire.query("BEGIN"), wire.query("SELECT 1/0")],
    "COPY": [wire.query("COPY thing (name) FROM STDIN"), wire.copy_data(b"forged\n")],
    "COPY OUT": [wire.query("COPY (SELECT generate_series(1, 100000)) TO STDOUT")],
    "half a pipeline": [wire.parse("INSERT INTO thing (name) VALUES ('forged')"), wire.bind(),
                        wire.execute()],
    "half a message": [wire.query("SELECT 'forged'")[:9]],
    "a long query": [wire.query("SELECT pg_sleep(60)")],
    "an error in a pipeline": [wire.parse("SELECT 1/0"), wire.bind(), wire.execute()],
    "an unnamed statement": [wire.parse("SELECT 'forged'"), wire.sync()],
}


def leave_undone(stage, name, victim):
    """Whoever comes next to the backend, a neighbour or another client of the tenant's own, finds
    nothing of it and is served."""
    attacker = wire.connect_to_tenant(stage.reeve, stage.attacker)
    attacker.send(*UNDONE[name])
    attacker.close()
    with wire.connect_to_tenant(stage.reeve, victim) as client:
        try:
            found = client.ask(wire.bind(), wire.execute(), wire.sync())
        except (wire.Refused, wire.Closed) as error:
            raise AssertionError(f"the next one is told {error}") from error
        assert [m.sqlstate for m in found if m.type == "E"] == ["26000"]
        assert found[-1].body == b"I"
    attack.check_victim_unharmed(stage)


@pytest.mark.parametrize("name", UNDONE)
def test_undone(stage, name):
    leave_undone(stage, name, stage.victim)
    leave_undone(stage, name, stage.attacker)


# ---- setseed ----

def test_random_numbers(stage, pair):
    attacker, victim = pair
    attacker.execute("SELECT setseed(0.5)")
    expected = value(attacker, "SELECT random()")
    attacker.execute("SELECT setseed(0.5)")
    assert value(victim, "SELECT random()") != expected


# ---- 24 to 26 ----

def test_locking_what_neighbours_use(roomy_stage):
    """A tenant of shared tables cannot stop the others by a table lock."""
    stage = roomy_stage
    if stage.mode != "row" or not is_guarded(stage):
        return  # residual under login enforcement: docs/security.md
    with stage.connect() as attacker:
        for text in ("LOCK thing", "LOCK thing IN SHARE MODE", "LOCK TABLE ONLY thing, part"):
            error = quietly(attacker, f"BEGIN; {text}")
            assert error is not None and error.sqlstate == "42501", text
            quietly(attacker, "ROLLBACK")


DAMAGE = ["DROP OWNED BY CURRENT_USER", "DROP OWNED BY CURRENT_USER CASCADE", "DROP OWNED BY {run}",
          "REASSIGN OWNED BY CURRENT_USER TO CURRENT_USER",
          "ALTER ROLE CURRENT_USER SET search_path = nowhere",
          "ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM {run}",
          "REVOKE ALL ON thing FROM {run}", "REVOKE ALL ON thing FROM CURRENT_USER",
          "ALTER ROLE {run} SET default_transaction_read_only = on",
          "REVOKE ALL ON SCHEMA {schema} FROM {run}", "VACUUM FULL thing", "ANALYZE thing",
          "PREPARE TRANSACTION 'x'"]


@pytest.mark.parametrize("text", DAMAGE)
def test_what_a_role_may_do_to_itself(stage, text):
    """Must not harm who has the same role, or is in the same group."""
    settings = stage.attacker_settings()
    with stage.connect() as attacker:
        quietly(attacker, "BEGIN")
        quietly(attacker, text.format(**stage.words()))
        quietly(attacker, "COMMIT")
    with stage.connect(stage.victim) as victim:
        victim.execute("INSERT INTO thing (name) VALUES ('still works')")
        victim.execute("DELETE FROM thing WHERE name = 'still works'")
    attack.check_victim_unharmed(stage)
    stage.restore_attacker(settings)


def test_function_call_messages(stage):
    """The fast path knows the guard's functions no more than SQL does."""
    if not is_guarded(stage):
        return
    with stage.admin(stage.victim_place["database"]) as admin:
        functions = dict(admin.execute("SELECT proname, oid FROM pg_proc WHERE pronamespace ="
                                       " 'reeve'::regnamespace").fetchall())
    with wire.connect_to_tenant(stage.reeve, stage.attacker) as attacker:
        for name, arguments in (("arm", (bytes(32),)), ("leave", (bytes(32),)),
                                ("enter", (bytes(32), struct.pack("!q", stage.victim_id),
                                           struct.pack("!i", 0), b"x\0" * 3))):
            found = attacker.ask(wire.function_call(functions[name], arguments))
            assert [m.sqlstate for m in found if m.type == "E"] == ["42501"], name
    with stage.connect() as attacker:
        attack.check_nothing_gained(stage, attacker)
