"""A tenant moves while its application works: from each isolation to each, and to another cluster, and back
along the change stream. No error, every acknowledged write exactly once."""
import pytest

from support import postgres, shop
from support.process import wait_until
from support.reeve import MODES, running_reeve
from support.world import DATA, World
from test_move import WITHIN, audited, orphans, placement

BETWEEN = [(before, after) for before in MODES for after in MODES]
SOON_SECONDS = 90
SERVICE = "bank"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The shop's tables, but that each has a key."""
    folder = tmp_path_factory.mktemp("bank")
    folder.chmod(0o755)
    text = (DATA / "shop" / "0001_shop.sql").read_text()
    (folder / "0001_bank.sql").write_text(text.replace("CREATE TABLE visit (",
                                                       "CREATE TABLE visit (\n    id bigserial PRIMARY KEY,"))
    with running_reeve() as server:
        made = World(server)
        made.add_service(SERVICE, folder)
        yield made


def new_tenant(world, mode):
    tenant = world.new_tenant(mode, SERVICE)
    with world.reeve.connect(tenant) as connection:
        shop.fill(connection)
    return tenant


@pytest.fixture(scope="module")
def other(world):
    with postgres.running_postgres(settings={"wal_level": "logical"}) as server:
        world.add_cluster("other", server, 20)
        yield server


def move(world, tenant, *options, **kinds):
    return world.reeve.cli("move", tenant.slug, tenant.service, *options, **kinds)


def streams(world):
    return (world.reeve.query("SELECT slot_name FROM pg_replication_slots")
            + [row for name in world.reeve.query("SELECT datname FROM pg_database WHERE datallowconn")
               for row in world.reeve.query("SELECT pubname FROM pg_publication", database=name[0])])


@pytest.mark.parametrize("before, after", WITHIN)
def test_within_a_cluster(world, before, after):
    tenant = new_tenant(world, before)
    with shop.running(lambda: world.reeve.connect(tenant)) as application:
        wait_until(lambda: application.count() > 30, "it works", SOON_SECONDS)
        done = move(world, tenant, "--to", after, json=True).json
        moved_at = application.count()
        wait_until(lambda: application.count() > moved_at + 30, "it works on", SOON_SECONDS)
    assert application.errors == []
    assert done["pause_ms"] < 2500
    with world.reeve.connect(tenant) as connection:
        application.check(connection)
    assert placement(world, tenant)["isolation"] == after
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)
    assert streams(world) == [] and audited(world, tenant) == [] and orphans(world) == []


@pytest.mark.parametrize("before, after", BETWEEN)
def test_to_another_cluster_and_back(world, other, before, after):
    tenant = new_tenant(world, before)
    with shop.running(lambda: world.reeve.connect(tenant)) as application:
        wait_until(lambda: application.count() > 30, "it works", SOON_SECONDS)
        move(world, tenant, "--to", after, "--cluster", "other")
        moved_at = application.count()
        wait_until(lambda: application.count() > moved_at + 30, "it works there", SOON_SECONDS)
        world.reeve.cli("move", "revert", tenant.slug, SERVICE, "--pause", "5s")
        reverted_at = application.count()
        wait_until(lambda: application.count() > reverted_at + 30, "and back", SOON_SECONDS)
    assert application.errors == []
    assert placement(world, tenant)["cluster"] == "local"
    with world.reeve.connect(tenant) as connection:
        application.check(connection)
    assert streams(world) == [] and orphans(world) == []
    with other.connect() as admin:
        assert admin.execute("SELECT count(*) FROM pg_replication_slots").fetchone() == (0,)
