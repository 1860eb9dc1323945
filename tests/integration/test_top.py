"""`reeve top`: one screen for a pipe, JSON, and a screen that lives on a terminal."""
import contextlib
import signal
import threading

import psycopg
import pytest

from support import process
from support.reeve import SANITIZER_REPORT, binary, environment, running_reeve, running_serve
from support.terminal import on_terminal
from support.world import World

SOON_SECONDS = 20
QUICK = ("--interval", "500ms")


@pytest.fixture(scope="module")
def world():
    with running_reeve({"workers": 2}) as server:
        yield World(server)


@pytest.fixture
def tenant(world, mode):
    return world.new_tenant(mode)


@contextlib.contextmanager
def busy(world, tenant, text="SELECT 1"):
    """A client of the tenant that runs one transaction after the other."""
    ended = threading.Event()
    started = threading.Event()

    def run():
        with world.reeve.connect(tenant) as connection:
            while not ended.is_set():
                with contextlib.suppress(psycopg.errors.DivisionByZero):
                    connection.execute(text, prepare=False)
                started.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert started.wait(SOON_SECONDS)
        yield
    finally:
        ended.set()
        thread.join(SOON_SECONDS)


@contextlib.contextmanager
def waiting(world, tenant):
    """Of its two clients one has a transaction open, and the other waits for it to end."""
    world.reeve.cli("limit", "set", "max_transactions", 1, "--tenant", tenant.slug)
    world.reeve.wait_until_heard()
    with world.reeve.connect(tenant) as first, world.reeve.connect(tenant) as second:
        first.execute("BEGIN")
        thread = threading.Thread(target=second.execute, args=("SELECT 1",))
        thread.start()
        try:
            process.wait_until(lambda: world.reeve.status()["server"]["clients_waiting"] > 0,
                               "one waits", SOON_SECONDS)
            yield
        finally:
            first.execute("COMMIT")
            thread.join(SOON_SECONDS)


def top(world, *options):
    return world.reeve.cli("top", *QUICK, *options, json=True).json


def row_of(record, tenant):
    found = [row for row in record["tenants"] if row["tenant"] == tenant.slug]
    assert len(found) == 1, record
    return found[0]


# -- JSON --

def test_rates(world, tenant):
    with busy(world, tenant):
        record = top(world)
    row = row_of(record, tenant)
    assert row["service"] == tenant.service
    assert row["transactions_per_s"] > 1 and row["queries_per_s"] > 1
    assert row["bytes_in_per_s"] > 10 and row["bytes_out_per_s"] > 10
    assert 0 < row["backend_share"] <= 1 and 0 < row["backends_used"] <= 1.1
    assert row["errors_per_s"] == 0 and row["waiting"] == 0
    assert record["whole"]["transactions_per_s"] >= row["transactions_per_s"]
    assert 0.4 < record["seconds"] < 10
    assert record["others"]["transactions_per_s"] < 1
    assert sum(one["backend_share"] for one in record["tenants"]) == pytest.approx(1, abs=0.02)
    quiet = row_of(top(world), tenant)
    assert quiet["transactions_per_s"] == 0 and quiet["clients"] == 0


def test_a_transaction_that_is_open(world, tenant):
    """Nothing of it has been counted, but it has a server connection all the time."""
    with world.reeve.connect(tenant) as connection:
        connection.execute("BEGIN")
        row = row_of(top(world), tenant)
        assert row["backends"] == 1 and row["transactions_per_s"] == 0
        assert 0.5 < row["backends_used"] < 1.5


def test_who_waits(world, tenant):
    with waiting(world, tenant):
        record = top(world, "--sort", "waiting")
        assert record["tenants"][0]["tenant"] == tenant.slug
        row = row_of(record, tenant)
        assert row["waiting"] == 1 and row["clients"] == 2 and row["longest_wait_s"] > 0.3
        assert record["whole"]["waiting"] == 1


def test_errors(world, tenant):
    with busy(world, tenant, "SELECT 1 / 0"), busy(world, world.tenant(tenant.mode)):
        record = top(world, "--sort", "errors")
    assert record["tenants"][0]["tenant"] == tenant.slug
    assert row_of(record, tenant)["errors_per_s"] > 1
    assert row_of(record, world.tenant(tenant.mode))["errors_per_s"] == 0


def test_databases_and_clusters(world, tenant):
    with world.reeve.connect(tenant) as connection:
        connection.execute("BEGIN")
        record = top(world)
        database = world.placement(tenant)["database"]
    found = [row for row in record["databases"] if row["database"] == database]
    assert len(found) == 1 and found[0]["cluster"] == "local"
    assert found[0]["backends"] > found[0]["idle"] and found[0]["waiting"] == 0
    assert [row["cluster"] for row in record["clusters"]] == ["local"]
    assert 1 <= record["clusters"][0]["backends"] <= record["clusters"][0]["max_backends"]
    assert record["server"]["backends"] == sum(row["backends"] for row in record["databases"])


# -- one screen --

def test_once(world, tenant):
    with busy(world, tenant):
        done = world.reeve.cli("top", *QUICK, "--once")
    lines = done.out.splitlines()
    assert "\x1b" not in done.out and lines[0].startswith("reeve ")
    row = next(line for line in lines if line.startswith(tenant.slug + " ")).split()
    assert row[1] == tenant.service and float(row[2]) > 1 and row[3].endswith("%")
    assert any(line.startswith("CLUSTER ") for line in lines)
    assert any(line.startswith("DATABASE ") for line in lines)
    assert "*TRANS/S" in done.out


def test_limit(world):
    done = world.reeve.cli("top", *QUICK, "--once", "--limit", 1, "--sort", "backend-time")
    tenants = done.out[done.out.index("\nTENANT"):].splitlines()[2:]
    assert "*SHARE" in done.out and len(tenants) <= 2


def test_no_terminal(world):
    done = world.reeve.cli("top", check=False)
    assert done.code == 2 and "no terminal" in done.err and "--once" in done.err


def test_no_server(world, tmp_path):
    with running_serve(world.reeve) as serve:
        serve.stop()
        for options in ((), ("--once",)):
            with on_terminal([str(binary()), "top", "--config", str(serve.config_path), *options],
                             env=environment()) as terminal:
                code, errors = terminal.wait()
                assert code != 0 and "no server answers" in errors
                assert terminal.is_given_back() and "\x1b" not in terminal.received


# -- a terminal --

@contextlib.contextmanager
def live(world, *options, config=None, **size):
    command = [str(binary()), "top", *(options or QUICK), "--config", str(config or world.reeve.config_path)]
    with on_terminal(command, env=environment(), **size) as terminal:
        yield terminal


def end(terminal):
    terminal.press("q")
    code, errors = terminal.wait()
    assert code == 0 and not SANITIZER_REPORT.search(errors), errors
    assert terminal.is_given_back()


def test_live(world, tenant):
    """The screen shows the tenant's transactions, and goes on by itself."""
    with live(world) as terminal, busy(world, tenant):
        def moves():
            rows = [line.split() for line in terminal.screen() if line.startswith(tenant.slug + " ")]
            return rows and rows[0][2] != "-" and float(rows[0][2]) > 1

        process.wait_until(moves, "its transactions are counted", SOON_SECONDS)
        assert terminal.is_taken()
        seen = terminal.screens()
        process.wait_until(lambda: terminal.screens() >= seen + 3, "more screens", SOON_SECONDS)
        end(terminal)


def test_keys(world):
    with live(world) as terminal:
        terminal.wait_for("*TRANS/S")
        for key, heading in (("b", "*SHARE"), ("w", "*WAITING"), ("e", "*ERR/S"), ("x", "*ERR/S"),
                             ("t", "*TRANS/S")):
            terminal.press(key)
            assert sum(line.count("*") for line in terminal.wait_for(heading)) == 1
        end(terminal)


def test_keys_do_not_wait_for_the_next_look(world):
    with live(world, "--interval", "60m") as terminal:
        terminal.wait_for("*TRANS/S")
        terminal.press("w")
        terminal.wait_for("*WAITING")
        end(terminal)


def test_the_size(world):
    """Nothing is wider or longer than the terminal, also when it changes."""
    with live(world, rows=12, columns=50) as terminal:
        lines = terminal.wait_for("TENANT")
        assert len(lines) <= 12 and max(map(len, lines)) <= 50
        terminal.set_size(60, 160)
        lines = terminal.wait_for("OUT/S")
        assert len(lines) <= 60 and max(map(len, lines)) <= 160
        for rows, columns in ((1, 1), (2, 3), (5, 10)):
            seen = terminal.screens()
            terminal.set_size(rows, columns)
            process.wait_until(lambda least=seen + 2: terminal.screens() >= least, "drawn anew",
                               SOON_SECONDS)
            lines = terminal.screen()
            assert len(lines) <= rows and max(map(len, lines)) <= columns, lines
        end(terminal)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT],
                         ids=lambda number: number.name)
def test_signals(world, number):
    """The terminal is given back, and the process ends as the signal ends it."""
    with live(world) as terminal:
        terminal.wait_for("TENANT")
        assert terminal.is_taken()
        terminal.process.send_signal(number)
        code, errors = terminal.wait()
        assert code == -number, errors
        assert terminal.is_given_back()


def test_control_c(world):
    with live(world) as terminal:
        terminal.wait_for("TENANT")
        terminal.press("\x03")
        assert terminal.wait()[0] == -signal.SIGINT
        assert terminal.is_given_back()


def test_stop_and_go_on(world):
    with live(world) as terminal:
        terminal.wait_for("TENANT")
        terminal.process.send_signal(signal.SIGTSTP)
        process.wait_until(lambda: state_of(terminal.process.pid) == "T", "it is stopped", SOON_SECONDS)
        assert terminal.is_given_back()
        terminal.process.send_signal(signal.SIGCONT)
        process.wait_until(terminal.is_taken, "it has its screen again", SOON_SECONDS)
        seen = terminal.screens()
        process.wait_until(lambda: terminal.screens() > seen, "it goes on", SOON_SECONDS)
        end(terminal)


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_the_terminal_goes_away(world):
    """Its end is the command's, whether the signal or the end of its input comes first."""
    with live(world) as terminal:
        terminal.wait_for("TENANT")
        terminal.hang_up()
        assert terminal.process.wait(SOON_SECONDS) in (0, -signal.SIGHUP)


def test_control_d_is_a_key_like_others(world):
    with live(world) as terminal:
        terminal.wait_for("TENANT")
        terminal.press("\x04")
        seen = terminal.screens()
        process.wait_until(lambda: terminal.screens() > seen, "it goes on", SOON_SECONDS)
        end(terminal)


def test_a_server_that_comes_back(world):
    with running_serve(world.reeve) as serve:
        with live(world, config=serve.config_path) as terminal:
            terminal.wait_for("TENANT")
            serve.stop()
            terminal.wait_for("no server answers")
            serve.start()
            lines = terminal.wait_for("TENANT")
            assert lines[0].startswith("reeve ")
            end(terminal)


def test_idle_it_costs_nothing(world):
    """Between two looks it waits, while others run."""
    with live(world, "--interval", "60m") as terminal:
        terminal.wait_for("TENANT")
        process.wait_until(lambda: state_of(terminal.process.pid) == "S", "it waits", SOON_SECONDS)
        before = process.cpu_seconds(terminal.process.pid)
        for _ in range(5):
            world.reeve.status()
        assert process.cpu_seconds(terminal.process.pid) - before < 0.03
        end(terminal)
