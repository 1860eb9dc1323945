"""A cluster's budget of server connections, shared by all tenants on it."""
import random
import threading

import psycopg
import pytest

from support import postgres
from support.process import wait_until

BUDGET = 3


@pytest.fixture(scope="module")
def small(world):
    """Nine tenants on a cluster of their own with max_backends = 3, and that cluster."""
    with postgres.running_postgres() as cluster:
        world.add_cluster("small", cluster, BUDGET)
        tenants = [world.new_tenant(mode, cluster="small") for mode in ("row", "schema", "database")
                   for _ in range(3)]
        yield cluster, tenants


def count_backends(admin):
    return admin.execute(r"SELECT count(*) FROM pg_stat_activity"
                         r" WHERE backend_type = 'client backend' "
                         r" AND (usename LIKE 't\_%' OR usename = 'reeve_pool')"
                         ).fetchone()[0]


def backends(admin):
    """Server connections of tenants now. The server lists one that was closed until its process has
    ended, which is a moment later: more than the budget must pass by itself."""
    found = count_backends(admin)
    if found > BUDGET:
        wait_until(lambda: count_backends(admin) <= BUDGET, "closed connections are gone", 5)
        found = BUDGET
    return found


def test_more_tenants_than_backends_in_turn(world, small):
    cluster, tenants = small
    clients = [world.reeve.connect(tenant) for tenant in tenants]
    try:
        with cluster.connect() as admin:
            for _ in range(4):
                for client, tenant in zip(clients, tenants):
                    assert client.execute("SELECT %s::text", [tenant.slug],
                                          prepare=True).fetchone() == (tenant.slug,)
                    assert backends(admin) <= BUDGET
    finally:
        for client in clients:
            client.close()


def test_more_tenants_than_backends_at_once(world, small):
    """Everybody is served, the budget is never passed."""
    cluster, tenants = small
    failures, over, seen = [], threading.Event(), []

    def watch():
        with cluster.connect() as admin:
            while not over.wait(0.01):
                seen.append(backends(admin))

    def work(tenant):
        try:
            with world.reeve.connect(tenant) as connection:
                for number in range(10):
                    with connection.transaction():
                        connection.execute("SELECT pg_sleep(0.005)")
                        connection.execute("INSERT INTO thing (name) VALUES (%s)",
                                           [f"{threading.get_ident()}-{number}"])
        except psycopg.Error as error:
            failures.append(f"{tenant.slug}: {error}")

    threads = [threading.Thread(target=work, args=[tenant]) for tenant in tenants * 2]
    watcher = threading.Thread(target=watch)
    watcher.start()
    random.shuffle(threads)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    watcher.join()
    assert failures == []
    assert 0 < max(seen) <= BUDGET


def test_busy_backends_are_not_taken(world, small):
    """With the whole budget in transactions, the next one waits and gets its turn."""
    _cluster, tenants = small
    holders = [world.reeve.connect(tenant, autocommit=False) for tenant in tenants[:BUDGET]]
    waiting = world.reeve.connect(tenants[BUDGET])
    answer = []
    try:
        for number, holder in enumerate(holders):
            holder.execute("INSERT INTO thing (name) VALUES (%s)", [f"held-{number}"])
        thread = threading.Thread(
            target=lambda: answer.append(waiting.execute("SELECT 5").fetchone()))
        thread.start()
        for holder in holders:
            assert holder.execute("SELECT count(*) FROM thing WHERE name LIKE 'held-%'"
                                  ).fetchone() == (1,)
        assert answer == []
        holders[0].commit()
        wait_until(lambda: answer, "the waiting client gets a backend", 20)
        thread.join()
        assert answer == [(5,)]
    finally:
        for holder in holders:
            holder.rollback()
            holder.close()
        waiting.close()


def test_the_budget_holds_for_one_tenant_with_many_clients(world, small):
    cluster, tenants = small
    clients = [world.reeve.connect(tenants[0]) for _ in range(20)]
    try:
        threads = [threading.Thread(target=client.execute, args=["SELECT pg_sleep(0.05)"])
                   for client in clients]
        for thread in threads:
            thread.start()
        with cluster.connect() as admin:
            while any(thread.is_alive() for thread in threads):
                assert backends(admin) <= BUDGET
        for thread in threads:
            thread.join()
    finally:
        for client in clients:
            client.close()


def pids_used(clients, times):
    """The server processes that these clients' transactions run in, all clients at once."""
    found = []

    def work(client):
        for _ in range(times):
            found.append(client.execute("SELECT pg_backend_pid() FROM pg_sleep(0.001)").fetchone())

    threads = [threading.Thread(target=work, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(clients) * times
    return set(found)


@pytest.mark.parametrize("count", [1, 2])
def test_waiting_clients_do_not_make_logins(world, small, count):
    """Who waits gets the backend that comes free. Between two tenants a slot may change hands while
    one waits notably longer, but not with every transaction."""
    _cluster, tenants = small
    clients = [world.reeve.connect(tenants[number % count]) for number in range(20)]
    try:
        pids_used(clients, 5)  # until the slots are where they belong
        assert len(pids_used(clients, 40)) <= (BUDGET if count == 1 else 40)  # of 800 transactions
    finally:
        for client in clients:
            client.close()


def test_waiting_ends_with_a_clear_error(world, small):
    """queue_timeout: the client is told, and a later try works."""
    from support.reeve import running_serve
    _cluster, tenants = small
    with running_serve(world.reeve, queue_timeout="1s") as proxy:
        holders = [proxy.connect(tenant, autocommit=False) for tenant in tenants[:BUDGET]]
        try:
            for holder in holders:
                holder.execute("SELECT 1")
            # The first login of all needs a backend too: to learn what clients must be told.
            with pytest.raises(psycopg.Error) as failed, proxy.connect(tenants[BUDGET]) as late:
                late.execute("SELECT 1")
            assert "queue timeout" in str(failed.value)
            holders[0].rollback()
            with proxy.connect(tenants[BUDGET]) as again:
                assert again.execute("SELECT 1").fetchone() == (1,)
        finally:
            for holder in holders:
                holder.rollback()
                holder.close()
