"""Suspending, resuming and deleting tenants; what neighbours notice of it: nothing."""
import threading
import time

import psycopg
import pytest
from psycopg import errors

from support import process, reeve as reeve_support, wire
from support.world import error_of, unique

WITHIN = 1.0  # seconds: what the issue promises
SLACK = 1.0   # for a busy machine under sanitizers, between the command's end and our looking


def ended_within(connection, begun, seconds):
    """Waits until the server ends an idle connection; how long it took since `begun`."""
    messages = connection.rest()
    took = time.monotonic() - begun
    assert took < seconds, f"ended after {took:.1f} s"
    return [message for message in messages if message.type == "E"]


def test_suspend_ends_idle_and_busy_connections(world, mode):
    tenant = world.new_tenant(mode)
    neighbour = world.tenant(mode)
    idle = wire.connect_to_tenant(world.reeve, tenant)
    busy = wire.connect_to_tenant(world.reeve, tenant)
    inside = wire.connect_to_tenant(world.reeve, tenant)
    busy.send(wire.query("SELECT pg_sleep(60)"))
    inside.ask(wire.query("BEGIN; INSERT INTO thing (name) VALUES ('inside')"))
    with world.reeve.connect(neighbour) as other:
        world.reeve.cli("tenant", "suspend", tenant.slug)
        suspended = time.monotonic()
        for connection in (idle, busy, inside):
            found = ended_within(connection, suspended, WITHIN + SLACK)
            assert [error.fields["S"] for error in found] == ["FATAL"]
            assert "suspended" in found[0].fields["M"]
            connection.close()
        assert other.execute("SELECT 1").fetchone() == (1,)
    place = world.placement(tenant)
    # Shared ones may stay for others, but not with what it was doing.
    doing = " AND state <> 'idle'" if place["login_role"] == "reeve_pool" else ""
    process.wait_until(lambda: world.reeve.query(
        f"SELECT count(*) FROM pg_stat_activity WHERE usename = %s{doing}",
        place["login_role"]) == [(0,)],
        "the suspended tenant's server connections are gone")


def test_suspend_on_every_proxy(world):
    tenant = world.new_tenant("schema")
    with reeve_support.running_serve(world.reeve) as second:
        connections = [wire.connect_to_tenant(server, tenant) for server in (world.reeve, second)]
        world.reeve.cli("tenant", "suspend", tenant.slug)
        suspended = time.monotonic()
        for connection in connections:
            assert ended_within(connection, suspended, WITHIN + SLACK)
            connection.close()
        error_of(second.connect, tenant)


def test_suspended_tenant_is_refused_and_resumed(world, mode):
    tenant = world.new_tenant(mode)
    name = unique()
    with world.reeve.connect(tenant) as connection:
        connection.execute("INSERT INTO thing (name) VALUES (%s)", [name])
    world.reeve.cli("tenant", "suspend", tenant.slug)
    world.reeve.cli("tenant", "suspend", tenant.slug)  # twice is no error
    shown = world.reeve.cli("tenant", "show", tenant.slug, json=True).json
    assert shown["status"] == "suspended"
    error = error_of(world.reeve.connect, tenant)
    assert "suspended" in str(error), "who proves who it is may know why it is refused"
    world.reeve.cli("tenant", "resume", tenant.slug)

    def resumed():
        try:
            with world.reeve.connect(tenant) as connection:
                return connection.execute("SELECT name FROM thing").fetchall() == [(name,)]
        except psycopg.OperationalError:
            return False

    process.wait_until(resumed, "the resumed tenant can log in", 10)


def test_the_servers_own_login_is_closed_too(world, mode):
    """Suspension holds in PostgreSQL as well: the role may not log in."""
    tenant = world.new_tenant(mode)
    place = world.placement(tenant)
    open_and_shut = "SELECT rolcanlogin, rolconnlimit <> 0 FROM pg_roles WHERE rolname = %s"
    guarded = place["enforcement"] == "guard"
    if guarded and mode == "row":
        # No role of its own: nobody but a proxy, which has closed the door, can be this tenant.
        assert world.reeve.query(open_and_shut, place["own_role"]) == []
        return
    # Under the guard no role of a tenant logs in; a limit of 0 says that nobody enters as it, in either case.
    opened, shut = (not guarded, True), (False, False)
    assert world.reeve.query(open_and_shut, place["own_role"]) == [opened]
    world.reeve.cli("tenant", "suspend", tenant.slug)
    assert world.reeve.query(open_and_shut, place["own_role"]) == [shut]
    world.reeve.cli("tenant", "resume", tenant.slug)
    assert world.reeve.query(open_and_shut, place["own_role"]) == [opened]


def test_delete_asks_first(world):
    tenant = world.new_tenant("row")
    refused = world.reeve.cli("tenant", "delete", tenant.slug, check=False)
    assert refused.code != 0
    assert "--yes" in refused.err
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    refused = world.reeve.cli("tenant", "delete", tenant.slug, check=False, input="no\n")
    assert refused.code != 0
    world.reeve.cli("tenant", "delete", tenant.slug, "--yes")


def contents(connection):
    return [connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in ("thing", "part", "kind")]


def test_delete_takes_what_is_the_tenants_and_nothing_else(world, mode):
    tenant, neighbour = world.new_tenant(mode), world.new_tenant(mode)
    for each in (tenant, neighbour):
        with world.reeve.connect(each) as connection:
            connection.execute("INSERT INTO thing (name, body) VALUES ('one', 'x'), ('two', 'y')")
            connection.execute("INSERT INTO part (thing_id, label)"
                               " SELECT id, 'part of ' || name FROM thing")
    placement = world.placement(tenant)
    number = world.reeve.query("SELECT tenant_id FROM reeve.placement WHERE id = %s",
                               placement["id"])[0][0]
    open_connection = wire.connect_to_tenant(world.reeve, tenant)
    with world.reeve.connect(neighbour) as other:
        before = contents(other)
        world.reeve.cli("tenant", "delete", tenant.slug, "--yes")
        deleted = time.monotonic()
        assert ended_within(open_connection, deleted, WITHIN + SLACK)
        assert contents(other) == before
        other.execute("INSERT INTO thing (name) VALUES ('three')")
    roles = world.reeve.query("SELECT rolname FROM pg_roles WHERE rolname LIKE %s",
                              placement["own_role"] + "%")
    assert roles == []
    databases = [name for (name,) in world.reeve.query("SELECT datname FROM pg_database")]
    if mode == "database":
        assert placement["database"] not in databases
    else:
        left = world.reeve.query("SELECT nspname FROM pg_namespace WHERE nspname = %s",
                                 placement["own_role"], database=placement["database"])
        assert left == []
    if mode == "row":
        count = world.reeve.query(
            "SELECT count(*) FROM app.thing WHERE tenant_id = %s", number,
            database=placement["database"])
        assert count == [(0,)]
    error = error_of(world.reeve.connect, tenant)
    unknown = error_of(world.reeve.connect, reeve_support.Tenant(
        "never-was", mode, "things", tenant.token, None))
    assert str(error).replace(tenant.slug, "X") == str(unknown).replace("never-was", "X")


def test_a_deleted_slug_is_free_and_its_token_is_dead(world, mode):
    tenant = world.new_tenant(mode)
    with world.reeve.connect(tenant) as connection:
        connection.execute("INSERT INTO thing (name) VALUES ('of the first')")
    world.reeve.cli("tenant", "delete", tenant.slug, "--yes")
    again = world.reeve.add_tenant(tenant.slug, "things", mode)
    with world.reeve.connect(again) as connection:
        assert connection.execute("SELECT count(*) FROM thing").fetchone() == (0,)
    error_of(world.reeve.connect, tenant)


def test_detach_takes_one_service_alone(world, mode):
    tenant = world.new_tenant(mode)
    orders = world.in_service(tenant, "orders", world.ORDERS)
    with world.reeve.connect(tenant) as connection:
        connection.execute("INSERT INTO thing (name) VALUES ('kept')")
    refused = world.reeve.cli("tenant", "detach", tenant.slug, "orders", check=False)
    assert refused.code != 0 and "--yes" in refused.err
    world.reeve.cli("tenant", "detach", tenant.slug, "orders", "--yes")
    error_of(world.reeve.connect, orders)
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT name FROM thing").fetchall() == [("kept",)]


def test_neighbours_work_through_all_of_it(world, mode):
    """A neighbour's queries run without a single error while tenants come and go."""
    neighbour = world.tenant(mode, "c")
    over, failures, count = threading.Event(), [], [0]

    def work():
        with world.reeve.connect(neighbour) as connection:
            while not over.is_set():
                try:
                    connection.execute("SELECT count(*) FROM thing", prepare=True).fetchone()
                    count[0] += 1
                except psycopg.Error as error:
                    failures.append(repr(error))
                    return

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(2):
            tenant = world.new_tenant(mode)
            world.reeve.cli("tenant", "suspend", tenant.slug)
            world.reeve.cli("tenant", "resume", tenant.slug)
            world.reeve.cli("tenant", "delete", tenant.slug, "--yes")
    finally:
        over.set()
        worker.join()
    assert failures == []
    assert count[0] > 0


def test_new_placement_is_reachable_at_once(world, mode):
    """Straight after attach, no proxy says that it does not know the tenant."""
    for _ in range(3):
        tenant = world.new_tenant(mode)
        with world.reeve.connect(tenant) as connection:
            assert connection.execute("SELECT count(*) FROM thing").fetchone() == (0,)


def test_read_only_token(world, mode):
    tenant = world.new_tenant(mode)
    token = world.reeve.token(tenant.slug, "--access", "ro")
    with world.reeve.connect(tenant) as writer:
        writer.execute("INSERT INTO thing (name) VALUES ('there')")
    with world.reeve.connect(tenant, password=token) as reader:
        assert reader.execute("SELECT name FROM thing").fetchall() == [("there",)]
        for sql in ("INSERT INTO thing (name) VALUES ('x')", "UPDATE thing SET body = 'x'",
                    "DELETE FROM thing"):
            with pytest.raises((errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)):
                reader.execute(sql)
        with pytest.raises((errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)):
            reader.execute("SET default_transaction_read_only = off")
            reader.execute("INSERT INTO thing (name) VALUES ('x')")
