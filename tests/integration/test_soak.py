"""Random tenants, clients and mishaps for $REEVE_SOAK_SECONDS (a short while by default).

Everything that each tenant committed is counted by the test and must be there at the end; nobody
may see a row of anybody else's at any time. The seed is printed, and $REEVE_SOAK_SEED repeats a run.
"""
import collections
import contextlib
import os
import random
import threading
import time

import psycopg
import pytest

from support import wire
from support.agreement import assert_agreement, wait_for_jobs
from support.reeve import MODES

SECONDS = float(os.environ.get("REEVE_SOAK_SECONDS", "10"))
CLIENTS = 10


class Soak:
    def __init__(self, world, seed):
        self.world = world
        self.tenants = [world.new_tenant(mode) for mode in MODES for _ in range(2)]
        self.committed = collections.Counter()
        self.doubtful = collections.Counter()  # commits whose answer was lost
        self.lock = threading.Lock()
        self.failures = []
        self.end = time.monotonic() + SECONDS
        self.seed = seed

    def client(self, number):
        chance = random.Random(f"{self.seed}-{number}")
        try:
            while time.monotonic() < self.end and not self.failures:
                self.session(chance, chance.choice(self.tenants))
        except Exception as error:  # noqa: BLE001 - a thread must not end in silence
            self.failures.append(f"client {number}: {error!r}")

    def session(self, chance, tenant):
        try:
            with self.world.reeve.connect(tenant) as connection:
                for _ in range(chance.randrange(1, 20)):
                    action = chance.choice([self.insert, self.insert, self.look, self.roll_back,
                                            self.fail, self.large, self.vanish, self.pipeline])
                    if action(chance, tenant, connection) == "gone":
                        return
        except psycopg.OperationalError:
            pass  # suspended, or ended by a mishap of the test's own making

    def insert(self, chance, tenant, connection):
        rows = chance.randrange(1, 5)
        try:
            with connection.transaction():
                for _ in range(rows):
                    connection.execute("INSERT INTO thing (name, body) VALUES (%s, %s)",
                                       [f"{chance.getrandbits(64):x}", tenant.slug],
                                       prepare=chance.random() < 0.5)
        except psycopg.OperationalError:
            with self.lock:
                self.doubtful[tenant.slug] += rows
            raise
        with self.lock:
            self.committed[tenant.slug] += rows

    def look(self, chance, tenant, connection):
        foreign = connection.execute("SELECT count(*) FROM thing WHERE body <> %s", [tenant.slug],
                                     prepare=chance.random() < 0.5).fetchone()[0]
        if foreign:
            self.failures.append(f"{tenant.slug} sees {foreign} rows of others")

    def roll_back(self, _chance, tenant, connection):
        with connection.transaction(force_rollback=True):
            connection.execute("INSERT INTO thing (name, body) VALUES ('rolled back', %s)",
                               [tenant.slug])

    def fail(self, chance, _tenant, connection):
        try:
            connection.execute(chance.choice(["SELECT 1/0", "SELEKT", "SELECT * FROM nowhere",
                                              "INSERT INTO thing (name) VALUES (NULL)"]))
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            pass

    def large(self, chance, _tenant, connection):
        size = chance.randrange(1, 2_000_000)
        row = connection.execute("SELECT length(%s::text), repeat('x', %s)",
                                 ["y" * size, size]).fetchone()
        if row != (size, "x" * size):
            self.failures.append("a large value came back wrong")

    def pipeline(self, chance, _tenant, connection):
        numbers = [chance.randrange(1000) for _ in range(chance.randrange(1, 60))]
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int", [number]) for number in numbers]
        if [cursor.fetchone()[0] for cursor in cursors] != numbers:
            self.failures.append("a pipeline came back out of order")

    def vanish(self, chance, tenant, connection):
        connection.execute("BEGIN")
        connection.execute("INSERT INTO thing (name, body) VALUES ('vanished', %s)", [tenant.slug])
        with (contextlib.suppress(wire.Refused, wire.Closed, OSError),  # suspended meanwhile
              wire.connect_to_tenant(self.world.reeve, tenant) as raw):
            raw.send(wire.query("SELECT repeat('z', 1000000) FROM generate_series(1, 20)")[
                :chance.randrange(1, 60)])
        connection.pgconn.finish()
        return "gone"

    def mishaps(self):
        """Suspends and resumes tenants, and terminates server connections."""
        chance = random.Random(f"{self.seed}-mishaps")
        try:
            while time.monotonic() < self.end and not self.failures:
                tenant = chance.choice(self.tenants)
                if chance.random() < 0.3:
                    self.world.reeve.cli("tenant", "suspend", tenant.slug)
                    self.world.reeve.cli("tenant", "resume", tenant.slug)
                else:
                    self.world.reeve.query(
                        r"SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        r" WHERE usename LIKE 't\_%%' OR usename = 'reeve_pool' ORDER BY random() LIMIT %s",
                        chance.randrange(1, 4))
        except Exception as error:  # noqa: BLE001
            self.failures.append(f"mishaps: {error!r}")


@pytest.mark.timeout(SECONDS + 300)
def test_soak(world):
    seed = os.environ.get("REEVE_SOAK_SEED") or str(random.randrange(1 << 30))
    print(f"REEVE_SOAK_SEED={seed}")
    soak = Soak(world, seed)
    threads = [threading.Thread(target=soak.client, args=[number]) for number in range(CLIENTS)]
    threads.append(threading.Thread(target=soak.mishaps))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert soak.failures == []
    wait_for_jobs(world.reeve)
    assert_agreement(world.reeve)
    assert sum(soak.committed.values()) > 0
    for tenant in soak.tenants:
        with world.reeve.connect(tenant) as connection:
            count = connection.execute("SELECT count(*) FROM thing").fetchone()[0]
            stray = connection.execute("SELECT count(*) FROM thing WHERE body <> %s"
                                       " OR name IN ('rolled back', 'vanished')",
                                       [tenant.slug]).fetchone()[0]
        assert stray == 0
        committed, doubtful = soak.committed[tenant.slug], soak.doubtful[tenant.slug]
        assert committed <= count <= committed + doubtful, tenant.slug
