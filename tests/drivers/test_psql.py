"""psql, as people use it."""
import signal
import subprocess

import pytest

from support import process
from support.world import unique

LARGE = 20 * 1024 * 1024


@pytest.fixture
def psql(world, tenant):
    """psql(script or arguments) -> (exit status, output, errors)."""

    def run(script, *options, stop_on_error=True):
        stop = ["-v", "ON_ERROR_STOP=1"] if stop_on_error else []
        done = subprocess.run(["psql", "-X", "-q", "-At", *stop, *options,
                               world.reeve.conninfo(tenant)],
                              input=script, text=True, capture_output=True, timeout=120)
        return done.returncode, done.stdout, done.stderr

    return run


def test_insert_select_transactions(psql):
    kept, lost = unique("kept"), unique("lost")
    code, out, err = psql(f"""
        BEGIN; INSERT INTO thing (name) VALUES ('{kept}'); COMMIT;
        BEGIN; INSERT INTO thing (name) VALUES ('{lost}'); ROLLBACK;
        SELECT name FROM thing WHERE name IN ('{kept}', '{lost}');
    """)
    assert (code, out, err) == (0, f"{kept}\n", "")


def test_describe_table(psql):
    """\\d needs the catalogs, and shows what the tenant has."""
    code, out, err = psql("\\t off\n\\d thing\n\\dt\n")
    assert code == 0, err
    assert "amount" in out
    assert "thing_name_key" in out
    assert "part" in out


def test_prepare_over_1000_reuses(psql):
    script = "PREPARE plus (int) AS SELECT $1 + 1;\n"
    script += "".join(f"EXECUTE plus ({number});\n" for number in range(1000))
    code, out, err = psql(script + "DEALLOCATE plus;\n")
    assert (code, err) == (0, "")
    assert out.split() == [str(number + 1) for number in range(1000)]


def test_errors(psql):
    code, out, err = psql("SELECT 1/0;\nSELECT 'go on';\nSELEKT;\n", "-v", "VERBOSITY=verbose",
                          stop_on_error=False)
    assert code == 0
    assert out == "go on\n"
    assert "22012: division by zero" in err
    assert "42601: syntax error" in err


def test_several_statements_with_c(psql):
    code, out, err = psql(None, "-c", "SELECT 1; SELECT 2", "-c", "SELECT 3")
    assert (code, out, err) == (0, "1\n2\n3\n", "")


def test_copy_out(psql, tmp_path):
    target = tmp_path / "out.csv"
    code, out, err = psql("\\copy (SELECT i, 'row ' || i FROM generate_series(1, 1000) i)"
                          f" TO '{target}' CSV\nCOPY (SELECT 7) TO STDOUT;\n")
    assert (code, out, err) == (0, "7\n", "")
    assert target.read_text().splitlines()[999] == "1000,row 1000"


def test_copy_in(world, mode, psql, tmp_path):
    prefix, source = unique("copy"), tmp_path / "in.csv"
    source.write_text("".join(f"{prefix}{number},{number}\n" for number in range(1000)))
    code, out, err = psql(f"\\copy thing (name, amount) FROM '{source}' CSV\n"
                          f"SELECT count(*) FROM thing WHERE name LIKE '{prefix}%';\n")
    if mode == "row" and not world.direct:
        assert code != 0
        assert "row-level security" in err
        assert "INSERT" in err
    else:
        assert (code, out, err) == (0, "1000\n", "")


def test_large_row(psql):
    name = unique()
    code, out, err = psql(f"INSERT INTO thing (name, body) VALUES ('{name}', '{'q' * LARGE}');\n"
                          f"SELECT length(body) FROM thing WHERE name = '{name}';\n"
                          f"SELECT body FROM thing WHERE name = '{name}';\n"
                          f"DELETE FROM thing WHERE name = '{name}';\n")
    assert (code, err) == (0, "")
    assert out == f"{LARGE}\n{'q' * LARGE}\n"


def test_fetch_count_and_gdesc(psql):
    code, out, err = psql("\\set FETCH_COUNT 100\nSELECT i FROM generate_series(1, 1000) i;\n"
                          "SELECT 1 AS one, now() AS t \\gdesc\n")
    assert (code, err) == (0, "")
    assert out.split()[:1000] == [str(number) for number in range(1, 1001)]
    assert "one|integer" in out


def test_cancel_with_interrupt(world, tenant):
    client = process.spawn(
        ["psql", "-X", "-At", world.reeve.conninfo(tenant)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        client.stdin.write(
            "DO $$ BEGIN RAISE NOTICE 'running'; PERFORM pg_sleep(60); END $$;\n\\q\n")
        client.stdin.flush()
        assert "running" in client.stdout.readline()  # a notice comes at once
        client.send_signal(signal.SIGINT)
        out, _ = client.communicate(timeout=30)
    finally:
        client.kill()
        client.wait()
    assert "canceling statement due to user request" in out
