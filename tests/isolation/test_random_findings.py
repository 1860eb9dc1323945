"""What the random walk (test_random.py) has found, each reduced to a few messages.
"""
import contextlib
import time

import pytest

from support import wire
from support.process import Deadline, wait_until
from support.reeve import ENFORCEMENT
from support.wire import (bind, close, copy_data, copy_done, execute, flush, frame, parse, query,
                          sync)


SOON = 4  # seconds, for answers that with the defect never come


@pytest.fixture(scope="module")
def tight(world, plain):
    return world.tight(plain)


@pytest.fixture
def one(world, tight):
    with wire.connect_to_tenant(world.reeve, tight["schema", "a"]) as connection:
        yield connection


@pytest.fixture
def two(world, tight):
    """Another client of the same tenant; the cluster has one server connection."""
    with wire.connect_to_tenant(world.reeve, tight["schema", "a"]) as connection:
        yield connection


@pytest.fixture
def neighbour(world, tight):
    """A client of another tenant, who shares the cluster's one server connection."""
    with wire.connect_to_tenant(world.reeve, tight["schema", "b"]) as connection:
        connection.socket.settimeout(SOON)
        yield connection


def values(messages):
    return [message.columns for message in messages if message.type == "D"]


def types(messages):
    return "".join(message.type for message in messages)


def error_of(messages):
    return next((message.sqlstate for message in messages if message.type == "E"), None)


def must_be_served(neighbour):
    try:
        assert values(neighbour.ask(query("SELECT 5"))) == [[b"5"]]
    except TimeoutError:
        raise AssertionError("the neighbour gets no server connection from an idle client") from None


# ---- settings ----

def test_a_setting_of_the_login_stays(world, tight, two):
    with wire.connect_to_tenant(world.reeve, tight["schema", "a"],
                                options="-c app.owner=me") as one:
        one.ask(query("SET work_mem = '5MB'"))
        two.ask(query("SET work_mem = '6MB'"))
        assert values(one.ask(query("SELECT current_setting('app.owner', true)"))) == [[b"me"]]


# ---- whose the server connection is ----

def test_a_refused_copy_lets_the_backend_go(world, tight, neighbour):
    with wire.connect_to_tenant(world.reeve, tight["row", "a"]) as one:
        found = one.ask(query("COPY thing (name) FROM STDIN") + copy_data(b"x\n") + copy_done())
        assert types(found) == "EZ"
        must_be_served(neighbour)


def test_a_copy_in_front_of_a_refused_one_lets_the_backend_go(one, neighbour):
    copied = query("COPY thing (name) FROM STDIN") + copy_data(b"copied\n") + copy_done()
    found = one.ask(copied, query("SELECT 1/0; COPY thing (name) FROM STDIN") + copy_done(), ready=2)
    assert types(found) == "GCZEZ"
    must_be_served(neighbour)


@contextlib.contextmanager
def locked(admin, relation):
    """Whoever reads this relation of the catalog waits."""
    with admin.transaction():
        admin.execute(f"LOCK TABLE {relation} IN ACCESS EXCLUSIVE MODE")
        yield


def waits_for_lock(admin):
    return admin.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() != (0,)


def wait_while_locked(admin):
    """Until the proxy's query has been disturbed; where it cannot be, until it should have been."""
    with contextlib.suppress(Deadline):
        wait_until(lambda: not waits_for_lock(admin), "the query does not wait any more", 1)


def is_busy(admin):
    return admin.execute("SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
                         " AND backend_type = 'client backend'"  # a vacuum may take its time
                         " AND pid <> pg_backend_pid()").fetchone() != (0,)


def cancel(world, connection):
    with wire.Wire("127.0.0.1", world.reeve.port) as canceller:
        canceller.send(wire.cancel(*connection.key))
        canceller.rest()


def test_a_cancel_does_not_hit_the_look_at_settings(world, tight, plain, one, neighbour):
    database = world.placement(tight["schema", "a"])["database"]
    with plain.connect(database) as admin:
        with locked(admin, "pg_catalog.pg_settings"):
            assert types(one.ask(query("SET work_mem = '5MB'"))) == "CZ"
            with plain.connect(database) as watcher:
                wait_until(lambda: waits_for_lock(watcher), "the proxy asks for the settings")
                cancel(world, one)
                wait_while_locked(watcher)
        must_be_served(neighbour)


def test_a_cancel_hits_what_runs_behind_an_entering(world, tight, plain, one, neighbour):
    """Under the guard the answer to entering waits for that to the query."""
    neighbour.ask(query("SELECT 1"))
    one.send(query("SELECT pg_sleep(60)"))
    database = world.placement(tight["schema", "a"])["database"]
    with plain.connect(database) as watcher:
        wait_until(lambda: is_busy(watcher), "the query runs")
        cancel(world, one)
        one.socket.settimeout(SOON)
        assert error_of(one.receive_until("Z")) == "57014"


def test_a_short_timeout_does_not_hit_the_look_at_settings(world, tight, plain, one, neighbour):
    database = world.placement(tight["schema", "a"])["database"]
    with plain.connect(database) as admin:
        with locked(admin, "pg_catalog.pg_settings"):
            assert types(one.ask(query("SET statement_timeout = '20ms'"))) == "CZ"
            with plain.connect(database) as watcher:
                wait_until(lambda: waits_for_lock(watcher), "the proxy asks for the settings")
                wait_while_locked(watcher)
        must_be_served(neighbour)


def test_a_cancel_does_not_end_the_client(world, tight, plain, one, two):
    database = world.placement(tight["schema", "a"])["database"]
    one.ask(query("SET default_tablespace = 'pg_default'"))
    two.ask(query("SET work_mem = '6MB'"))
    with plain.connect(database) as admin, plain.connect(database) as watcher:
        with locked(admin, "pg_catalog.pg_tablespace"):
            one.send(query("SELECT 1"))
            wait_until(lambda: waits_for_lock(watcher), "the proxy puts the settings in place")
            cancel(world, one)
            wait_while_locked(watcher)
    found = one.receive_until("EZ")
    assert found[-1].type == "Z" or found[-1].fields["S"] == "ERROR", found


def test_a_cancel_during_an_entering_is_not_lost(world, tight, plain, one, two):
    """What it is for stands behind the entering, where the server has not come yet."""
    database = world.placement(tight["schema", "a"])["database"]
    one.ask(query("SET default_tablespace = 'pg_default'"))
    two.ask(query("SET work_mem = '6MB'"))
    with plain.connect(database) as admin, plain.connect(database) as watcher:
        with locked(admin, "pg_catalog.pg_tablespace"):
            one.send(query("SELECT pg_sleep(60)"))
            wait_until(lambda: waits_for_lock(watcher), "the proxy puts the settings in place")
            cancel(world, one)
            wait_while_locked(watcher)
    one.socket.settimeout(SOON)
    assert error_of(one.receive_until("Z")) == "57014"


def test_a_cancel_is_not_kept_for_a_later_statement(world, tight, plain, one, two):
    """Of a batch without a Sync, all of which has been answered."""
    database = world.placement(tight["schema", "a"])["database"]
    one.ask(query("SET default_tablespace = 'pg_default'"))
    two.ask(query("SET work_mem = '6MB'"))
    with plain.connect(database) as admin, plain.connect(database) as watcher:
        with locked(admin, "pg_catalog.pg_tablespace"):
            one.send(parse("SELECT 1"), bind(), execute(), flush())
            wait_until(lambda: waits_for_lock(watcher), "the proxy puts the settings in place")
            cancel(world, one)
    one.socket.settimeout(SOON)
    if one.receive_until("CE")[-1].type == "E":  # it was hit, as it may be
        return
    for _ in range(5):
        found = one.ask(parse("SELECT pg_sleep(0.2)"), bind(), execute(), sync())
        assert "E" not in types(found), found


def test_nothing_runs_without_its_clients_settings(world, tight, plain, two):
    """Here a session that must not write does, since its settings were not put in place. (The walk
    found it with clients that vanish, for whom the proxy cancels what runs: there it is a race.)"""
    tenant = tight["schema", "a"]
    database = world.placement(tenant)["database"]
    with (wire.connect_to_tenant(world.reeve, tenant) as one, plain.connect(database) as admin,
          plain.connect(database) as watcher):
        one.ask(query("SET default_tablespace = 'pg_default'"))
        one.ask(query("SET default_transaction_read_only = on"))
        two.ask(query("SET work_mem = '6MB'"))
        with locked(admin, "pg_catalog.pg_tablespace"):
            one.send(query("INSERT INTO thing (name) VALUES ('without settings')"))
            wait_until(lambda: waits_for_lock(watcher), "the proxy puts the settings in place")
            cancel(world, one)
            wait_while_locked(watcher)
        wait_until(lambda: not is_busy(watcher), "the server has done with the client")
    found = two.ask(query("SELECT count(*) FROM thing WHERE name = 'without settings'"))
    assert values(found) == [[b"0"]]


def test_two_tenants_with_settings_both_come_to_their_turn(world, tight):
    """Both wait for the one server connection. Each had it until its settings were in place; then it
    was given to the other, who had waited longer, and so on for good."""
    with (wire.connect_to_tenant(world.reeve, tight["row", "a"]) as holder,
          wire.connect_to_tenant(world.reeve, tight["schema", "a"]) as one,
          wire.connect_to_tenant(world.reeve, tight["schema", "b"]) as other):
        for waiting in (one, other):
            waiting.ask(query("SET work_mem = '5MB'"))
            waiting.socket.settimeout(SOON)
        holder.ask(query("BEGIN"))
        for waiting in (one, other):
            waiting.send(query("SELECT 5"))
        wait_until(lambda: world.reeve.cli("status", json=True).json["server"]["clients_waiting"] == 2,
                   "both wait")
        holder.ask(query("COMMIT"))
        for waiting in (one, other):
            assert values(waiting.receive_until("Z")) == [[b"5"]]


def test_half_a_message_is_not_run(one, two):
    """The proxy's Terminate to the server was taken for the rest of it, and the server committed."""
    name = f"half {time.monotonic_ns()}"
    one.ask(query(f"BEGIN; INSERT INTO thing (name) VALUES ('{name}')"))
    one.send(parse("COMMIT"), bind(), flush())
    one.receive_until("2")
    one.send(execute()[:-2])
    one.close()
    assert values(two.ask(query(f"SELECT count(*) FROM thing WHERE name = '{name}'"))) == [[b"0"]]


# ---- prepared statements ----

def test_flush_brings_every_answer(one):
    one.send(parse("SELECT 1", "flushed"), bind(name="flushed"), execute(), close("S", "flushed"),
             flush())
    one.socket.settimeout(SOON)
    try:
        assert types(one.receive() for _ in range(5)) == "12DC3"
    except TimeoutError:
        raise AssertionError("no CloseComplete") from None


def test_the_unnamed_statement_outlives_the_proxys_queries(one):
    one.ask(parse("SELECT set_config('work_mem', '5MB', false)"), sync())
    for _ in range(2):
        assert types(one.ask(bind(), execute(), sync())) == "2DCZ"


def prepared_elsewhere(one, neighbour, sql):
    """A statement of a client's whose server connection has gone to a neighbour since."""
    one.ask(parse(sql, "mine"), sync())
    neighbour.ask(query("SELECT 1"))


FAILS = parse("SELECT 1/0") + bind() + execute()


def test_prepared_again_behind_an_error(one, neighbour):
    prepared_elsewhere(one, neighbour, "SELECT 'mine'")
    run = bind(name="mine") + execute()
    found = one.ask(FAILS, run, sync(), run, sync(), ready=2)
    assert values(found) == [[b"mine"]], found


def test_prepared_twice_behind_an_error(one, neighbour):
    prepared_elsewhere(one, neighbour, "SELECT 'mine'")
    run = bind(name="mine") + execute()
    found = one.ask(FAILS, run, sync(), parse("SELECT 'other'", "mine"), sync(), ready=2)
    assert error_of(found[-2:]) == "42P05", found
    assert values(one.ask(run, sync())) == [[b"mine"]]


def test_deallocate_among_other_statements(one):
    one.ask(parse("SELECT 1", "mine"), sync())
    assert error_of(one.ask(query("DEALLOCATE mine; SELECT 2"))) is None


def test_deallocate_behind_another_statement(one):
    one.ask(parse("SELECT 1", "mine"), sync())
    assert error_of(one.ask(query("SELECT 2; DEALLOCATE mine"))) is None


def test_deallocate_of_many_names_that_look_like_the_proxys(one):
    """Each becomes longer: the text that is sent must not be cut off."""
    text = "DEALLOCATE reeve_;" * 3500
    assert error_of(one.ask(query(text))) == "26000"
    one.ask(query("BEGIN"))
    assert error_of(one.ask(query("ROLLBACK;" + text))) == "26000"


def test_names_during_a_copy_that_deallocates(one):
    """What names something waits for DEALLOCATE, which waits for the COPY, which is the client's."""
    one.ask(parse("SELECT 1", "mine"), sync())
    one.send(query("COPY thing (name) FROM STDIN; DEALLOCATE mine"))
    assert one.receive().type == "G"
    one.send(parse("SELECT 1"))
    one.socket.settimeout(SOON)
    try:
        assert types(one.rest()) == "E"
    except TimeoutError:
        raise AssertionError("the client waits for itself") from None



@pytest.mark.parametrize("what", ["mine", "ALL"])
def test_deallocate_twice_in_one_text(one, what):
    one.ask(parse("SELECT 1", "mine"), sync())
    assert error_of(one.ask(query(f"DEALLOCATE {what}; DEALLOCATE mine"))) == "26000"
    assert error_of(one.ask(parse("SELECT 3", "mine"), sync())) is None


def test_deallocate_all_behind_another_statement(one):
    one.ask(parse("SELECT 1", "mine"), sync())
    one.ask(query("SELECT 2; DEALLOCATE ALL"))
    assert error_of(one.ask(parse("SELECT 3", "mine"), sync())) is None


@pytest.mark.parametrize("sql", ["DISCARD ALL", "DEALLOCATE ALL", "DEALLOCATE mine"])
def test_refused_discard_takes_nothing(one, sql):
    one.ask(parse("SELECT 1", "mine"), sync())
    one.ask(query("BEGIN"))
    if sql != "DISCARD ALL":
        one.ask(query("SELECT 1/0"))
    assert error_of(one.ask(query(sql))) in ("25001", "25P02")
    one.ask(query("ROLLBACK"))
    assert values(one.ask(bind(name="mine"), execute(), sync())) == [[b"1"]]


@pytest.mark.parametrize("sql", ["DISCARD ALL", "DEALLOCATE ALL", "DEALLOCATE mine"])
def test_skipped_discard_takes_nothing(one, sql):
    one.ask(parse("SELECT 1", "mine"), sync())
    one.ask(parse("SELECT 1/0"), bind(), execute(), parse(sql), bind(), execute(), sync())
    assert values(one.ask(bind(name="mine"), execute(), sync())) == [[b"1"]]


@pytest.mark.parametrize("mode", ["row", "schema", "database"])
def test_a_literal_means_what_its_clients_settings_say(world, tight, mode):
    """The statement of another client of the same tenant was taken, as that one's settings read it."""
    days = parse("SELECT '03/04/2005'::date - '2005-01-01'::date", "days")
    run = bind(name="days") + execute() + sync()
    with (wire.connect_to_tenant(world.reeve, tight[mode, "a"]) as one,
          wire.connect_to_tenant(world.reeve, tight[mode, "a"]) as two):
        one.ask(query("SET DateStyle = 'ISO, DMY'"))
        for messages in (days + run, run):
            assert values(one.ask(messages)) == [[b"92"]]
            assert values(two.ask(messages)) == [[b"62"]]


@pytest.mark.parametrize("mode", ["row", "schema", "database"])
def test_a_literal_parsed_after_set_local(world, tight, mode):
    """The same with a statement of a transaction that has settings of its own."""
    days = parse("SELECT '03/04/2005'::date - '2005-01-01'::date", "days")
    run = bind(name="days") + execute() + sync()
    with (wire.connect_to_tenant(world.reeve, tight[mode, "a"]) as one,
          wire.connect_to_tenant(world.reeve, tight[mode, "a"]) as two):
        one.ask(query("BEGIN; SET LOCAL DateStyle = 'ISO, DMY'"))
        assert values(one.ask(days, run)) == [[b"92"]]
        one.ask(query("COMMIT"))
        assert values(two.ask(days, run)) == [[b"62"]]


# ---- what is refused ----

@pytest.fixture(params=["row", "schema"])
def deaf(world, request):
    """A client in a shared database without the guard, where nobody can listen."""
    tenant = world.new_tenant(request.param)
    if ENFORCEMENT == "guard":
        world.reeve.cli("placement", "enforce", tenant.slug, tenant.service, "login")
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        yield connection


def test_listen_behind_another_statement_is_refused(deaf):
    assert error_of(deaf.ask(query("SELECT 1; LISTEN something"))) == "0A000"


@pytest.mark.parametrize("name", ["", "named"])
def test_listen_as_a_prepared_statement_is_refused(deaf, name):
    """What nobody would ever hear must not look as if it listened; and the session goes on."""
    for _ in range(2):
        found = deaf.ask(parse('listen "something"', name), bind([], name), execute(), sync())
        assert error_of(found) == "0A000"
        deaf.ask(close("S", name), sync())
    assert values(deaf.ask(query("SELECT 1"))) == [[b"1"]]


def test_what_stands_before_listen_is_done(deaf):
    deaf.ask(query("BEGIN"))
    found = deaf.ask(query("SELECT 1; COMMIT; SELECT 2; LISTEN something; SELECT 3"))
    assert (values(found), error_of(found)) == ([[b"1"], [b"2"]], "0A000")
    assert found[-1].body == b"I"


def test_an_unknown_message_behind_an_error(one):
    one.send(parse("SELEKT"), flush())
    assert one.receive().sqlstate == "42601"
    one.send(frame("?", b"what"))
    one.socket.settimeout(SOON)
    try:
        assert types(one.rest()) == "E"
    except TimeoutError:
        raise AssertionError("the connection stays") from None


@pytest.mark.parametrize("mode", ["row", "schema"])
def test_advisory_locks_of_two_tenants_do_not_meet(world, mode):
    with (wire.connect_to_tenant(world.reeve, world.new_tenant(mode)) as mine,
          wire.connect_to_tenant(world.reeve, world.new_tenant(mode)) as theirs):
        lock = query(f"SELECT pg_try_advisory_lock({time.monotonic_ns() % (1 << 31)})")
        found = [mine.ask(lock), theirs.ask(lock)]
    if ENFORCEMENT == "login":
        assert [error_of(messages) for messages in found] == ["42501", "42501"]
    else:
        assert [values(messages) for messages in found] == [[[b"t"]], [[b"t"]]]
