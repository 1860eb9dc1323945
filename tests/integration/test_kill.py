"""`reeve kill`: an operator ends a server connection, or cancels what it runs."""
import threading

import psycopg
import pytest

from support import process
from support.reeve import running_reeve
from support.world import World

SOON_SECONDS = 20


@pytest.fixture(scope="module")
def world():
    with running_reeve({"workers": 2}) as server:
        yield World(server)


def pid_of(world, tenant, state):
    """The process that does so for the tenant, once there is one."""
    def found():
        rows = world.reeve.cli("ps", "--tenant", tenant.slug, json=True).json
        return [row["pid"] for row in rows if row["state"] == state]

    return process.wait_until(found, f"a server connection is {state}", SOON_SECONDS)[0]


def is_gone(world, pid):
    return world.reeve.query("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", pid) == [(0,)]


def fail_later(connection, text):
    """(thread, errors that come of it)"""
    errors = []

    def run():
        try:
            connection.execute(text)
        except psycopg.Error as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def test_a_running_query(world, mode):
    tenant = world.new_tenant(mode)
    with world.reeve.connect(tenant) as connection:
        thread, errors = fail_later(connection, "SELECT pg_sleep(600)")
        pid = pid_of(world, tenant, "active")
        told = world.reeve.cli("kill", pid, json=True).json
        assert told == {"pid": pid, "tenant": tenant.slug, "state": "active"}
        thread.join(SOON_SECONDS)
        assert errors and "administrator command" in str(errors[0]), errors
    process.wait_until(lambda: is_gone(world, pid), "the server's process is gone", SOON_SECONDS)
    with world.reeve.connect(tenant) as again:
        assert again.execute("SELECT 1").fetchone() == (1,)


def test_cancel(world, mode):
    tenant = world.new_tenant(mode)
    with world.reeve.connect(tenant) as connection:
        thread, errors = fail_later(connection, "SELECT pg_sleep(600)")
        pid = pid_of(world, tenant, "active")
        world.reeve.cli("kill", pid, "--cancel")
        thread.join(SOON_SECONDS)
        assert [type(error) for error in errors] == [psycopg.errors.QueryCanceled]
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_transaction_that_is_idle(world, mode):
    tenant = world.new_tenant(mode)
    with world.reeve.connect(tenant) as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO thing (name) VALUES ('lost')")
        pid = pid_of(world, tenant, "idle in transaction")
        world.reeve.cli("kill", pid, "--cluster", "local")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("COMMIT")
    with world.reeve.connect(tenant) as again:
        assert again.execute("SELECT count(*) FROM thing").fetchone() == (0,)


def test_one_that_is_idle(world, mode):
    """Its tenant does not notice."""
    tenant = world.new_tenant(mode)
    with world.reeve.connect(tenant) as connection:
        connection.execute("SELECT 1")
        pid = pid_of(world, tenant, "idle")
        world.reeve.cli("kill", pid)
        process.wait_until(lambda: is_gone(world, pid), "the server's process is gone", SOON_SECONDS)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_who_is_not_there(world):
    result = world.reeve.cli("kill", 2147483647, check=False)
    assert result.code != 0 and "no server connection" in result.err
    assert world.reeve.cli("kill", "x", check=False).code == 2
    assert world.reeve.cli("kill", 1, "--cluster", "a b", check=False).code != 0
    tenant = world.tenant("row")
    with world.reeve.connect(tenant) as connection:
        connection.execute("BEGIN")
        pid = pid_of(world, tenant, "idle in transaction")
        assert world.reeve.cli("kill", pid, "--cluster", "elsewhere", check=False).code != 0
        assert connection.execute("SELECT 1").fetchone() == (1,)
