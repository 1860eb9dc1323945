"""Prometheus's metrics: what they say, how many there are, and who asks in bad ways."""
import contextlib
import os
import re
import signal
import socket
import threading

import psycopg
import pytest

from support import process
from support.process import ROOT
from support.prometheus import Metrics, ask, metrics
from support.reeve import binary, environment, run, running_reeve, running_serve
from support.world import World

SOON_SECONDS = 20
DEADLINE_SECONDS = 10  # of a connection: src/metrics/server.c
CONNECTIONS = 16       # at once, of which
CONNECTIONS_A_PEER = 8


class MetricsWorld(World):
    def __init__(self, reeve, port):
        super().__init__(reeve)
        self.port = port


@pytest.fixture(scope="module")
def world():
    port = process.free_port()
    with running_reeve({"workers": 2, "metrics_listen": f"127.0.0.1:{port}"}) as server:
        yield MetricsWorld(server, port)


@pytest.fixture
def tenant(world, mode):
    return world.new_tenant(mode)


def of_tenant(found, tenant, name):
    return found.get(f"reeve_tenant_{name}", tenant=tenant.slug, service=tenant.service)


def wait_for(port, condition, what):
    """The metrics, once the condition holds: they may be a second old."""
    found = []

    def holds():
        found[:] = [metrics(port)]
        return condition(found[0])

    process.wait_until(holds, what, SOON_SECONDS)
    return found[0]


# -- what they say --

def test_a_tenants_figures(world, tenant):
    before = metrics(world.port)
    with world.reeve.connect(tenant) as connection:
        for _ in range(5):
            connection.execute("SELECT name FROM thing")
        with connection.transaction():
            connection.execute("INSERT INTO thing (name) VALUES ('one')")
            connection.execute("INSERT INTO thing (name) VALUES ('two')")
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT 1 / 0")
        found = wait_for(world.port, lambda now: of_tenant(now, tenant, "transactions_total") == 7,
                         "seven transactions")
        assert of_tenant(found, tenant, "errors_total") == 1
        assert of_tenant(found, tenant, "queries_total") >= 8
        assert of_tenant(found, tenant, "clients") == 1
        assert of_tenant(found, tenant, "clients_waiting") == 0
        assert of_tenant(found, tenant, "backends") == 0
        assert of_tenant(found, tenant, "backend_seconds_total") > 0
        assert of_tenant(found, tenant, "received_bytes_total") > 100
        assert of_tenant(found, tenant, "sent_bytes_total") > 100
        for name in ("transactions", "errors", "logins", "queries", "backend_seconds",
                     "received_bytes", "sent_bytes"):
            assert found.get(f"reeve_{name}_total") > before.get(f"reeve_{name}_total"), name
        assert found.get("reeve_transactions_total") - before.get("reeve_transactions_total") >= 7
    # The place is freed with its last client, and made again: its figures stay.
    found = wait_for(world.port, lambda now: of_tenant(now, tenant, "clients") == 0, "it is gone")
    assert of_tenant(found, tenant, "transactions_total") == 7
    with world.reeve.connect(tenant) as connection:
        connection.execute("SELECT 1")
        found = wait_for(world.port, lambda now: of_tenant(now, tenant, "transactions_total") != 7,
                         "one more")
        assert of_tenant(found, tenant, "transactions_total") == 8
        assert of_tenant(found, tenant, "errors_total") == 1


def test_a_transaction_that_runs(world, tenant):
    """Its time counts while it runs, and once."""
    with world.reeve.connect(tenant) as connection:
        connection.execute("BEGIN")
        wait_for(world.port, lambda now: (of_tenant(now, tenant, "backend_seconds_total") or 0) > 1.5,
                 "the time goes on")
        assert of_tenant(metrics(world.port), tenant, "backends") == 1
        connection.execute("COMMIT")
        found = wait_for(world.port, lambda now: of_tenant(now, tenant, "backends") == 0, "it ends")
        ended = of_tenant(found, tenant, "backend_seconds_total")
        assert 1.5 < ended < SOON_SECONDS
        again = wait_for(world.port, lambda now: now.text != found.text, "a newer answer")
        assert of_tenant(again, tenant, "backend_seconds_total") == ended


def test_waits(world, tenant):
    world.reeve.cli("limit", "set", "max_transactions", 1, "--tenant", tenant.slug)
    world.reeve.wait_until_heard()
    with world.reeve.connect(tenant) as first, world.reeve.connect(tenant) as second:
        first.execute("SELECT 1")  # which waits for the first server connection to be made
        before = wait_for(world.port, lambda now: of_tenant(now, tenant, "transactions_total") == 1,
                          "one transaction")
        waits = of_tenant(before, tenant, "waits_total")
        first.execute("BEGIN")
        thread = threading.Thread(target=second.execute, args=("SELECT 1",))
        thread.start()
        found = wait_for(world.port, lambda now: of_tenant(now, tenant, "clients_waiting") == 1,
                         "one waits")
        assert of_tenant(found, tenant, "waits_total") == waits
        assert found.get("reeve_clients_waiting") >= 1
        first.execute("COMMIT")
        thread.join(SOON_SECONDS)
        found = wait_for(world.port, lambda now: of_tenant(now, tenant, "waits_total") == waits + 1,
                         "it has waited")
        assert of_tenant(found, tenant, "wait_seconds_total") > \
            of_tenant(before, tenant, "wait_seconds_total")
        assert of_tenant(found, tenant, "clients_waiting") == 0
        count = "reeve_wait_seconds_count"
        assert found.get(count) > before.get(count)
        assert found.get("reeve_wait_seconds_sum") > before.get("reeve_wait_seconds_sum")


def test_failed_logins(world, tenant):
    before = metrics(world.port).get("reeve_logins_failed_total")
    with pytest.raises(psycopg.OperationalError):
        world.reeve.connect(tenant, password="wrong")
    wait_for(world.port, lambda now: now.get("reeve_logins_failed_total") > before, "it is counted")


def test_clusters_and_databases(world, tenant):
    with world.reeve.connect(tenant) as connection:
        connection.execute("BEGIN")
        database = world.placement(tenant)["database"]
        labels = {"cluster": "local", "database": database}

        def in_use(now):
            return (now.get("reeve_database_backends", **labels) or 0) > \
                (now.get("reeve_database_backends_idle", **labels) or 0)

        found = wait_for(world.port, in_use, "a connection to the database is in use")
        assert found.get("reeve_database_clients_waiting", **labels) == 0
        used = found.get("reeve_cluster_backends", cluster="local")
        assert 1 <= used <= found.get("reeve_cluster_backends_max", cluster="local")
        wait_for(world.port, lambda now: sum(now.all("reeve_database_backends").values()) ==
                 now.get("reeve_backends"), "all server connections are some database's")


def test_the_process(world):
    found = metrics(world.port)
    assert found.get("process_cpu_seconds_total") > 0
    assert found.get("process_resident_memory_bytes") > 1_000_000
    assert 10 < found.get("process_open_fds") <= found.get("process_max_fds")
    assert found.get("process_start_time_seconds") > 1_600_000_000
    assert len(found.all("reeve_info")) == 1


# -- the text --

def test_the_table_is_the_reference(world):
    """Every metric is declared, has a series, and stands in the reference with its type."""
    found = metrics(world.port)
    reference = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", reference, re.M))
    assert rows == found.types
    for name, kind in found.types.items():
        assert found.all(name + "_bucket" if kind == "histogram" else name), name
        assert kind != "counter" or name.endswith("_total")


def test_the_histogram(world):
    buckets = metrics(world.port).all("reeve_wait_seconds_bucket")
    bounds = sorted((float(dict(labels)["le"]), value) for labels, value in buckets.items())
    assert [value for _, value in bounds] == sorted(value for _, value in bounds)
    assert bounds[-1][0] == float("inf") and len(bounds) == 14


def test_no_secrets(world, tenant):
    with world.reeve.connect(tenant) as connection:
        connection.execute("SELECT 'a secret of mine'")
        found = wait_for(world.port, lambda now: of_tenant(now, tenant, "clients") == 1, "it is there")
    for secret in (tenant.token, tenant.password, "a secret of mine", "host=", "t_0"):
        assert secret not in found.text


def test_the_rest_is_told_as_one(world):
    """metrics_tenants bounds the series; no counter goes back, and the sum is the whole."""
    port = process.free_port()
    tenants = [world.new_tenant("row") for _ in range(4)]
    with running_serve(world.reeve, metrics_listen=f"127.0.0.1:{port}", metrics_tenants=2) as serve:
        def transact(tenant, times):
            with serve.connect(tenant) as connection:
                for _ in range(times):
                    connection.execute("SELECT 1", prepare=False)

        def whole(found):
            return found.get("reeve_transactions_total")

        def of_all(found):
            return found.all("reeve_tenant_transactions_total")

        before = metrics(port)
        for round_ in range(1, 4):
            for place, tenant in enumerate(tenants):
                transact(tenant, 5 + 10 * ((place + round_) % 4))
            found = wait_for(port, lambda now, least=80 * round_: whole(now) == least, "all have run")
            assert len(of_all(found)) == 3
            for name in ("transactions", "queries", "received_bytes"):
                rest = found.get(f"reeve_tenant_{name}_total", tenant="", service="")
                assert rest >= (before.get(f"reeve_tenant_{name}_total", tenant="", service="") or 0)
            assert sum(of_all(found).values()) <= whole(found)
            before = found
        serve.write(metrics_tenants=0)
        serve.process.send_signal(signal.SIGHUP)
        found = wait_for(port, lambda now: len(of_all(now)) == 1, "the setting is heard of")
        assert found.get("reeve_tenant_transactions_total", tenant="", service="") <= whole(found)


def test_a_tenant_that_is_new_begins_with_all_it_did(world, tenant):
    """Where all tenants have series of their own, the figures are the proxy's."""
    metrics(world.port)
    with world.reeve.connect(tenant) as connection:
        for _ in range(3):
            connection.execute("SELECT 1")
        found = wait_for(world.port, lambda now: of_tenant(now, tenant, "transactions_total"),
                         "it has series")
        assert of_tenant(found, tenant, "transactions_total") == 3


# -- who asks in bad ways --

@contextlib.contextmanager
def raw(port, sent=b"", source="127.0.0.1"):
    with socket.create_connection(("127.0.0.1", port), SOON_SECONDS, (source, 0)) as opened:
        opened.sendall(sent)
        yield opened


def all_of(opened):
    """What comes until the other side ends the connection."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while part := opened.recv(65536):
            got += part
    return got


def test_other_requests(world):
    assert ask(world.port, "/")[0] == 404
    assert ask(world.port, "/metrics/x")[0] == 404
    assert ask(world.port, "/../metrics")[0] == 404
    assert ask(world.port, "/metrics?a=b")[0] == 200
    status, headers, _ = ask(world.port, method="POST")
    assert status == 405 and headers["Allow"] == "GET, HEAD"
    assert ask(world.port, method="DELETE")[0] == 405
    status, headers, body = ask(world.port, method="HEAD")
    assert status == 200 and body == "" and int(headers["Content-Length"]) > 1000


@pytest.mark.parametrize("sent", [
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f",  # a client of PostgreSQL that asks for TLS
    b"GET\r\n\r\n",
    b"\xff\xfe\xfd\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\n\r\n",  # without Host
    b"GET /metrics HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + b"".join(
        b"X-%d: %s\r\n" % (number, b"y" * 100) for number in range(500)) + b"\r\n",
    b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" + b"z" * 100_000,
    b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
], ids=["pg", "short", "bytes", "no-host", "version", "long-line", "headers", "body", "chunks"])
def test_malformed_requests(world, sent):
    """Refused or cut off; nothing is answered with metrics, and the next one is."""
    with raw(world.port) as opened:
        with contextlib.suppress(ConnectionError):
            opened.sendall(sent)
        with contextlib.suppress(OSError):
            opened.shutdown(socket.SHUT_WR)
        answer = all_of(opened)
    assert b"reeve_info" not in answer
    assert answer == b"" or re.match(rb"HTTP/1\.[01] (4|5)\d\d ", answer), answer[:200]
    assert metrics(world.port).get("reeve_info", version="x") is None


def test_a_request_in_pieces(world):
    with raw(world.port) as opened:
        for byte in b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n":
            opened.sendall(bytes([byte]))
        answer = all_of(opened)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    Metrics(body.decode())


def test_slow_clients_block_nobody(world, tenant):
    """They keep neither the proxy nor, from another address, the metrics; and they are ended."""
    head = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: "
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(raw(world.port, head)) for _ in range(CONNECTIONS_A_PEER)]
        with world.reeve.connect(tenant) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert metrics(world.port, source="127.0.0.2")
        for opened in slow:
            opened.settimeout(0.1)
        ended = set()

        def drip():
            for opened in slow:
                try:
                    opened.sendall(b"y")
                    if opened.recv(4096) == b"":
                        ended.add(opened)
                except TimeoutError:
                    pass
                except OSError:
                    ended.add(opened)
            return len(ended) == len(slow)

        process.wait_until(drip, "those who drip are ended", DEADLINE_SECONDS + SOON_SECONDS)
        assert metrics(world.port)


def test_too_many_connections(world, tenant):
    def open_fds():
        return metrics(world.port, source="127.0.0.3").get("process_open_fds")

    before = open_fds()
    with contextlib.ExitStack() as stack:
        for _ in range(4 * CONNECTIONS):
            stack.enter_context(raw(world.port))
        process.wait_until(lambda: open_fds() > before, "they are there", SOON_SECONDS)
        assert open_fds() <= before + CONNECTIONS + 4
        with world.reeve.connect(tenant) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert process.wait_until(lambda: open_fds() <= before + 4, "they are gone", SOON_SECONDS)
    assert metrics(world.port)


def test_who_hangs_up_at_once(world):
    for _ in range(50):
        with raw(world.port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") as opened:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    def answers():
        with contextlib.suppress(ConnectionResetError):  # those before count until they are noticed
            return metrics(world.port)

    process.wait_until(answers, "the next is answered", SOON_SECONDS)


def test_asking_often_costs_the_workers_nothing(world):
    """One answer serves a second: two that follow at once are the same bytes."""
    def twice():
        return metrics(world.port).text == metrics(world.port).text

    process.wait_until(twice, "two answers are one", SOON_SECONDS)


# -- where it listens --

def test_off_unless_asked_for(world):
    """No socket listens but those of clients and of the status."""
    with running_serve(world.reeve) as serve, running_serve(
            world.reeve, metrics_listen=f"localhost:{process.free_port()}") as other:
        assert len(listening(serve.process.pid)) == 1
        assert len(listening(other.process.pid)) > 1


def listening(pid):
    """The TCP ports of a process."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in open(f"/proc/{pid}/net/{table}", encoding="ascii").readlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.add((table, fields[1]))
    return found


@pytest.mark.parametrize("value", ["9187", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:x", "::1:9187",
                                   "./here", "/tmp"])
def test_addresses_that_are_none(world, value, tmp_path):
    config = tmp_path / "reeve.conf"
    config.write_text(f"control = host=/nowhere\nmetrics_listen = {value}\n")
    done = run("serve", "--config", config)
    assert done.code != 0 and "metrics_listen" in done.err and ":2:" in done.err, done.text


def test_an_address_that_is_taken(world):
    with running_serve(world.reeve) as serve:
        serve.write(metrics_listen=f"127.0.0.1:{world.port}", listen="127.0.0.1:"
                    f"{process.free_port()}", status_socket=serve.folder / "other.sock")
        done = run("serve", "--config", serve.config_path)
        assert done.code != 0 and "metrics_listen: cannot listen on" in done.err, done.text


def test_a_new_program_takes_the_port_over(world):
    """Nobody is refused; the counters are the new one's."""
    port = process.free_port()
    with running_serve(world.reeve, metrics_listen=f"127.0.0.1:{port}") as old:
        def started():
            with contextlib.suppress(ConnectionResetError):  # cut off by the old one's end
                return metrics(port).get("process_start_time_seconds")

        before = started()
        with open(old.log_path, "ab") as log:
            new = process.spawn([str(binary()), "serve", "--replace", "--config",
                                 str(old.config_path)], stdout=log, stderr=log, env=environment())
        try:
            process.wait_until(lambda: old.process.poll() is not None and started() != before,
                               "the new one answers", 2 * SOON_SECONDS)
            assert [started() == before for _ in range(5)] == [False] * 5
        finally:
            assert process.stop(new, SOON_SECONDS) == 0, old.log()


def test_the_end(world, tenant):
    """Connections that are open do not keep it."""
    port = process.free_port()
    with running_serve(world.reeve, metrics_listen=f"127.0.0.1:{port}") as serve:
        assert metrics(port)
        with raw(port, b"GET /metr"), raw(port):
            serve.stop(SOON_SECONDS)
