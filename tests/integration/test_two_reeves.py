"""A server belongs to one Reeve: what two catalogs call by the same name is not the same."""
import pytest

from support.postgres import running_postgres
from support.reeve import running_reeve
from support.world import World


@pytest.fixture(scope="module")
def server():
    with running_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def first(server):
    with running_reeve() as reeve:
        world = World(reeve)
        world.add_cluster("shared", server, 5)
        yield world


@pytest.fixture(scope="module")
def second():
    with running_reeve() as reeve:
        yield World(reeve)


def claim(server):
    with server.connect() as admin:
        return admin.execute("SELECT shobj_description(oid, 'pg_authid') FROM pg_roles"
                             " WHERE rolname = 'reeve_claim'").fetchone()


def add(world, server):
    return world.reeve.cli("cluster", "add", "shared", "--conninfo",
                           f"host=127.0.0.1 port={server.port}", "--admin-user", "postgres",
                           "--password-file", "-", input=server.password + "\n", check=False)


def test_the_second_is_refused(server, first, second):
    result = add(second, server)
    assert result.code != 0
    assert "belongs to another Reeve" in result.err and "reeve_claim" in result.err
    names = [one["name"] for one in second.reeve.cli("cluster", "list", json=True).json]
    assert names == ["local"]


def test_its_owner_goes_on(server, first, mode):
    tenant = first.new_tenant(mode, cluster="shared")
    with first.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT count(*) FROM thing").fetchone() == (0,)


def test_one_that_changes_hands_unseen(server, first, second):
    """A server restored from somebody else's backup: what stands there is not the catalog's."""
    with server.connect() as admin:
        old = claim(server)[0]
        admin.execute("COMMENT ON ROLE reeve_claim IS 'Belongs to the Reeve whose catalog is"
                      " 00000000-0000-0000-0000-000000000000'")
        try:
            first.reeve.cli("tenant", "create", "late")
            result = first.reeve.cli("tenant", "attach", "late", "things", "--cluster", "shared",
                                     check=False)
            assert result.code != 0 and "belongs to another Reeve" in result.err
        finally:
            admin.execute(f"COMMENT ON ROLE reeve_claim IS '{old}'")


def test_nobodys_is_claimed_when_it_is_used(server, first):
    """One that was added before there were claims."""
    old = claim(server)
    with server.connect() as admin:
        admin.execute("DROP ROLE reeve_claim")
    first.new_tenant("schema", cluster="shared")
    assert claim(server) == old


def test_a_removed_one_is_free():
    with running_postgres() as server, running_reeve() as one, running_reeve() as two:
        for reeve in (one, two):
            world = World.__new__(World)
            world.reeve = reeve
            world.add_cluster("shared", server, 5)
            assert claim(server)
            reeve.cli("cluster", "remove", "shared", "--yes")
            assert claim(server) is None
