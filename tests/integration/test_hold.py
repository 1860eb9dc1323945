"""`reeve hold` and `reeve release`: new transactions wait, and none fails."""
import contextlib
import threading

import pytest

from support import process, wire
from support.endless import Endless
from support.reeve import running_reeve, running_serve
from support.world import World

SOON_SECONDS = 20


@pytest.fixture(scope="module")
def world():
    with running_reeve({"workers": 1}) as server:
        yield World(server)


@pytest.fixture
def tenant(world, mode):
    return world.new_tenant(mode)


def command(world, *words):
    """And the proxy has heard of it."""
    done = world.reeve.cli(*words, json=True).json
    world.reeve.wait_until_heard()
    return done


class Asking:
    """A query on a thread of its own."""

    def __init__(self, connection, text="SELECT 1"):
        self.answer = []
        self.thread = threading.Thread(
            target=lambda: self.answer.append(connection.execute(text).fetchone()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(SOON_SECONDS)

    def waits(self, world):
        process.wait_until(lambda: world.reeve.status()["server"]["clients_waiting"] > 0 or self.answer,
                           "it waits", SOON_SECONDS)
        return not self.answer

    def answered(self):
        self.thread.join(SOON_SECONDS)
        return self.answer


def test_new_transactions_wait(world, tenant):
    neighbour = world.new_tenant(tenant.mode)
    with world.reeve.connect(tenant) as running, world.reeve.connect(tenant) as other:
        with running.transaction():
            running.execute("INSERT INTO thing (name) VALUES ('begun before')")
            held = command(world, "hold", tenant.slug)
            assert [(one["service"], bool(one["held_until"])) for one in held] == [("things", True)]
            running.execute("INSERT INTO thing (name) VALUES ('goes on')")
        with Asking(other, "SELECT count(*) FROM thing") as asking:
            assert asking.waits(world)
            with world.reeve.connect(neighbour) as free:
                assert free.execute("SELECT 1").fetchone() == (1,)
            with world.reeve.connect(tenant) as late, Asking(late) as second:  # it may log in
                assert second.waits(world)
                released = command(world, "release", tenant.slug)
                assert [one["held_until"] for one in released] == [None]
                assert second.answered() == [(1,)]
            assert asking.answered() == [(2,)]
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_a_pipeline_without_end(world, tenant):
    """It is held as everybody, at the end of one of its transactions; nothing of it is lost."""
    with Endless(world.reeve, tenant, wire.query("SELECT 1")) as endless:
        process.wait_until(lambda: endless.answered > 100 or endless.failure, "it runs", SOON_SECONDS)
        world.reeve.cli("hold", tenant.slug)
        process.wait_until(lambda: world.reeve.status()["server"]["clients_waiting"] == 1, "it waits",
                           SOON_SECONDS)
        held_at = endless.answered
        command(world, "release", tenant.slug)
        process.wait_until(lambda: endless.answered > held_at or endless.failure, "it goes on",
                           SOON_SECONDS)


def test_nobody_fails_for_waiting_long(world, tenant):
    """Longer than the queue timeout, from whose end everybody has it anew."""
    neighbour = world.new_tenant(tenant.mode)
    with running_serve(world.reeve, workers=1, queue_timeout="1s") as server:
        with server.connect(tenant) as connection, server.connect(neighbour) as clock:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            world.reeve.cli("hold", tenant.slug)
            world.reeve.wait_until_heard(server)
            with Asking(connection, "SELECT 2") as asking:
                clock.execute("SELECT pg_sleep(3)")
                assert asking.answer == []
                world.reeve.cli("release", tenant.slug)
                assert asking.answered() == [(2,)]


def test_it_ends_by_itself(world, tenant):
    with world.reeve.connect(tenant) as connection:
        connection.execute("SELECT 1")
        command(world, "hold", tenant.slug, "--for", "2s")
        with Asking(connection, "SELECT 3") as asking:
            assert asking.answered() == [(3,)]
    shown = world.reeve.cli("placement", "show", tenant.slug, "things", json=True).json
    assert shown["held_until"] is None


def test_it_can_be_held_longer_and_shorter(world, tenant):
    with world.reeve.connect(tenant) as connection:
        connection.execute("SELECT 1")
        command(world, "hold", tenant.slug, "--for", "30s")
        command(world, "hold", tenant.slug, "--for", "1s")
        with Asking(connection, "SELECT 3") as asking:
            assert asking.answered() == [(3,)]


def test_one_service_of_several(world):
    tenant = world.new_tenant("row")
    other = world.in_service(tenant, "orders", world.ORDERS)
    command(world, "hold", tenant.slug, "--service", "things")
    with contextlib.closing(world.reeve.connect(other)) as free:
        assert free.execute("SELECT 1").fetchone() == (1,)
    shown = world.reeve.cli("placement", "list", "--tenant", tenant.slug, json=True).json
    assert {one["service"]: bool(one["held_until"]) for one in shown} == {"things": True, "orders": False}
    events = world.reeve.cli("events", "--tenant", tenant.slug, json=True).json
    assert {"for_us": 60_000_000} in [event["detail"] for event in events if event["action"] == "tenant.hold"]
    command(world, "release", tenant.slug)


def test_who_cannot_be_held(world):
    result = world.reeve.cli("hold", "nobody", check=False)
    assert result.code != 0 and "nobody" in result.err
    world.reeve.cli("tenant", "create", "loose")
    result = world.reeve.cli("hold", "loose", check=False)
    assert result.code != 0 and "not attached" in result.err
    assert world.reeve.cli("hold", "loose", "--for", "2h", check=False).code == 2


# ---- until it holds everywhere ----

class Holding:
    """`reeve hold --wait` on a thread of its own."""

    def __init__(self, world, tenant, *options):
        self.results = []
        self.thread = threading.Thread(target=lambda: self.results.append(
            world.reeve.cli("hold", tenant.slug, "--wait", *options, check=False)))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(SOON_SECONDS)

    def is_over(self):
        return bool(self.results)

    def ended(self):
        self.thread.join(SOON_SECONDS)
        return self.results[0]


def is_held(world, tenant):
    shown = world.reeve.cli("placement", "show", tenant.slug, "things", json=True).json
    return bool(shown["held_until"])


def proxies(world):
    with world.reeve.admin() as control:
        return control.execute("SELECT id, name FROM reeve.proxy ORDER BY id").fetchall()


def test_nothing_to_wait_for(world, tenant):
    world.reeve.cli("hold", tenant.slug, "--wait")
    command(world, "release", tenant.slug)
    with world.reeve.connect(tenant) as connection:
        connection.execute("SELECT 1")
        world.reeve.cli("hold", tenant.slug, "--wait")
    world.reeve.cli("release", tenant.slug)


def test_waiting_for_a_transaction(world, tenant):
    with world.reeve.connect(tenant) as running, world.reeve.connect(tenant) as other:
        running.execute("BEGIN")
        running.execute("INSERT INTO thing (name) VALUES ('begun before')")
        with Holding(world, tenant) as holding:
            process.wait_until(lambda: is_held(world, tenant), "it is held", SOON_SECONDS)
            with Asking(other, "SELECT count(*) FROM thing") as asking:
                assert asking.waits(world)
                running.execute("INSERT INTO thing (name) VALUES ('goes on')")
                assert not holding.is_over()
                running.execute("COMMIT")
                assert holding.ended().code == 0
                assert asking.answer == []
                world.reeve.cli("release", tenant.slug)
                assert asking.answered() == [(2,)]


def test_a_transaction_that_takes_too_long(world, tenant):
    with world.reeve.connect(tenant) as running, running.transaction():
        running.execute("SELECT 1")
        result = world.reeve.cli("hold", tenant.slug, "--wait", "--for", "2s", check=False)
        assert result.code != 0 and "runs still" in result.err
        assert running.execute("SELECT 2").fetchone() == (2,)


def test_every_server_counts(world, tenant):
    before = proxies(world)
    with running_serve(world.reeve, workers=2) as server:
        assert len(proxies(world)) == len(before) + 1
        with server.connect(tenant) as running:
            running.execute("BEGIN")
            running.execute("SELECT 1")
            with Holding(world, tenant) as holding:
                process.wait_until(lambda: is_held(world, tenant), "it is held", SOON_SECONDS)
                world.reeve.wait_until_heard(server)
                running.execute("SELECT 1")
                assert not holding.is_over()
                running.execute("COMMIT")
                assert holding.ended().code == 0
        world.reeve.cli("release", tenant.slug)
    assert proxies(world) == before


def test_a_server_that_dies(world, tenant):
    """Dead, or cut off: nobody knows, so nobody says that it is drained."""
    with running_serve(world.reeve, workers=1) as server:
        running = server.connect(tenant)
        running.execute("BEGIN")
        running.execute("SELECT 1")
        with Holding(world, tenant) as holding:
            process.wait_until(lambda: is_held(world, tenant), "it is held", SOON_SECONDS)
            pid = server.process.pid
            server.process.kill()
            server.process.wait()
            assert not holding.is_over()
            result = world.reeve.cli("hold", tenant.slug, "--wait", "--for", "2s", check=False)
            assert result.code != 0 and f":{pid} is gone, or cut off" in result.err
            result = world.reeve.cli("hold", tenant.slug, "--wait", "--ignore-unreachable")
            assert f":{pid} cannot be reached" in result.err
            server.start()  # which finds that the process is no more
            assert holding.ended().code == 0
        world.reeve.cli("release", tenant.slug)
        assert str(pid) not in str(proxies(world))


def test_a_placement_that_is_not_served(world):
    """It has nothing to drain."""
    tenant = world.new_tenant("row")
    other = world.in_service(tenant, "orders", world.ORDERS)
    with world.reeve.admin() as control:
        control.execute("UPDATE reeve.placement SET state = 'failed' WHERE tenant_id = (SELECT id FROM"
                        " reeve.tenant WHERE slug = %s) AND service_id = (SELECT id FROM reeve.service"
                        " WHERE name = 'orders')", [tenant.slug])
    assert other.service == "orders"
    world.reeve.cli("hold", tenant.slug, "--wait", "--for", "10s")
    world.reeve.cli("release", tenant.slug)
