"""kill -9 of a move at each step: afterwards the tenant is in one place with all of its rows, and works;
nothing of the other is left, or it is the old one of a move that is done."""
import pytest

from support import failpoints, shop
from support.agreement import wait_for_jobs
from support.reeve import running_reeve
from support.world import DATA, World, unique
from test_crash import crash

SERVICE = "shop"
PAIRS = [("row", "schema"), ("schema", "database"), ("database", "row")]


@pytest.fixture(scope="module")
def world():
    with running_reeve() as server:
        made = World(server)
        made.add_service(SERVICE, DATA / SERVICE)
        yield made


def make(world, mode):
    tenant = world.reeve.add_tenant(unique("m"), SERVICE, mode)
    with world.reeve.connect(tenant) as connection:
        shop.fill(connection)
        return tenant, shop.contents(connection)


def restart(reeve):
    reeve.kill()
    reeve.start()
    wait_for_jobs(reeve, 400)  # one after the other


def status(world, tenant):
    return world.reeve.cli("move", "status", tenant.slug, "--all", json=True).json[-1]["phase"]


def isolation(world, tenant):
    return world.reeve.cli("placement", "show", tenant.slug, SERVICE, json=True).json["isolation"]


def must_work(world, tenant, contents):
    with world.reeve.connect(tenant) as connection:
        assert shop.contents(connection) == contents
        connection.execute("INSERT INTO account (owner, balance) VALUES ('after', 1)")


def orphans(world):
    found = world.reeve.cli("audit", "--all", json=True, check=False).json["findings"]
    return [(one["code"], one["object"]) for one in found
            if one["code"].startswith("orphan") or one["severity"] == "critical"]


def points(kind):
    """In front of the first step and behind each: behind one is in front of the next."""
    return [point for number, point in enumerate(failpoints.crash_points(kind))
            if number == 0 or point.endswith(".after")]


def test_points_are_found():
    for kind, count in (("move", 8), ("move_revert", 7), ("move_finish", 3)):
        assert len(failpoints.crash_points(kind)) == 2 * count


@pytest.mark.timeout(400)
@pytest.mark.parametrize("before, after", PAIRS)
def test_moving(world, before, after):
    made = {}
    for point in points("move"):
        made[point] = make(world, before)
        crash(world.reeve, point, "move", made[point][0].slug, SERVICE, "--to", after, "--offline")
    restart(world.reeve)
    for point, (tenant, contents) in made.items():
        found = (status(world, tenant), isolation(world, tenant))
        assert found == (("moved", after) if point == "move.flip.after" else ("aborted", before)), point
        must_work(world, tenant, contents)
    assert orphans(world) == []


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind, verb, phase", [("move_revert", "revert", "reverted"),
                                               ("move_finish", "finish", "finished")])
def test_behind_a_move(world, kind, verb, phase):
    made = {}
    for number, point in enumerate(points(kind)):
        before, after = PAIRS[number % len(PAIRS)]
        made[point] = (*make(world, before), before, after)
        tenant = made[point][0]
        world.reeve.cli("move", tenant.slug, SERVICE, "--to", after, "--offline")
        crash(world.reeve, point, "move", verb, tenant.slug, SERVICE)
    restart(world.reeve)
    for point, (tenant, contents, before, after) in made.items():
        undone = kind == "move_revert" and status(world, tenant) == "moved"
        assert undone or status(world, tenant) == phase, point
        assert isolation(world, tenant) == (after if undone or verb == "finish" else before), point
        must_work(world, tenant, contents)
        if undone:
            world.reeve.cli("move", verb, tenant.slug, SERVICE)
            assert status(world, tenant) == phase
    wait_for_jobs(world.reeve)
    assert orphans(world) == []
