"""Two services that want one name for a shared database: whoever comes second gets nothing of it, and an attach
that is undone takes nothing from it."""
import subprocess

import psycopg
import pytest

from support import process
from support.bank import let_go, wait_until_stopped
from support.process import wait_until
from support.reeve import binary, environment, running_reeve
from support.world import DATA, World, unique
from test_move import orphans

SERVICE = "things"
SOON_SECONDS = 30


@pytest.fixture(scope="module")
def world():
    with running_reeve() as server:
        yield World(server)


def copy_database(admin, database, name):
    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])
    try:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {database}")
    except psycopg.errors.ObjectInUse:
        return False
    return True


def attaching(world, *arguments, **env):
    return process.spawn([str(binary()), "tenant", "attach", *arguments], text=True, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, env=environment(REEVE_CONFIG=world.reeve.config_path, **env))


@pytest.mark.parametrize("mode", ["row", "schema"])
def test_somebody_was_faster(world, mode):
    """A database of that name is there by the time that the second one prepares: with the tenant's rows of the
    first service in it."""
    second, pool = unique("second"), unique("pool").replace("-", "_")
    world.add_service(second, DATA / "things")
    tenant = world.reeve.add_tenant(unique("both"), SERVICE, mode)
    with world.reeve.connect(tenant) as connection:
        connection.execute("INSERT INTO thing (name) VALUES ('of the first')")
    running = attaching(world, tenant.slug, second, "--isolation", mode, "--database", pool,
                        REEVE_STOP_AT="provision.prepare.before")
    try:
        wait_until_stopped(running, "provision.prepare.before")
        refused = world.reeve.cli("move", tenant.slug, SERVICE, "--database", pool, "--offline", check=False)
        assert refused.code != 0 and "another service's" in refused.err, refused.text
        with world.reeve.admin("postgres") as admin:  # as if it had been faster all the same
            wait_until(lambda: copy_database(admin, "svc_things", pool), "nobody is in it", SOON_SECONDS)
            admin.execute(f"ALTER DATABASE {pool} OWNER TO own_things")
            admin.execute(f"COMMENT ON DATABASE {pool} IS 'prepared'")
        assert let_go(running) != 0 and "not" in running.err
        place = world.reeve.cli("placement", "show", tenant.slug, SERVICE, json=True).json
        with world.reeve.admin(pool) as admin:
            names = admin.execute(f"SELECT name FROM {place['schema']}.thing WHERE tenant_id ="
                                  f" {tenant_number(world, tenant)}").fetchall()
            assert names == [("of the first",)]
    finally:
        running.kill()
        running.communicate()
    assert world.reeve.query("SELECT count(*) FROM reeve.placement WHERE tenant_id = %s",
                             tenant_number(world, tenant)) == [(1,)]
    assert {name for _, name in orphans(world)} == {f"database {pool}"}
    with world.reeve.admin("postgres") as admin:
        admin.execute(f"DROP DATABASE {pool} WITH (FORCE)")
    assert orphans(world) == []


def tenant_number(world, tenant):
    return world.reeve.query("SELECT id FROM reeve.tenant WHERE slug = %s", tenant.slug)[0][0]
