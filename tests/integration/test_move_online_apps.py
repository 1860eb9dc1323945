"""Online moves under applications of several drivers, and what may come in between: an abort, a long transaction,
an interruption, a row that was lost."""
import contextlib
import signal

import pytest

from support import wire
from support.bank import (SERVICE, SOON_SECONDS, goes_on, let_go, resume, bank_fixtures, started, stopped_move,
                          wait_until_stopped, working_in_node, working_with_a_pool)
from support.process import wait_until
from support.reeve import running_serve
from test_crash import crash
from test_move_online_crash import LOCAL, PAIRS, between

BUDGET_SECONDS, SLACK_SECONDS = 2, 1


MODES = ("row", "schema", "database")
# Each isolation to each other one within a cluster, and to each on another.
EVERYWHERE = [((before, "local"), (after, "local")) for before in MODES for after in MODES if before != after] + [
    ((before, "one"), (after, "two")) for before in MODES for after in MODES]


bank, alive = bank_fixtures()


def assert_whole(bank, tenant, *applications):
    """Nobody has seen an error; everything that was acknowledged is there once."""
    first = applications[0]
    for application in applications:
        assert application.errors == []
    with bank.reeve.connect(tenant) as connection:
        first.acknowledged += [note for one in applications[1:] for note in one.acknowledged]
        first.check(connection)
    assert bank.leftovers() == [] and bank.audited() == []


@pytest.mark.parametrize("before, after", EVERYWHERE, ids=lambda place: "-".join(place))
def test_applications(bank, before, after):
    """With psycopg, connecting often; with its pool, through another proxy; and with node-postgres and its pool."""
    tenant = bank.tenant_at(*before)
    with running_serve(bank.reeve) as proxy, bank.working(tenant) as plain, working_in_node(bank, tenant) as node, \
            working_with_a_pool(proxy.conninfo(tenant)) as pool:
        done = bank.move(tenant, *after, json=True).json
        for application in (plain, node, pool):
            goes_on(application, 20)
        assert bank.place(tenant) == after
        bank.behind("finish", tenant)
        for application in (plain, node, pool):
            goes_on(application, 20)
    assert done["pause_ms"] < 1000 * (BUDGET_SECONDS + SLACK_SECONDS)
    assert_whole(bank, tenant, plain, node, pool)


def make_it_long(bank, tenant):
    """The move's own pauses, as nothing of a way back is."""
    [(number,)] = bank.reeve.query(
        "UPDATE reeve.move m SET pauses = pauses + 1000, longest_pause_us = 3600000000 FROM reeve.placement p JOIN"
        " reeve.tenant t ON t.id = p.tenant_id WHERE p.id = m.placement_id AND t.slug = %s RETURNING m.pauses", tenant.slug)
    assert number > 1000


@pytest.mark.parametrize("pair", PAIRS)
def test_going_back_under_applications(bank, pair):
    before, after = PAIRS[pair]
    tenant = bank.tenant_at(*before)
    with bank.working(tenant, threads=2) as plain, working_in_node(bank, tenant) as node:
        bank.move(tenant, *after)
        for application in (plain, node):
            goes_on(application, 20)
        make_it_long(bank, tenant)
        bank.behind("revert", tenant, "--pause", f"{BUDGET_SECONDS}s")
        assert 0 < bank.last_move(tenant)["pauses"] < 1000  # the way back's own
        for application in (plain, node):
            goes_on(application, 20)
        assert bank.place(tenant) == before
        assert bank.last_move(tenant)["pause_ms"] < 1000 * (BUDGET_SECONDS + SLACK_SECONDS)
    assert_whole(bank, tenant, plain, node)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_session_that_keeps_its_server_connection(bank, pair):
    """It is told to connect again, in no transaction; and does so at the new place."""
    before, after = PAIRS[pair]
    tenant = bank.tenant_at(*before)
    with bank.working(tenant) as application, wire.connect_to_tenant(bank.reeve, tenant) as kept:
        kept.ask(wire.query("PREPARE said AS INSERT INTO visit (path) VALUES ($1); EXECUTE said ('before')"))
        done = bank.move(tenant, *after, json=True).json
        with contextlib.suppress(ConnectionError):
            kept.send(wire.query("EXECUTE said ('late')"))
        told = kept.rest()
        assert [message.type for message in told] == ["E"] and told[0].sqlstate in ("57P01", "53300"), told
        with bank.reeve.connect(tenant) as again:
            again.execute("INSERT INTO visit (path) VALUES ('after')")
            assert again.execute("SELECT path FROM visit WHERE path IN ('before', 'late', 'after') ORDER BY id"
                                 ).fetchall() == [("before",), ("after",)]
        bank.behind("finish", tenant)
    assert done["pause_ms"] < 1000 * (BUDGET_SECONDS + SLACK_SECONDS)
    assert_whole(bank, tenant, application)


# ---- aborts ----

def abort_while_stopped(bank, tenant, running):
    """While the mover is stopped somebody aborts; both go on to their end. What the abort said."""
    with started(bank, "abort", tenant.slug, SERVICE) as aborting:
        wait_until(lambda: aborting.poll() is not None or bank.reeve.query(
            "SELECT count(*) FROM reeve.move WHERE stop_wanted AND ended_at IS NULL") == [(1,)]
            or bank.reeve.query("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~"
                                " 'stop_wanted'") == [(1,)], "it is told", SOON_SECONDS)
        let_go(running)
        let_go(aborting)
        return aborting.returncode, aborting.err


ABORTS = ["move.slot", "move.copying", "move.copied", "move.catching_up", "move.hold", "move.held", "move.fenced",
          "move.marked", "move.begun_back"]


@pytest.mark.parametrize("number, at", enumerate(ABORTS))
def test_aborted(bank, number, at):
    """It stays where it was, and another move of it works."""
    before, after = between(number)
    tenant = bank.tenant_at(*before)
    with bank.working(tenant) as application:
        with stopped_move(bank, tenant, *after, at) as running:
            assert abort_while_stopped(bank, tenant, running) == (0, "")
            assert running.returncode != 0 and "aborted" in running.err
        goes_on(application)
        assert (bank.phase(tenant), bank.place(tenant)) == ("aborted", before)
        assert bank.leftovers() == []
        bank.move(tenant, *after)
        goes_on(application)
        bank.behind("finish", tenant)
        assert bank.place(tenant) == after
        goes_on(application)
    assert_whole(bank, tenant, application)


@pytest.mark.parametrize("at", ["move.flipping", "move.flipped", "move.comparing", "move.settling"])
def test_aborted_too_late(bank, at):
    """The tenant has moved, or is about to: whoever aborts is told so, unless it was taken back."""
    tenant = bank.tenant_at("schema", "one")
    with bank.working(tenant) as application:
        with stopped_move(bank, tenant, "schema", "two", at) as running:
            code, err = abort_while_stopped(bank, tenant, running)
        goes_on(application)
        undone = bank.place(tenant) == ("schema", "one")
        assert (code == 0) == undone and (undone or "moved" in err), (code, err)
        if not undone:
            assert (bank.phase(tenant), bank.last_move(tenant)["error"]) == ("moved", None)
            bank.behind("finish", tenant)
    assert_whole(bank, tenant, application)


@pytest.mark.parametrize("number, at", enumerate(["move.catching_up", "move.held", "move.fenced", "move.marked"]))
def test_a_way_back_that_is_aborted(bank, number, at):
    """The tenant stays at its new place, and may go back later."""
    before, after = between(number)
    tenant = bank.tenant_at(*before)
    with bank.working(tenant) as application:
        bank.move(tenant, *after)
        goes_on(application)
        with started(bank, "revert", tenant.slug, SERVICE, REEVE_STOP_AT=at) as running:
            wait_until_stopped(running, at)
            assert abort_while_stopped(bank, tenant, running) == (0, "")
            assert running.returncode != 0 and "aborted" in running.err
        goes_on(application)
        assert (bank.phase(tenant), bank.place(tenant)) == ("moved", after)
        bank.behind("revert", tenant)
        goes_on(application)
        assert (bank.phase(tenant), bank.place(tenant)) == ("reverted", before)
    assert_whole(bank, tenant, application)


@pytest.mark.parametrize("number, at", [(0, "move.copying"), (1, "move.catching_up"),
                                        *enumerate(["move.held", "move.fenced", "move.marked"])])
def test_interrupted(bank, number, at):
    """Ctrl-C: the tenant does not wait, and the move is undone or gone on with."""
    before, after = between(number)
    tenant = bank.tenant_at(*before)
    with bank.working(tenant) as application:
        with stopped_move(bank, tenant, *after, at) as running:
            running.send_signal(signal.SIGINT)
            assert let_go(running) == 130
        waiting = "cannot go on yet" in running.err
        resume(bank)
        goes_on(application)
        phase = bank.phase(tenant)
        assert (phase, bank.place(tenant)) in (("aborted", before), ("moved", after))
        if phase == "moved":
            bank.behind("finish", tenant)
    assert_whole(bank, tenant, application)
    assert not waiting, running.err


# ---- transactions that take long ----

@pytest.mark.parametrize("before", LOCAL)
def test_a_long_transaction(bank, before):
    """The tenant waits for no longer than it may, again and again; when that has ended, it moves."""
    tenant = bank.tenant_at(before, "one")
    with bank.working(tenant) as application, stopped_move(bank, tenant, "schema", "two", "move.hold") as running, \
            bank.reeve.connect(tenant) as long:
        long.execute("BEGIN")
        long.execute("INSERT INTO visit (path) VALUES ('long')")
        pauses = {}

        def tried_again():
            running.send_signal(signal.SIGCONT)
            assert running.poll() is None, running.err
            pauses.update(bank.pauses(tenant))
            return len(pauses) > 2

        wait_until(tried_again, "it is tried three times", SOON_SECONDS)
        assert bank.place(tenant) == (before, "one")
        long.execute("COMMIT")
        assert let_go(running) == 0, running.err
        pauses.update(bank.pauses(tenant))
        told = bank.last_move(tenant)
        assert told["pauses"] >= len(pauses) and abs(told["pause_ms"] - max(pauses.values()) * 1000) <= 1
        assert long.execute("SELECT count(*) FROM visit WHERE path = 'long'").fetchone() == (1,)
        goes_on(application)
        bank.behind("finish", tenant)
    assert max(pauses.values()) < BUDGET_SECONDS + SLACK_SECONDS
    assert_whole(bank, tenant, application)


def test_a_neighbours_long_transaction(bank):
    """Making a slot waits for it; the tenant does not."""
    tenant, neighbour = bank.tenant_at("schema", "one"), bank.tenant_at("row", "one")
    with bank.working(tenant) as application, bank.reeve.connect(neighbour) as long:
        long.execute("BEGIN")
        long.execute("INSERT INTO visit (path) VALUES ('long')")
        with started(bank, tenant.slug, SERVICE, "--to", "schema", "--cluster", "two") as running:
            wait_until(lambda: bank.is_in(tenant, "copying"), "it is about to copy", SOON_SECONDS)
            goes_on(application, 50)
            assert running.poll() is None and bank.pauses(tenant) == {}
            long.execute("COMMIT")
            assert let_go(running) == 0, running.err
        goes_on(application)
        bank.behind("finish", tenant)
    assert_whole(bank, tenant, application)


def test_an_abort_behind_a_neighbours_long_transaction(bank):
    tenant, neighbour = bank.tenant_at("schema", "one"), bank.tenant_at("row", "one")
    with bank.working(tenant) as application, bank.reeve.connect(neighbour) as long:
        long.execute("BEGIN")
        long.execute("INSERT INTO visit (path) VALUES ('long')")
        with started(bank, tenant.slug, SERVICE, "--to", "schema", "--cluster", "two") as running:
            wait_until(lambda: bank.is_in(tenant, "copying"), "it is about to copy", SOON_SECONDS)
            goes_on(application, 50)
            bank.behind("abort", tenant, seconds=8)
            let_go(running)
        long.execute("COMMIT")
        goes_on(application)
        assert (bank.phase(tenant), bank.place(tenant)) == ("aborted", ("schema", "one"))
    assert_whole(bank, tenant, application)


# ---- what is not as it should be ----

@pytest.mark.parametrize("pair", PAIRS)
def test_a_lost_row(bank, pair):
    """The comparison says which, and the tenant is taken back with what it has written since."""
    before, after = PAIRS[pair]
    tenant = bank.tenant_at(*before)
    with bank.working(tenant) as application:
        lost = bank.move(tenant, *after, "--jobs", "1", env={"REEVE_FAIL_AT": "move.lose.node"}, check=False)
        goes_on(application)
        assert lost.code != 0
        last = bank.last_move(tenant)
        assert "differs" in last["error"] and "is missing" in last["error"]
        assert (last["phase"], bank.place(tenant)) == ("reverted", before)
    assert_whole(bank, tenant, application)


@pytest.mark.parametrize("at", ["move.flipped", "move.comparing"])
def test_a_lost_row_and_a_killed_mover(bank, at):
    """Who goes on with it compares."""
    before = "schema", "one"
    tenant = bank.tenant_at(*before)
    with bank.working(tenant) as application:
        crash(bank.reeve, at, "move", tenant.slug, SERVICE, "--cluster", "two", REEVE_FAIL_AT="move.lose.node")
        goes_on(application)
        resume(bank)
        goes_on(application)
        last = bank.last_move(tenant)
        assert "differs" in last["error"] and 'table "node", key (' in last["error"]
        assert "is missing" in last["error"]
        assert (last["phase"], bank.place(tenant)) == ("reverted", before)
    assert_whole(bank, tenant, application)


def test_a_lost_row_that_is_changed_meanwhile(bank):
    """The stream finds it, and the move is undone in front of the flip."""
    before = "schema", "one"
    tenant = bank.tenant_at(*before)
    with bank.working(tenant) as application:
        lost = bank.move(tenant, "schema", "two", env={"REEVE_FAIL_AT": "move.lose.tally"}, check=False)
        assert lost.code != 0 and "where it was to be" in lost.err
        goes_on(application)
        assert (bank.phase(tenant), bank.place(tenant)) == ("aborted", before)
    assert_whole(bank, tenant, application)
