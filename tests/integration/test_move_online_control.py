"""kill -9 of the control database in the midst of a move, while an application works: it is told of nothing, the
move is done or undone when the catalog is there again, and no acknowledged write is lost or doubled."""
import pytest

from support.apart import running_apart
from support.bank import (SERVICE, WAL, goes_on, kill_server, let_go, resume, bank_fixtures, started, stopped_move,
                          wait_until_stopped)
from test_crash import crash
from test_move_online_crash import between

# Where the mover is meanwhile, in their order. With a tenant that waits, it can wait until the catalog is back.
PLACES = ["move.slot", "move.copying", "move.catching_up", "move.applying", "move.hold", "move.held", "move.fenced",
          "move.marked", "move.flipping", "move.flipped", "move.comparing", "move.settling"]
FLIPPED = {"move.flipped", "move.comparing", "move.settling"}


bank, alive = bank_fixtures(lambda: running_apart(settings=WAL))


def killed_meanwhile(bank, running, back_first):
    """The mover hears of it before the server is there again, or finds it there again."""
    server = bank.reeve.server
    kill_server(server)
    if back_first:
        server.start()
        let_go(running)
        return
    try:
        let_go(running)
    finally:
        server.start()


def assert_whole(bank, tenant, application):
    assert application.errors == []
    bank.check(tenant, application)
    assert bank.leftovers() == [] and bank.audited() == []


@pytest.mark.parametrize("back_first", [False, True], ids=["away", "back"])
@pytest.mark.parametrize("at", PLACES)
def test_a_killed_catalog(bank, at, back_first):
    before, after = between(PLACES.index(at))
    tenant = bank.tenant_at(*before)
    with bank.working(tenant) as application:
        with stopped_move(bank, tenant, *after, at) as running:
            killed_meanwhile(bank, running, back_first)
        goes_on(application)
        resume(bank)
        goes_on(application)
        found = bank.phase(tenant), bank.place(tenant)
        assert found in [("moved", after)] + ([] if at in FLIPPED else [("aborted", before)]), running.err
        if found[0] == "moved":
            bank.behind("finish", tenant)
            goes_on(application)
    assert_whole(bank, tenant, application)


@pytest.mark.parametrize("number, at", enumerate(["move.catching_up", "move.fenced", "move.flipping", "move.flipped"]))
def test_a_killed_catalog_on_the_way_back(bank, number, at):
    before, after = between(number)
    tenant = bank.tenant_at(*before)
    with bank.working(tenant) as application:
        bank.move(tenant, *after)
        goes_on(application)
        with started(bank, "revert", tenant.slug, SERVICE, REEVE_STOP_AT=at) as running:
            wait_until_stopped(running, at)
            killed_meanwhile(bank, running, False)
        resume(bank)
        goes_on(application)
        found = bank.phase(tenant), bank.place(tenant)
        assert found in (("moved", after), ("reverted", before)), running.err
        if found[0] == "moved":
            bank.behind("revert", tenant)
            goes_on(application)
    assert_whole(bank, tenant, application)


@pytest.mark.parametrize("at", ["move_finish.finishing.after", "isolation.drop.place.after"])
def test_a_killed_catalog_when_it_is_finished(bank, at):
    before, after = between(1)
    tenant = bank.tenant_at(*before)
    with bank.working(tenant) as application:
        bank.move(tenant, *after)
        with started(bank, "finish", tenant.slug, SERVICE, REEVE_STOP_AT=at) as running:
            wait_until_stopped(running, at)
            killed_meanwhile(bank, running, False)
        resume(bank)
        goes_on(application)
        assert (bank.phase(tenant), bank.place(tenant)) == ("finished", after), running.err
    assert_whole(bank, tenant, application)


@pytest.mark.parametrize("at", ["move_online.compensate.before", "isolation.drop.place.after"])
def test_a_killed_catalog_when_it_is_aborted(bank, at):
    """Nobody else is to take up the move before its abort does: no `reeve serve` runs meanwhile."""
    before, after = between(2)
    tenant = bank.tenant_at(*before)
    bank.reeve.stop()
    crash(bank.reeve, "move.catching_up", "move", tenant.slug, SERVICE, "--to", after[0], "--cluster", after[1])
    with started(bank, "abort", tenant.slug, SERVICE, REEVE_STOP_AT=at) as running:
        wait_until_stopped(running, at)
        killed_meanwhile(bank, running, False)
    bank.reeve.start()
    with bank.working(tenant) as application:
        resume(bank)
        goes_on(application)
        assert (bank.phase(tenant), bank.place(tenant)) == ("aborted", before), running.err
    assert_whole(bank, tenant, application)
