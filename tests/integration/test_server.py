"""`reeve dev` and `reeve serve` as processes: graceful stop, reload, what is left behind."""
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import psycopg
import pytest

from support import process, reeve as reeve_support, wire
from support.reeve import running_serve
from support.world import DATA, create_service, error_of


def test_stop_lets_transactions_finish(world, mode):
    tenant = world.tenant(mode)
    with running_serve(world.reeve) as proxy:
        idle = wire.connect_to_tenant(proxy, tenant)
        busy = proxy.connect(tenant, autocommit=False)
        busy.execute("INSERT INTO thing (name) VALUES (%s)", [f"stopping-{proxy.port}"])
        asked = proxy.process
        asked.send_signal(signal.SIGTERM)
        ended = [message for message in idle.rest() if message.type == "E"]
        assert [error.sqlstate for error in ended] == ["57P01"]
        idle.close()

        def refuses():
            try:
                wire.connect_to_tenant(proxy, tenant).close()
            except (wire.Refused, wire.Closed, OSError):
                return True
            return False

        process.wait_until(refuses, "no new clients are taken", 20)
        assert asked.poll() is None, "it waits for the transaction"
        assert busy.execute("SELECT 1").fetchone() == (1,)
        busy.commit()
        assert asked.wait(timeout=20) == 0
        busy.close()
    with world.reeve.connect(tenant) as connection:
        rows = connection.execute("DELETE FROM thing WHERE name = %s RETURNING 1",
                                  [f"stopping-{proxy.port}"]).fetchall()
    assert rows == [(1,)]


def test_stop_is_not_for_ever(world):
    """shutdown_timeout ends a transaction that does not finish."""
    tenant = world.tenant("schema")
    with running_serve(world.reeve, shutdown_timeout="1s") as proxy:
        busy = proxy.connect(tenant, autocommit=False)
        busy.execute("INSERT INTO thing (name) VALUES ('never finished')")
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(timeout=20) == 0
        with pytest.raises(psycopg.OperationalError):
            busy.execute("SELECT 1")
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT count(*) FROM thing WHERE name = 'never finished'"
                                  ).fetchone() == (0,)


def test_reload(world):
    """SIGHUP: new values hold for what comes, a bad file changes nothing, clients stay."""
    tenant = world.tenant("schema")
    with running_serve(world.reeve, max_prepared=100) as proxy:
        with proxy.connect(tenant) as kept:
            assert kept.execute("SELECT 1").fetchone() == (1,)
            proxy.write(auth="scram")
            proxy.process.send_signal(signal.SIGHUP)

            def token_refused():
                try:
                    proxy.connect(tenant).close()
                    return False
                except psycopg.OperationalError:
                    return True

            process.wait_until(token_refused, "auth = scram holds", 20)
            proxy.connect(tenant, password=tenant.password).close()
            proxy.write(auth="nonsense")
            proxy.process.send_signal(signal.SIGHUP)
            process.wait_until(lambda: "nonsense" in proxy.log(), "the bad file is complained of",
                               20)
            proxy.connect(tenant, password=tenant.password).close()
            assert kept.execute("SELECT 1").fetchone() == (1,)
            assert proxy.process.poll() is None


def test_max_clients(world):
    tenant = world.tenant("schema")
    with running_serve(world.reeve, max_clients=5) as proxy:
        clients = [proxy.connect(tenant) for _ in range(5)]
        error = error_of(proxy.connect, tenant)
        assert "client" in str(error)
        clients.pop().close()

        def room():
            try:
                clients.append(proxy.connect(tenant))
                return True
            except psycopg.OperationalError:
                return False

        process.wait_until(room, "there is room again", 20)
        for client in clients:
            client.close()


def test_max_prepared(world):
    """A client with too many statements is told so; others are not disturbed."""
    tenant = world.tenant("schema")
    with running_serve(world.reeve, max_prepared=20) as proxy:
        with wire.connect_to_tenant(proxy, tenant) as greedy, proxy.connect(tenant) as other:
            for number in range(20):
                greedy.ask(wire.parse(f"SELECT {number}", f"s{number}"), wire.sync())
            greedy.send(wire.parse("SELECT 99", "one-more"), wire.sync())
            errors = [message for message in greedy.rest() if message.type == "E"]
            assert "prepared" in errors[0].fields["M"]
            # More different texts in turn than a backend keeps: the oldest are prepared anew.
            for _ in range(2):
                for number in range(40):
                    assert other.execute(f"SELECT %s::int + {number}", [1]).fetchone() == (
                        number + 1,)


def test_the_proxy_outlives_the_control_database(own_reeve):
    """What it knows, it keeps serving (DESIGN 2)."""
    create_service(own_reeve, "things", DATA / "things", "schema")
    tenant = own_reeve.add_tenant("acme", "things")
    with own_reeve.connect(tenant) as connection:
        control = psycopg.conninfo.conninfo_to_dict(own_reeve.setting("control"))["dbname"]
        with own_reeve.admin("postgres") as admin:
            admin.execute(f'ALTER DATABASE "{control}" ALLOW_CONNECTIONS false')
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                          " WHERE datname = %s", [control])
            assert connection.execute("SELECT 1").fetchone() == (1,)
            with own_reeve.connect(tenant) as another:
                assert another.execute("SELECT 2").fetchone() == (2,)
            admin.execute(f'ALTER DATABASE "{control}" ALLOW_CONNECTIONS true')

        def follows_again():
            own_reeve.cli("tenant", "suspend", tenant.slug)
            own_reeve.cli("tenant", "resume", tenant.slug)
            late = own_reeve.add_tenant(f"late-{time.monotonic_ns()}", "things")
            with own_reeve.connect(late) as new:
                return new.execute("SELECT 3").fetchone() == (3,)

        assert follows_again()


def test_backends_that_die_are_replaced(world, mode):
    """Admin shutdown of idle backends is no client's business (PROTOCOL 18)."""
    tenant = world.new_tenant(mode)
    role = world.placement(tenant)["login_role"]
    with world.reeve.connect(tenant) as connection:
        for _ in range(5):
            assert connection.execute("SELECT 1", prepare=True).fetchone() == (1,)
            assert world.reeve.query("SELECT count(pg_terminate_backend(pid)) FROM"
                                     " pg_stat_activity WHERE usename = %s", role) != [(0,)]
            process.wait_until(lambda: world.reeve.query(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = %s", role) == [(0,)],
                "the backend is gone")


def test_dev_keeps_its_data(own_reeve):
    create_service(own_reeve, "things", DATA / "things", "row")
    tenant = own_reeve.add_tenant("acme", "things")
    with own_reeve.connect(tenant) as connection:
        connection.execute("INSERT INTO thing (name) VALUES ('kept')")
    own_reeve.stop()
    own_reeve.start()
    with own_reeve.connect(tenant) as connection:
        assert connection.execute("SELECT name FROM thing").fetchall() == [("kept",)]


def test_dev_in_a_folder_that_was_moved(own_reeve):
    create_service(own_reeve, "things", DATA / "things", "schema")
    tenant = own_reeve.add_tenant("acme", "things")
    own_reeve.stop()
    own_reeve.folder = own_reeve.folder.rename(own_reeve.folder.with_name("moved"))
    own_reeve.start()
    with own_reeve.connect(tenant) as connection:
        assert connection.execute("SELECT count(*) FROM thing").fetchone() == (0,)


def test_dev_after_kill(own_reeve):
    """kill -9: PostgreSQL goes with it, and the next start finds everything."""
    create_service(own_reeve, "things", DATA / "things", "schema")
    tenant = own_reeve.add_tenant("acme", "things")
    with own_reeve.connect(tenant) as connection:
        connection.execute("INSERT INTO thing (name) VALUES ('kept')")
    own_reeve.kill()
    own_reeve.start()
    with own_reeve.connect(tenant) as connection:
        assert connection.execute("SELECT name FROM thing").fetchall() == [("kept",)]


def test_dev_twice_in_one_folder(own_reeve):
    again = reeve_support.run("dev", "--dir", own_reeve.folder, "--port", process.free_port())
    assert again.code == 75
    assert "running" in again.err


def test_dev_on_a_port_that_is_taken(world):
    with process.temporary_folder() as folder:
        result = reeve_support.run("dev", "--dir", folder / "dev", "--port", world.reeve.port)
        assert result.code not in (0, -9)
        assert str(world.reeve.port) in result.err


def test_nothing_is_left_when_the_test_run_is_killed():
    """The harness's own promise: kill -9 of the process that started it ends `reeve dev` and its
    PostgreSQL."""
    script = """
import sys, time
sys.path.insert(0, sys.argv[1])
from support.reeve import Reeve
server = Reeve(sys.argv[2])
server.start()
print(server.process.pid, flush=True)
time.sleep(300)
"""
    with process.temporary_folder() as folder:
        runner = process.spawn([sys.executable, "-c", script, str(process.ROOT / "tests"),
                                str(folder / "dev")], stdout=subprocess.PIPE, text=True)
        pid = int(runner.stdout.readline())
        pids = [pid, *process.children(pid)]
        assert len(pids) > 2
        runner.kill()
        runner.wait()
        process.wait_until(lambda: not any(map(process.is_running, pids)),
                           "everything has ended", 60)


def test_process_title_and_environment_show_no_secret(world):
    """No token, password or key on a command line that others can read."""
    pids = [world.reeve.process.pid, *process.children(world.reeve.process.pid)]
    for pid in pids:
        try:
            line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        for tenant in world.tenants.values():
            assert tenant.token.encode() not in line
            assert tenant.password.encode() not in line


def test_log_shows_no_secret(world):
    tenant = world.tenant("row")
    with pytest.raises(psycopg.OperationalError):
        world.reeve.connect(tenant, password="wrong-but-secret")
    process.wait_until(lambda: tenant.slug in world.reeve.log(), "the failure is logged")
    text = world.reeve.log_path.read_text(errors="replace")
    assert "wrong-but-secret" not in text
    for each in world.tenants.values():
        assert each.token not in text
        assert each.password not in text


def test_many_connections_at_once(world):
    """A hundred clients log in and work at once."""
    tenant = world.tenant("row", "c")
    failures = []

    def work(number):
        try:
            with world.reeve.connect(tenant) as connection:
                if connection.execute("SELECT %s::int", [number]).fetchone() != (number,):
                    failures.append(number)
        except psycopg.Error as error:
            failures.append(str(error))

    threads = [threading.Thread(target=work, args=[number]) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_status(world):
    with world.reeve.connect(world.tenant("row")) as connection:
        connection.execute("SELECT 1")
        status = world.reeve.cli("status", json=True).json
        assert world.reeve.cli("status").out
    assert status["server"]["engine"] == (reeve_support.ENGINE or status["server"]["engine"])


@pytest.mark.parametrize("engine", ["epoll", "io_uring", "auto"])
def test_engines(world, engine):
    """What is set is used, and said; a change needs a restart."""
    with reeve_support.running_serve(world.reeve, engine=engine) as server:
        arguments = ("--config", server.config_path, "--json")
        shown = reeve_support.run("status", *arguments).json["server"]["engine"]
        assert shown == engine or engine == "auto" and shown in ("epoll", "io_uring")
        with server.connect(world.tenant("row")) as connection:
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
        server.write(engine="epoll")
        server.process.send_signal(signal.SIGHUP)
        process.wait_until(lambda: engine == "epoll" or "engine was changed" in server.log(),
                           "the log says that the engine stays", 10)
        assert reeve_support.run("status", *arguments).json["server"]["engine"] == shown


def test_engine_where_little_memory_may_be_locked(world):
    """Newer kernels count rings as locked memory: enough for the probe, and not for all workers."""
    limited = ["prlimit", f"--memlock={256 * 1024}"]
    if os.geteuid() == 0:
        limited += ["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"]
    with reeve_support.running_serve(world.reeve, under=limited, engine="auto", workers=4) as server:
        shown = reeve_support.run("status", "--config", server.config_path, "--json").json
        assert (shown["server"]["engine"] == "epoll") == ("engine epoll: " in server.log())
        with server.connect(world.tenant("row")) as connection:
            assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_descriptors_do_not_leak(world):
    """A thousand logins later, about as many descriptors are open."""
    folder = f"/proc/{world.reeve.process.pid}/fd"
    tenant = world.tenant("schema")

    def churn(count):
        for _ in range(count):
            wire.connect_to_tenant(world.reeve, tenant).close()

    churn(20)
    before = len(os.listdir(folder))
    churn(300)
    process.wait_until(lambda: len(os.listdir(folder)) <= before + 5, "descriptors are closed")
