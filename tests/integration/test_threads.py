"""Everything at once on several workers, so that whatever two threads share is used by both: clients
that come, work, are cancelled and go; reloads, questions, changes of routes, holds, and at the end a
new program in the old one's place. Above all for ThreadSanitizer (`make tsan`): its report in a log
fails the test."""
import collections
import itertools
import os
import threading
import time

import psycopg
import pytest

from support import certificates, process
from support.prometheus import metrics
from support.reeve import MODES, running_serve
from support.tokens import Issuer
from support.world import unique

from test_replace import replaced

SECONDS = float(os.environ.get("REEVE_THREADS_SECONDS", "6"))
WORKERS = 4
CLIENTS = 8
PATIENCE_SECONDS = 60
CANCELLED, KILLED = "57014", "57P01"


class Bustle:
    """One thread an activity, over and over; a failure ends all."""

    def __init__(self, activities):
        self.activities = activities  # name -> function
        self.over = threading.Event()
        self.failures = []
        self.rounds = collections.Counter()
        self.threads = [threading.Thread(target=self.repeat, args=each)
                        for each in activities.items()]

    def repeat(self, name, action):
        try:
            while not self.over.is_set() and not self.failures:
                action()
                self.rounds[name] += 1
        except Exception as error:  # noqa: BLE001 - a thread must not end in silence
            self.failures.append(f"{name}: {error!r}")

    def __enter__(self):
        self.began = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def run(self):
        """For the time, and until everybody has come round twice."""
        process.wait_until(lambda: self.failures or time.monotonic() - self.began > SECONDS and all(
            self.rounds[name] > 1 for name in self.activities), "all have had their turns",
            SECONDS + PATIENCE_SECONDS)
        assert self.failures == [], self.failures

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture(scope="module")
def folder():
    with process.temporary_folder("reeve-threads-") as made:
        yield made


@pytest.fixture(scope="module")
def pki(folder):
    return certificates.write_certificate(folder)


def connect(proxy, tenant, **options):
    return proxy.connect(tenant, sslmode="prefer", **options)


def work(proxy, tenants, number, written):
    """A client's life; it may be cancelled, and its server connection killed."""
    tenant = tenants[number % len(tenants)]
    try:
        with connect(proxy, tenant, password=(tenant.token, tenant.password)[number % 2]) as client:
            for turn in range(5):
                if turn == 2:
                    client.execute("SET application_name TO 'threads'")
                client.execute("INSERT INTO thing (name, body) VALUES (%s, 'threads')",
                               [unique("t")], prepare=True)
                written[tenant.slug] += 1
    except psycopg.Error as error:
        if error.sqlstate not in (CANCELLED, KILLED):
            raise


def cancel(proxy, tenant):
    with connect(proxy, tenant) as client:
        timer = threading.Timer(0.05, client.cancel)
        timer.start()
        try:
            client.execute("SELECT pg_sleep(20)")
            raise AssertionError("it was not cancelled")
        except psycopg.Error as error:
            assert error.sqlstate in (CANCELLED, KILLED), error
        finally:
            timer.join()


TURNS = itertools.count()


def reload(proxy):
    turn = next(TURNS)
    proxy.write(max_prepared=100 + turn % 7, oauth_scope=f"openid s{turn}",
                idle_backend_timeout=f"{1 + turn % 3}s", log_level=("debug", "info")[turn % 2])
    proxy.process.send_signal(1)
    look(proxy)


def look(proxy):
    """Each of these has every worker answer."""
    for command in (["status"], ["ps", "--busy"], ["top", "--once", "--interval", "200ms"]):
        proxy.cli(*command, "--config", proxy.config_path, "--json")


def kill_one(proxy):
    found = proxy.cli("ps", "--config", proxy.config_path, "--json").json
    listed = found if isinstance(found, list) else next(iter(found.values()))
    if listed:
        proxy.cli("kill", listed[0]["pid"], "--cancel", "--config", proxy.config_path, check=False)


def change_routes(world, tenant, folder):
    slug = unique("new")
    world.reeve.cli("limit", "set", "query_timeout", "60s", "--tenant", tenant.slug)
    world.reeve.cli("tenant", "create", slug)
    world.reeve.token(slug)
    made = Issuer("ES256", f"https://{unique('threads')}.example", unique("k"))
    made.register(world.reeve, folder)
    world.reeve.cli("hold", tenant.slug, "--for", "1s")
    world.reeve.cli("release", tenant.slug)
    world.reeve.cli("tenant", "suspend", slug)
    world.reeve.cli("tenant", "resume", slug)


@pytest.mark.parametrize("engine", ["epoll", "auto"])
def test_everything_at_once(world, pki, folder, engine):
    tenants = [world.new_tenant(mode) for mode in MODES for _ in range(2)]
    port = process.free_port()
    metrics_port = process.free_port()
    written = collections.Counter()
    with running_serve(world.reeve, workers=WORKERS, engine=engine, tls_cert=pki[0],
                       tls_key=pki[1], metrics_listen=f"127.0.0.1:{metrics_port}",
                       oauth_issuer="https://id.example", listen=[f"127.0.0.1:{port}"],
                       shutdown_timeout="20s") as proxy:
        activities = {
            "cancel": lambda: cancel(proxy, tenants[0]),
            "reload": lambda: reload(proxy),
            "look": lambda: look(proxy),
            "kill": lambda: kill_one(proxy),
            "metrics": lambda: metrics(metrics_port),
            "routes": lambda: change_routes(world, tenants[1], folder),
        }
        for number in range(CLIENTS):
            activities[f"client {number}"] = (
                lambda number=number: work(proxy, tenants, number, written))
        try:
            with Bustle(activities) as bustle:
                bustle.run()
        finally:
            proxy.check_log()  # what a sanitizer said is why all else failed
        for tenant in tenants:
            with connect(proxy, tenant) as client:
                found = client.execute("SELECT count(*) FROM thing WHERE body = 'threads'")
                assert found.fetchone()[0] >= written[tenant.slug]
        with replaced(world, proxy) as new:
            assert proxy.process.wait(60) == 0, proxy.log()
            connect(proxy, tenants[0]).close()
            assert process.stop(new, 60) == 0, proxy.log()
        proxy.process = None
        proxy.check_log()
