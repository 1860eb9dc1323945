"""max_backends and min_backends: how many server connections a tenant has, at most and at least."""
import contextlib
import threading

import psycopg
import pytest

from support import postgres, wire
from support.process import wait_until
from support.reeve import ENFORCEMENT, MODES, running_reeve
from support.world import World

SOON_SECONDS = 20
BUDGET = 6
# Whose server connections are its own: under the guard only in a database of its own.
OWN = MODES if ENFORCEMENT == "login" else ["database"]
SHARED = [mode for mode in MODES if mode not in OWN]
roles = {}  # by slug


@pytest.fixture(scope="module")
def world():
    with running_reeve({"workers": 1, "idle_backend_timeout": "1s"}) as server:
        yield World(server)


@pytest.fixture(scope="module")
def small(world):
    """A cluster with room for six."""
    with postgres.running_postgres() as cluster:
        world.add_cluster("small", cluster, BUDGET)
        yield cluster


def set_limit(world, tenant, limit, value):
    world.reeve.cli("limit", "set", limit, value, "--tenant", tenant.slug, "--service", tenant.service)
    world.reeve.wait_until_heard()


def pids(world, tenant, admin=None):
    """The server's processes that are the tenant's own."""
    find = "SELECT pid FROM pg_stat_activity WHERE usename = %s AND backend_type = 'client backend'"
    if tenant.slug not in roles:
        roles[tenant.slug] = world.placement(tenant)["own_role"]
    role = roles[tenant.slug]
    found = admin.execute(find, [role]).fetchall() if admin else world.reeve.query(find, role)
    return {pid for pid, in found}


def wait_for(world, tenant, count, admin=None):
    wait_until(lambda: len(pids(world, tenant, admin)) == count, f"there are {count}", SOON_SECONDS)


@contextlib.contextmanager
def in_transactions(reeve, tenant, count):
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(wire.connect_to_tenant(reeve, tenant)) for _ in range(count)]
        for connection in connections:
            connection.ask(wire.query("BEGIN"))
        yield connections


# ---- at most ----

@pytest.mark.parametrize("mode", MODES)
def test_no_more_than_it_may_have(world, mode):
    """Everybody is served, two at a time; a neighbour is not in that number."""
    tenant, neighbour = world.new_tenant(mode), world.new_tenant(mode)
    set_limit(world, tenant, "max_backends", "2")
    over, seen, failures = threading.Event(), [], []

    def work():
        try:
            with world.reeve.connect(tenant) as connection:
                for _ in range(10):
                    connection.execute("SELECT pg_sleep(0.02)")
        except psycopg.Error as error:
            failures.append(error)

    def watch():
        while not over.is_set():
            seen.append(len(pids(world, tenant)))

    threads = [threading.Thread(target=work) for _ in range(6)]
    watcher = threading.Thread(target=watch)
    for thread in [watcher, *threads]:
        thread.start()
    for thread in threads:
        thread.join(60)
    over.set()
    watcher.join(60)
    assert failures == []
    if mode in OWN:
        assert max(seen) == 2
    with in_transactions(world.reeve, tenant, 2), in_transactions(world.reeve, neighbour, 3):
        set_limit(world, tenant, "queue_timeout", "200ms")
        with wire.connect_to_tenant(world.reeve, tenant) as third:
            third.send(wire.query("SELECT 1"))
            error = third.rest()[-1]
            assert error.sqlstate == "53300" and "as it may have" in error.fields["M"], error


@pytest.mark.parametrize("mode", OWN)
def test_fewer_than_it_has(world, mode):
    tenant = world.new_tenant(mode)
    with in_transactions(world.reeve, tenant, 4) as connections:
        assert len(pids(world, tenant)) == 4
        set_limit(world, tenant, "min_backends", "4")  # no more than it may have
        set_limit(world, tenant, "max_backends", "1")
        for connection in connections:
            assert connection.ask(wire.query("COMMIT"))[-1].body == b"I"
        wait_for(world, tenant, 1)
        set_limit(world, tenant, "max_backends", "3")
        wait_for(world, tenant, 3)


# ---- at least ----

def reaped(world):
    """Time passes until what nobody uses was closed, twice over."""
    other = world.new_tenant("database")
    for _ in range(2):
        with world.reeve.connect(other) as connection:
            connection.execute("SELECT 1")
        assert len(pids(world, other)) == 1
        wait_for(world, other, 0)


@pytest.mark.parametrize("mode", OWN)
def test_some_are_kept(world, mode):
    tenant = world.new_tenant(mode)
    set_limit(world, tenant, "min_backends", "3")
    assert pids(world, tenant) == set()  # it has no client yet
    with world.reeve.connect(tenant) as connection:
        wait_for(world, tenant, 3)
        kept = pids(world, tenant)
        reaped(world)
        assert pids(world, tenant) == kept
        assert connection.execute("SELECT pg_backend_pid()").fetchone()[0] in kept
        with in_transactions(world.reeve, tenant, 5):
            assert len(pids(world, tenant)) == 5
        wait_for(world, tenant, 3)
    reaped(world)
    assert len(pids(world, tenant)) == 3  # it may come back
    set_limit(world, tenant, "min_backends", "none")
    wait_for(world, tenant, 0)


@pytest.mark.parametrize("mode", OWN)
def test_a_limit_holds_at_once(world, mode):
    tenant = world.new_tenant(mode)
    with world.reeve.connect(tenant) as connection:
        connection.execute("SELECT 1")
        set_limit(world, tenant, "min_backends", "2")
        wait_for(world, tenant, 2)


@pytest.mark.parametrize("mode", OWN)
def test_those_that_end_are_opened_anew(world, mode):
    tenant = world.new_tenant(mode)
    set_limit(world, tenant, "min_backends", "3")
    with world.reeve.connect(tenant):
        wait_for(world, tenant, 3)
        before = pids(world, tenant)
        for pid in before:
            world.reeve.query("SELECT pg_terminate_backend(%s)", pid)
        wait_until(lambda: len(pids(world, tenant)) == 3 and not pids(world, tenant) & before,
                   "there are three others", SOON_SECONDS)


# ---- and the budget ----

def finish(connections):
    for connection in connections:
        assert connection.ask(wire.query("COMMIT"))[-1].body == b"I"


@pytest.mark.parametrize("mode", OWN)
def test_others_have_the_rest_of_the_budget(world, small, mode):
    """Half of it may be kept: three of six, which nobody else gets; the others are anybody's."""
    keeper, late, flooder = (world.new_tenant(mode, cluster="small") for _ in range(3))
    set_limit(world, keeper, "min_backends", "3")
    set_limit(world, late, "min_backends", "3")
    with small.connect() as admin, world.reeve.connect(keeper), world.reeve.connect(late):
        wait_for(world, keeper, 3, admin)
        kept = pids(world, keeper, admin)
        with in_transactions(world.reeve, flooder, 3) as connections, \
                wire.connect_to_tenant(world.reeve, flooder) as fourth:
            assert len(pids(world, flooder, admin)) == 3
            fourth.send(wire.query("SELECT 1"))
            wait_until(lambda: world.reeve.status()["server"]["clients_waiting"] == 1, "one waits", SOON_SECONDS)
            assert pids(world, keeper, admin) == kept
            set_limit(world, keeper, "min_backends", "none")  # so they are anybody's
            fourth.until_ready()
            finish(connections)
        set_limit(world, keeper, "min_backends", "3")
        wait_for(world, keeper, 3, admin)
    for tenant in (keeper, late):
        set_limit(world, tenant, "min_backends", "none")


# ---- shared ones ----

@pytest.mark.parametrize("mode", SHARED)
def test_of_shared_ones_none_are_kept(world, mode):
    """Which is said, and not only where nobody finds it."""
    tenant = world.new_tenant(mode)
    arguments = ["limit", "set", "min_backends", "2", "--tenant", tenant.slug]
    refused = world.reeve.cli(*arguments, check=False)
    assert refused.code != 0 and "shares its server connections" in refused.err, refused.text
    assert world.reeve.cli("limit", "list", "--tenant", tenant.slug, json=True).json == []
    world.reeve.cli("limit", "set", "min_backends", "none", "--tenant", tenant.slug)
