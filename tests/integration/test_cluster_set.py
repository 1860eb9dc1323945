"""`reeve cluster set`: a server that has another address, as behind a failover, and what is refused there."""
import pytest

from support import process
from support.bank import let_go, started, wait_until_stopped
from support.postgres import running_postgres
from support.reeve import MODES, running_reeve
from support.world import World, unique

SERVICE = "things"
USAGE = 2


@pytest.fixture(scope="module")
def world():
    with running_postgres() as server, running_reeve() as reeve:
        made = World(reeve)
        made.add_cluster("moves", server, 20)
        made.server = server
        yield made


def set_cluster(world, *options, **kinds):
    return world.reeve.cli("cluster", "set", "moves", *options, **kinds)


def conninfo(server):
    return f"host=127.0.0.1 port={server.port}"


def test_another_address(world):
    """Tenants go on, those with an open connection too."""
    tenants = [world.reeve.add_tenant(unique("moved"), SERVICE, mode, cluster="moves") for mode in MODES]
    connections = [world.reeve.connect(tenant) for tenant in tenants]
    for connection in connections:
        connection.execute("INSERT INTO thing (name) VALUES ('before')")
    world.server.stop()
    world.server.port = process.free_port()
    world.server.start()
    assert set_cluster(world, "--conninfo", conninfo(world.server), json=True).json["conninfo"] == conninfo(world.server)
    world.reeve.wait_until_heard()
    for tenant, connection in zip(tenants, connections):
        connection.close()
        with world.reeve.connect(tenant) as again:
            assert again.execute("SELECT name FROM thing").fetchall() == [("before",)]
    assert "cluster.set" in {row[0] for row in world.reeve.query("SELECT action FROM reeve.audit_event")}


def test_another_server(world):
    """It is not claimed for that."""
    before = world.reeve.cli("cluster", "show", "moves", json=True).json
    with running_postgres() as other:
        refused = set_cluster(world, "--conninfo", conninfo(other), check=False)
        assert refused.code != 0 and "is not what cluster" in refused.err, refused.text
        with other.connect() as admin:
            assert admin.execute("SELECT count(*) FROM pg_roles WHERE rolname = 'reeve_claim'").fetchone() == (0,)
            admin.execute("CREATE ROLE reeve_claim")
            admin.execute("COMMENT ON ROLE reeve_claim IS 'Belongs to the Reeve whose catalog is another'")
        refused = set_cluster(world, "--conninfo", conninfo(other), check=False)
        assert refused.code != 0 and "belongs to another Reeve" in refused.err, refused.text
    gone = set_cluster(world, "--conninfo", conninfo(other), check=False)
    assert gone.code != 0 and "cluster \"moves\"" in gone.err, gone.text
    assert world.reeve.cli("cluster", "show", "moves", json=True).json == before


def test_another_cluster(world):
    """It has the same claim."""
    with running_postgres() as other:
        world.add_cluster("other", other, 20)
        refused = set_cluster(world, "--conninfo", conninfo(other), check=False)
        assert refused.code != 0 and 'is cluster "other"' in refused.err, refused.text
        world.reeve.cli("cluster", "remove", "other", "--yes")


def test_while_a_tenant_moves(world):
    tenant = world.reeve.add_tenant(unique("moving"), SERVICE, "schema", cluster="moves")
    with started(world, tenant.slug, SERVICE, "--to", "database", "--offline", REEVE_STOP_AT="move.copying") as moving:
        wait_until_stopped(moving, "move.copying")
        refused = set_cluster(world, "--conninfo", conninfo(world.server), check=False)
        assert refused.code != 0 and "moves there or from there" in refused.err, refused.text
        set_cluster(world, "--max-backends", 20)
        assert let_go(moving) == 0
    set_cluster(world, "--conninfo", conninfo(world.server))


@pytest.mark.parametrize("options, words", [
    ([], "says what"),
    (["--conninfo", "host=there user=me"], "user"),
    (["--max-backends", "0"], "max-backends")])
def test_what_is_refused(world, options, words):
    refused = set_cluster(world, *options, check=False)
    assert refused.code != 0 and words in refused.err, refused.text


def test_backends(world):
    assert set_cluster(world, "--max-backends", 7, json=True).json["max_backends"] == 7
    assert set_cluster(world, "--disk", "10GB", json=True).json["max_backends"] == 7
    world.reeve.wait_until_heard()
    found = world.reeve.status()
    assert found["server"]["route_version"] == found["catalog"]["route_version"]
