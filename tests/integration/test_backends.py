"""What becomes of server connections as time goes by, and what is said of who keeps them long."""
import re

import pytest

from support import process
from support.reeve import running_reeve, running_serve
from support.world import World

SOON_SECONDS = 20
SLOW = re.compile(r"slow transaction tenant=(\S+) service=things placement=\d+ pid=(\d+)"
                  r" seconds=(\d+\.\d{3})$", re.M)


@pytest.fixture(scope="module")
def world():
    with running_reeve({"workers": 1}) as server:
        yield World(server)


def backend_of(connection):
    return connection.execute("SELECT pg_backend_pid()").fetchone()[0]


def test_an_old_one_is_replaced(world, mode):
    """Between two transactions, of which none fails."""
    with running_serve(world.reeve, workers=1, backend_lifetime="1s") as server:
        with server.connect(world.tenant(mode)) as connection:
            first = backend_of(connection)
            process.wait_until(lambda: backend_of(connection) != first, "it is replaced",
                               SOON_SECONDS)


def test_not_within_a_transaction(world, mode):
    with running_serve(world.reeve, workers=1, backend_lifetime="200ms") as server:
        with server.connect(world.tenant(mode)) as connection:
            with connection.transaction():
                first = backend_of(connection)
                connection.execute("SELECT pg_sleep(0.5)")
                assert backend_of(connection) == first
            assert backend_of(connection) != first


def test_slow_transactions_are_logged(world, mode):
    with running_serve(world.reeve, workers=1, log_slow_transaction="300ms") as server:
        with (server.connect(world.tenant(mode, "a")) as slow,
              server.connect(world.tenant(mode, "b")) as quick):
            with slow.transaction():
                pid = backend_of(slow)
                slow.execute("SELECT pg_sleep(0.2), 'secret words'")
                slow.execute("SELECT pg_sleep(0.2)")
            for _ in range(20):
                quick.execute("SELECT 1")
        process.wait_until(lambda: SLOW.search(server.log()), "it is logged", SOON_SECONDS)
        found = SLOW.findall(server.log())
        assert [(tenant, int(process_id)) for tenant, process_id, _ in found] \
            == [(world.tenant(mode, "a").slug, pid)]
        assert 0.4 <= float(found[0][2]) < SOON_SECONDS
        assert "secret words" not in server.log()
