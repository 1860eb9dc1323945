"""PostgreSQL's own benchmark as a tenant, in each mode: it must run without an error."""
import os
import re
import subprocess

import pytest

from support.postgres import BIN

TRANSACTIONS = 150


def pgbench(world, tenant, *options, clients=4):
    environment = {**os.environ, "PGPASSWORD": tenant.secret}
    done = subprocess.run(
        [BIN / "pgbench", "-n", "-h", "127.0.0.1", "-p", str(world.reeve.port), "-U", tenant.slug,
         "-c", str(clients), "-j", "2", "-t", str(TRANSACTIONS), *options, tenant.service],
        env=environment, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search(r"error|aborted|FATAL", done.stderr, re.I), done.stderr
    assert f"number of transactions actually processed: {clients * TRANSACTIONS}/" in done.stdout
    assert "number of failed transactions: 0 " in done.stdout
    return done.stdout


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_select_only(world, mode, protocol):
    pgbench(world, world.pgbench(mode), "-S", "-M", protocol)


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_default_script(world, mode, protocol):
    tenant = world.pgbench(mode)
    with world.reeve.connect(tenant) as connection:
        count = "SELECT count(*) FROM pgbench_history"
        before = connection.execute(count).fetchone()[0]
        pgbench(world, tenant, "-M", protocol)
        assert connection.execute(count).fetchone()[0] == before + 4 * TRANSACTIONS
        sums = connection.execute(
            "SELECT (SELECT sum(abalance) FROM pgbench_accounts),"
            " (SELECT sum(tbalance) FROM pgbench_tellers),"
            " (SELECT sum(bbalance) FROM pgbench_branches),"
            " (SELECT sum(delta) FROM pgbench_history)").fetchone()
    assert len(set(sums)) == 1, f"balances differ: {sums}"


@pytest.mark.parametrize("protocol", ["extended", "prepared"])
def test_pipeline(world, mode, protocol, tmp_path):
    """Several statements in one pipeline."""
    script = tmp_path / "pipeline.sql"
    script.write_text("""\\set aid random(1, 100000)
\\startpipeline
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_accounts SET abalance = abalance WHERE aid = :aid;
SELECT 1;
\\endpipeline
""")
    pgbench(world, world.pgbench(mode), "-M", protocol, "-f", str(script))


def test_many_clients(world, mode):
    pgbench(world, world.pgbench(mode), "-S", "-M", "prepared", clients=40)


def test_new_connection_each_time(world, mode):
    pgbench(world, world.pgbench(mode), "-S", "-C", clients=2)
