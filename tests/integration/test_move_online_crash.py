"""kill -9 of whatever takes part in an online move, while an application works: of the mover at each step and
within it, of a proxy, of either server. Every acknowledged write is there exactly once, the move is done or
undone, and nothing is left of it."""
import contextlib

import pytest

from support import failpoints
from support.bank import SERVICE, goes_on, only_lost_connections, resume, running_bank
from test_crash import crash

LOCAL = {mode: (mode, "local") for mode in ("row", "schema", "database")}
PAIRS = {"row-schema": (LOCAL["row"], LOCAL["schema"]),
         "schema-database": (LOCAL["schema"], LOCAL["database"]),
         "database-row": (LOCAL["database"], LOCAL["row"]),
         "schema-schema": (("schema", "one"), ("schema", "two"))}
# Within the steps, in their order; from the flip on the tenant is at the new place.
COPYING = ["move.slot", "move.copying", "move.copied"]
FOLLOWING = ["move.catching_up", "move.applying", "move.hold", "move.held", "move.fenced", "move.marked",
             "move.begun_back", "move.flipping"]
FLIPPED = ["move.flipped", "move.comparing", "move_online.follow.after", "move.settling",
           "move_online.settle.after"]


@pytest.fixture(scope="module")
def bank():
    with running_bank() as running:
        yield running


@pytest.fixture(autouse=True)
def alive(bank):
    yield
    bank.reeve.check_log()


def points(kind):
    """In front of the first step and behind each: behind one is in front of the next."""
    return [point for number, point in enumerate(failpoints.crash_points(kind))
            if number == 0 or point.endswith(".after")]


def test_points_are_found():
    assert len(points("move_online")) == 8 and set(FLIPPED) & set(points("move_online"))
    assert len(points("move_back")) == 4


POINTS = points("move_online")[:5] + COPYING + ["move_online.copy.after"] + FOLLOWING + FLIPPED


def share(pair, of, offset=0):
    """Of the points those that are tried with a pair."""
    return of[(list(PAIRS).index(pair) + offset) % len(PAIRS)::len(PAIRS)]


@contextlib.contextmanager
def killed_moves(bank, pair, at):
    """point -> (tenant, application) of moves that were killed there."""
    before, after = PAIRS[pair]
    made = {}
    with contextlib.ExitStack() as stack:
        for point in at:
            tenant = bank.tenant_at(*before)
            made[point] = tenant, stack.enter_context(bank.working(tenant, pace=0.02))
            crash(bank.reeve, point, "move", tenant.slug, SERVICE, "--to", after[0], "--cluster", after[1])
        yield made


def assert_whole(bank, made):
    """Behind everything: nobody has seen an error."""
    for point, (tenant, application) in made.items():
        assert application.errors == [], point
        bank.check(tenant, application)
    assert bank.leftovers() == [] and bank.audited() == []


@pytest.mark.parametrize("pair", PAIRS)
def test_a_killed_mover_is_gone_on_with(bank, pair):
    with killed_moves(bank, pair, share(pair, POINTS)) as made:
        resume(bank)
        for point, (tenant, application) in made.items():
            goes_on(application)
            assert (bank.phase(tenant), bank.place(tenant)) == ("moved", PAIRS[pair][1]), point
        for tenant, application in made.values():
            bank.behind("finish", tenant)
            goes_on(application)
    assert_whole(bank, made)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_killed_move_is_aborted(bank, pair):
    with killed_moves(bank, pair, share(pair, [point for point in POINTS if point not in FLIPPED], 2)) as made:
        for point, (tenant, application) in made.items():
            bank.behind("abort", tenant)
            goes_on(application)
            assert (bank.phase(tenant), bank.place(tenant)) == ("aborted", PAIRS[pair][0]), point
    assert_whole(bank, made)
