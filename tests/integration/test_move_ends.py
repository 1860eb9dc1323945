"""How moves end, where somebody else wants something of the tenant meanwhile: who aborts what goes back already,
who lets it wait, a server that never comes back, a time that is over."""
import contextlib
import signal

import pytest

from support.agreement import wait_for_jobs
from support.bank import (SERVICE, SOON_SECONDS, goes_on, is_stopped, let_go, resume, bank_fixtures, started,
                          stopped_move, wait_until_stopped)
from support.process import wait_until
from support.reeve import running_serve
from support.some import some
from test_crash import KILLED
from test_move_online_apps import abort_while_stopped
from test_move_online_crash import LOCAL

BEFORE, AFTER = LOCAL["schema"], LOCAL["database"]
DIFFERS = {"REEVE_FAIL_AT": "move.lose.visit"}  # the comparison finds that a row is missing


bank, alive = bank_fixtures()


def assert_whole(bank, tenant, application):
    assert application.errors == []
    bank.check(tenant, application)
    assert bank.leftovers() == [] and bank.audited() == []


def refused(bank, *command):
    result = bank.reeve.cli(*command, check=False)
    assert result.code != 0, result.text
    return result.err


def go_on(running):
    running.send_signal(signal.SIGCONT)


def write_wal(server, megabytes):
    """Somebody else on that server."""
    with server.connect() as admin:
        for _ in range(megabytes):
            admin.execute("SELECT pg_logical_emit_message(false, 'other', repeat('x', 1 << 20))")


def version_of_row(bank):
    return bank.reeve.query("SELECT xmin::text FROM reeve.move WHERE ended_at IS NULL")


def test_an_abort_of_what_goes_back_already(bank):
    """It was found to differ behind its flip. Who wants the move undone does not stop that it is."""
    tenant = bank.tenant_at(*BEFORE)
    with bank.working(tenant) as application:
        with started(bank, tenant.slug, SERVICE, "--to", AFTER[0], REEVE_STOP_AT="move.hold", **DIFFERS) as running:
            wait_until(lambda: is_stopped(running) and (bank.is_in(tenant, "reverting") or go_on(running)),
                       "it goes back", SOON_SECONDS)
            before = version_of_row(bank)
            with started(bank, "abort", tenant.slug, SERVICE) as aborting:
                wait_until(lambda: version_of_row(bank) != before, "it is told", SOON_SECONDS)
                let_go(running)
                assert let_go(aborting) == 0, aborting.err
        goes_on(application)
        assert (bank.phase(tenant), bank.place(tenant)) == ("reverted", BEFORE)
    assert_whole(bank, tenant, application)


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_server_that_is_gone_while_it_goes_back(bank, comes_back):
    """It is tried for as long as it takes: the place where it is, is known to differ. Unless somebody says that the
    tenant is to stay there."""
    tenant = bank.tenant_at(*BEFORE)
    with running_serve(bank.reeve) as gone, bank.working(tenant) as application:
        with started(bank, tenant.slug, SERVICE, "--to", AFTER[0], REEVE_STOP_AT="move.comparing",
                     REEVE_PATIENCE_US="1000", **DIFFERS) as running:
            wait_until_stopped(running, "move.comparing")
            gone.process.kill()
            gone.process.wait()
            assert let_go(running) != 0
        goes_on(application)
        last = bank.last_move(tenant)
        assert (last["phase"], last["offline"], bank.place(tenant)) == ("reverting", False, AFTER), running.err
        if not comes_back:
            refused(bank, "move", "abort", tenant.slug, SERVICE, "--abandon")
            assert (bank.phase(tenant), bank.place(tenant)) == ("moved", AFTER)
        gone.start()
        if comes_back:
            resume(bank)
        else:
            assert "--anyway" in refused(bank, "move", "finish", tenant.slug, SERVICE)
            bank.behind("finish", tenant, "--anyway")
        goes_on(application)
        assert bank.place(tenant) == (BEFORE if comes_back else AFTER)
    assert_whole(bank, tenant, application)


def test_a_server_that_is_gone_is_told_before(bank):
    tenant = bank.tenant_at(*BEFORE)

    def found(*options):
        plan = bank.reeve.cli("move", tenant.slug, SERVICE, "--to", AFTER[0], "--dry-run", *options, json=True).json
        return [[one["what"] for one in plan[kind] if "is gone" in one["what"]] for kind in ("problems", "remarks")]

    assert found() == found("--offline") == [[], []]
    with running_serve(bank.reeve) as gone:
        gone.process.kill()
        gone.process.wait()
        wait_until(lambda: found()[1], "it is gone", SOON_SECONDS)
        assert [len(texts) for texts in found()] == [0, 1]
        assert [len(texts) for texts in found("--offline")] == [1, 0]
        assert found("--ignore-unreachable") == found("--offline", "--ignore-unreachable") == [[], []]
        gone.start()


def test_holds(bank):
    """A move ends with the tenant going on: whom somebody lets wait is not moved, and the other way round."""
    tenant = bank.tenant_at(*BEFORE)
    hold, release = ["hold", tenant.slug, "--for", "5m"], ["release", tenant.slug]
    bank.reeve.cli(*hold)
    assert "reeve release" in refused(bank, "move", tenant.slug, SERVICE, "--to", AFTER[0])
    bank.reeve.cli(*release)
    with bank.working(tenant) as application:
        with stopped_move(bank, tenant, *AFTER, "move.copying") as running:
            assert "is being moved" in refused(bank, *hold)
            assert let_go(running) == 0, running.err
        bank.reeve.cli(*hold)
        assert "reeve release" in refused(bank, "move", "revert", tenant.slug, SERVICE)
        bank.reeve.cli(*release)
        bank.behind("revert", tenant)
        goes_on(application)
    assert_whole(bank, tenant, application)


@pytest.mark.parametrize("at, phase", [("move.held", "moved"), ("move.copying", "moved"), ("move.flipped", "reverted")])
def test_an_abort_of_a_copy_back(bank, at, phase):
    tenant = bank.tenant_at(*BEFORE)
    with bank.working(tenant) as application:
        bank.move(tenant, *AFTER, "--offline")
        with started(bank, "revert", tenant.slug, SERVICE, REEVE_STOP_AT=at) as running:
            wait_until_stopped(running, at)
            assert bank.phase(tenant) == "reverting"
            code, err = abort_while_stopped(bank, tenant, running)
        goes_on(application)
        assert bank.phase(tenant) == phase
        if phase == "moved":
            assert (code, err) == (0, "") and bank.place(tenant) == AFTER
            bank.behind("revert", tenant)
        else:
            assert code != 0 and "at its old place" in err
        assert bank.place(tenant) == BEFORE
        goes_on(application)
    assert_whole(bank, tenant, application)


def test_the_slot_goes_with_the_flip(bank):
    """Comparing may take long, and it would keep WAL where others work."""
    tenant = bank.tenant_at("schema", "one")
    with stopped_move(bank, tenant, "schema", "two", "move.settling") as running:
        with bank.connect("one") as admin:
            assert admin.execute("SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'reeve_move_%'"
                                 ).fetchall() == []
        assert let_go(running) == 0, running.err
    bank.behind("finish", tenant)
    assert bank.leftovers() == []


# ---- what others do meanwhile ----

@pytest.mark.parametrize("kept, at", [(True, "move.copying"), (False, "move.copying"), (False, "move.hold")])
def test_a_slot_that_keeps_too_much(bank, kept, at):
    """The move is given up: for --keep-wal, or as the server has dropped what it needs (and ended who read it)."""
    source = bank.servers["one"]
    tenant = bank.tenant_at("schema", "one")
    with bank.working(tenant) as application:
        with stopped_move(bank, tenant, "schema", "two", at, *(["--keep-wal", "16MB"] if kept else [])) as running, \
                source.connect() as admin:
            if not kept:
                admin.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
                admin.execute("SELECT pg_reload_conf()")
            try:
                write_wal(source, 40)
                if not kept:
                    admin.execute("CHECKPOINT")
                assert let_go(running) != 0
            finally:
                admin.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
                admin.execute("SELECT pg_reload_conf()")
        goes_on(application)
        wait_until(lambda: bank.phase(tenant) == "aborted", "it is undone", SOON_SECONDS)
        goes_on(application)
        last = bank.last_move(tenant)
        assert bank.place(tenant) == ("schema", "one")
        assert ("MB of WAL, and may 16" if kept else "has dropped WAL") in last["error"], last["error"]
    assert_whole(bank, tenant, application)


def test_a_stream_that_does_not_get_nearer(bank):
    """With a pause that is too short for it: it is told, and not tried for ever."""
    tenant = bank.tenant_at(*BEFORE)
    with bank.working(tenant) as application:
        failed = bank.move(tenant, *AFTER, env={"REEVE_SOON_US": "0", "REEVE_CATCH_UP_US": "1000000"}, check=False)
        assert failed.code != 0 and "does not catch up" in failed.err and "--pause" in failed.err
        goes_on(application)
        assert (bank.phase(tenant), bank.place(tenant)) == ("aborted", BEFORE)
    assert_whole(bank, tenant, application)


def tried_again(running, at):
    """It has given up this attempt, and comes there once more."""
    go_on(running)
    wait_until(lambda: not is_stopped(running), "it goes on", SOON_SECONDS)
    wait_until_stopped(running, at)


def test_a_hold_that_came_meanwhile(bank):
    """Somebody else's is not ended by the cutover; behind it the tenant moves."""
    tenant = bank.tenant_at(*BEFORE)
    held = ("UPDATE reeve.placement SET held_until = now() + %s FROM reeve.tenant t WHERE t.id = tenant_id AND t.slug = %s"
            " RETURNING 1")
    with bank.working(tenant) as application:
        with stopped_move(bank, tenant, *AFTER, "move.hold") as running:
            bank.reeve.query(held, "10 minutes", tenant.slug)
            tried_again(running, "move.hold")
            assert (bank.place(tenant), bank.pauses(tenant)) == (BEFORE, {})
            bank.reeve.query(held, None, tenant.slug)
            assert let_go(running) == 0, running.err
        goes_on(application)
        bank.behind("finish", tenant)
        assert bank.place(tenant) == AFTER
    assert_whole(bank, tenant, application)


def test_a_prepared_transaction_at_the_cutover(bank):
    """It is the tenant's, and goes on without a session: it is waited for, and comes along."""
    tenant = bank.tenant_at("schema", "one")
    [(database, schema, role)] = bank.reeve.query(
        "SELECT p.database, p.schema, p.role FROM reeve.placement p JOIN reeve.tenant t ON t.id = p.tenant_id"
        " WHERE t.slug = %s", tenant.slug)
    with bank.working(tenant) as application:
        with stopped_move(bank, tenant, "schema", "two", "move.hold") as running, \
                bank.connect("one", database) as admin:
            admin.execute(f"BEGIN; SET LOCAL ROLE {role}; INSERT INTO {schema}.visit (path) VALUES ('prepared');"
                          " PREPARE TRANSACTION 'left'")
            try:
                go_on(running)
                wait_until(lambda: bank.last_move(tenant)["pauses"] == 1, "it was in the way", SOON_SECONDS)
                goes_on(application, 20)
                assert bank.place(tenant) == ("schema", "one")
            finally:
                admin.execute("COMMIT PREPARED 'left'")
            assert let_go(running) == 0, running.err
        goes_on(application)
        with bank.reeve.connect(tenant) as connection:
            assert connection.execute("SELECT count(*) FROM visit WHERE path = 'prepared'").fetchone() == (1,)
        bank.behind("finish", tenant)
        assert bank.place(tenant) == ("schema", "two")
    assert_whole(bank, tenant, application)


LASTING_RUNNERS = 4  # of a `reeve serve`


@pytest.mark.parametrize("back", some([False, True], [False]))
def test_a_tenant_that_waits_comes_first(bank, back):
    """However many moves a `reeve serve` has to go on with, and however long those take."""
    waits, neighbour = bank.tenant_at("schema", "one"), bank.tenant_at("row", "one")
    command = [waits.slug, SERVICE, "--cluster", "two"]
    if back:
        bank.move(waits, "schema", "two")
        command = ["revert", waits.slug, SERVICE]
    busy = [bank.tenant_at("schema", "one") for _ in range(LASTING_RUNNERS)]
    with contextlib.ExitStack() as stack:
        application = stack.enter_context(bank.working(waits))
        running = stack.enter_context(started(bank, *command, REEVE_STOP_AT="move.hold", REEVE_CRASH_AT="move.held"))
        wait_until_stopped(running, "move.hold")
        killed = [stack.enter_context(stopped_move(bank, tenant, "schema", "two", "move.copying")) for tenant in busy]
        long = stack.enter_context(bank.reeve.connect(neighbour))
        long.execute("BEGIN")
        long.execute("INSERT INTO visit (path) VALUES ('long')")  # no slot is made before its end
        for one in killed:
            one.kill()
        are_busy = ("SELECT count(*) FROM reeve.job j JOIN reeve.placement p ON p.id = j.placement_id JOIN reeve.tenant t"
                    " ON t.id = p.tenant_id WHERE t.slug = ANY(%s) AND j.state = 'running' AND j.attempts > 1")
        slugs = [tenant.slug for tenant in busy]
        wait_until(lambda: bank.reeve.query(are_busy, slugs) == [(LASTING_RUNNERS,)], "all are gone on with", SOON_SECONDS)
        assert let_go(running) == KILLED
        goes_on(application)
        assert bank.reeve.query(are_busy, slugs) == [(LASTING_RUNNERS,)] and bank.last_move(waits)["pauses"] >= 1
        long.execute("COMMIT")
        wait_for_jobs(bank.reeve, 2 * SOON_SECONDS)
        goes_on(application)
        for tenant in (waits, *busy):
            if tenant is waits and back:
                assert (bank.phase(tenant), bank.place(tenant)) == ("reverted", ("schema", "one"))
                continue
            assert (bank.phase(tenant), bank.place(tenant)) == ("moved", ("schema", "two"))
            bank.behind("finish", tenant)
    assert_whole(bank, waits, application)


def let_time_pass(bank, tenant, error):
    """Of a move whose old place was to be kept for a minute."""
    bank.reeve.query("UPDATE reeve.move m SET error = %s, phase_at = phase_at - interval '1 hour' FROM"
                     " reeve.placement p JOIN reeve.tenant t ON t.id = p.tenant_id WHERE m.placement_id = p.id"
                     " AND m.ended_at IS NULL AND t.slug = %s", error, tenant.slug)


def test_old_places_whose_time_is_over(bank):
    """They go also where they are not followed any more; but not where the new place may have lost something: what
    is known of that, a way back that is aborted does not take away."""
    unlike, followed = bank.tenant_at(*BEFORE), bank.tenant_at(*BEFORE)
    for tenant in (unlike, followed):
        bank.move(tenant, *AFTER, "--keep", "1m")
    let_time_pass(bank, unlike, "the copy differs; going back along the stream: no")
    let_time_pass(bank, followed, "there was a migration")
    wait_until(lambda: bank.phase(followed) == "finished", "its old place goes", SOON_SECONDS)
    assert bank.phase(unlike) == "moved"  # it was its turn before
    assert "--anyway" in refused(bank, "move", "revert", unlike.slug, SERVICE)
    with started(bank, "revert", unlike.slug, SERVICE, "--offline", "--anyway", REEVE_STOP_AT="move.held") as running:
        wait_until_stopped(running, "move.held")
        assert abort_while_stopped(bank, unlike, running) == (0, "")
    assert "--anyway" in refused(bank, "move", "finish", unlike.slug, SERVICE)
    bank.behind("finish", unlike, "--anyway")
    assert bank.place(unlike) == bank.place(followed) == AFTER and bank.leftovers() == []
