"""sqlsmith as a tenant: random SQL that the catalogs make possible. Nothing crashes, no step is lost
between proxy and server, and what the neighbour has is as it was.

    REEVE_SQLSMITH_QUERIES=20000   asks more, and other things each time
    REEVE_SQLSMITH_SEED=...        the same again
"""
import os
import random
import re
import shutil
import signal
import subprocess

import pytest

from support.process import ROOT, end_with_parent

QUERIES = int(os.environ.get("REEVE_SQLSMITH_QUERIES", "150"))
SMITH = shutil.which("sqlsmith") or "/usr/games/sqlsmith"
EVERYTHING = ("SELECT (SELECT string_agg(thing::text, ',' ORDER BY id) FROM thing),"
              " (SELECT string_agg(part::text, ',' ORDER BY id) FROM part)")


def smith(reeve, tenant, seed):
    """A query at most 2 s, so that one that goes on for ever is no failure."""
    return subprocess.run(
        [SMITH, f"--target={reeve.conninfo(tenant, options='-c statement_timeout=2s')}",
         f"--seed={seed}", f"--max-queries={QUERIES}", "--exclude-catalog", "--verbose"],
        capture_output=True, text=True, errors="replace", timeout=60 + 2 * QUERIES, cwd=ROOT,
        preexec_fn=end_with_parent(signal.SIGKILL))


def asked(done):
    """How many queries it says that it has sent."""
    found = re.findall(r"queries: (\d+)", done.stderr)
    return int(found[-1]) if found else 0


def new_seed():
    """The ordinary run asks the same each time."""
    return str(random.randrange(1 << 30)) if "REEVE_SQLSMITH_QUERIES" in os.environ else "1"


@pytest.mark.timeout(120 + 2 * QUERIES)
@pytest.mark.skipif(not os.path.exists(SMITH), reason="there is no sqlsmith")
def test_sqlsmith(world, mode):
    seed = os.environ.get("REEVE_SQLSMITH_SEED") or new_seed()
    print(f"REEVE_SQLSMITH_SEED={seed}")
    tenant, neighbour = (world.new_tenant(mode) for _ in range(2))
    for one in (tenant, neighbour):
        with world.reeve.connect(one) as connection:
            connection.execute("INSERT INTO thing (name, amount) SELECT %s || i, i FROM"
                               " generate_series(1, 5) i", [one.slug])
            connection.execute("INSERT INTO part (thing_id, label) SELECT id, name FROM thing")
    with world.reeve.connect(neighbour) as connection:
        before = connection.execute(EVERYTHING).fetchone()
    log_from = world.reeve.log_path.stat().st_size
    done = smith(world.reeve, tenant, seed)
    assert done.returncode == 0, done.stderr[-3000:]
    assert asked(done) >= QUERIES, done.stderr[-1000:]
    with world.reeve.connect(neighbour) as connection:
        assert connection.execute(EVERYTHING).fetchone() == before
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT count(*) FROM thing WHERE name LIKE %s",
                                  [neighbour.slug + "%"]).fetchone() == (0,)
    with open(world.reeve.log_path, "rb") as log:
        log.seek(log_from)
        news = log.read().decode(errors="replace")
    assert "out of step" not in news and "connection lost" not in news, news[-3000:]
