#!/usr/bin/env python3
"""pgbench select-only: straight to PostgreSQL, through PgBouncer, through Reeve.

    make bench-pooler
    tests/bench/pooler.py [--rounds 5] [--seconds 5] [--write-docs] [--case prepared/64 ...]

One PostgreSQL serves all three, and both poolers may have 20 backends to it over a Unix socket;
clients come over TCP loopback from one pgbench thread. The subjects take turns within each round,
so that the machine's moods meet all of them; compare ratios, not absolute figures across runs. CPU
is user and system time of the pooler's own processes from the moment when all clients are logged in,
by the transactions that pgbench counted. Each measurement is a line in build/bench.jsonl.

$REEVE_PGBOUNCER: another pgbouncer than Debian's. Before 1.21 it has no prepared statements in
transaction pooling; its prepared rows are then measured with pgbench's extended protocol, and
marked.
"""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support import postgres, process, reeve as reeve_support, world  # noqa: E402

ROOT = process.ROOT
BACKENDS = 20
SCALE = 1
MODES = ("prepared", "simple")
CLIENTS = (1, 16, 64, 256)
SUBJECTS = ("direct", "pgbouncer", "reeve")
DOCS = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "build" / "bench.jsonl"


class Subject:
    """Where pgbench connects to, and whose CPU counts (None: nobody's)."""

    def __init__(self, name, port, user, database, password, pid=None):
        self.name, self.port, self.user = name, port, user
        self.database, self.password, self.pid = database, password, pid
        self.protocols = {mode: mode for mode in MODES}

    def pids(self):
        """The pooler's process and those of its children that run the same program."""
        if self.pid is None:
            return []
        program = os.readlink(f"/proc/{self.pid}/exe")
        found = [self.pid]
        for child in process.children(self.pid):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{child}/exe") == program:
                    found.append(child)
        return found

    def cpu_seconds(self):
        return sum(process.cpu_seconds(pid) for pid in self.pids())

    def descriptors(self):
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids())


def measure(subject, mode, clients, seconds):
    """(transactions a second, CPU microseconds a transaction or None)"""
    idle = subject.descriptors() if subject.pid else 0
    command = [postgres.BIN / "pgbench", "-n", "-S", "-M", subject.protocols[mode], "-c",
               str(clients), "-j", "1", "-T", str(seconds), "-h", "127.0.0.1",
               "-p", str(subject.port), "-U", subject.user, subject.database]
    running = process.spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "PGPASSWORD": subject.password})
    before = None
    if subject.pid:
        with contextlib.suppress(process.Deadline):  # a run that ended early says why below
            process.wait_until(
                lambda: subject.descriptors() >= idle + clients or running.poll() is not None,
                f"{clients} clients are logged in", 60)
        before = subject.cpu_seconds()
    out, errors = running.communicate(timeout=seconds + 120)
    after = subject.cpu_seconds() if subject.pid else None
    if running.returncode != 0:
        raise RuntimeError(f"pgbench through {subject.name} failed:\n{out}{errors}")
    count = int(re.search(r"actually processed: (\d+)", out).group(1))
    found = re.search(r"tps = ([\d.]+) \(without initial", out)
    if not found or count == 0:
        raise RuntimeError(f"pgbench through {subject.name} measured nothing:\n{out}{errors}")
    rate = float(found.group(1))
    return rate, (after - before) * 1e6 / count if subject.pid else None


# ---- subjects ----

def pgbouncer_program():
    """(path, (major, minor), version as text)"""
    found = os.environ.get("REEVE_PGBOUNCER") or shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    out = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"PgBouncer ((\d+)\.(\d+)\S*)", out)
    return found, (int(version[2]), int(version[3])), version[1]


@contextlib.contextmanager
def running_pgbouncer(server, database, folder):
    program, version, _text = pgbouncer_program()
    port = process.free_port()
    folder.mkdir()
    folder.chmod(0o755)
    prepared = "max_prepared_statements = 100\n" if version >= (1, 21) else ""
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\nbench = host={server.folder} port={server.port} dbname={database}"
        f" user=bench password=bench\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = any\npool_mode = transaction\nmax_client_conn = 1000\n"
        f"default_pool_size = {BACKENDS}\nlog_connections = 0\nlog_disconnections = 0\n"
        f"log_stats = 0\n{prepared}")
    config.chmod(0o644)
    with open(folder / "log", "wb") as log:
        running = process.spawn([program, str(config)], stop_signal=signal.SIGKILL, stdout=log,
                                stderr=log, **process.unprivileged())
    try:
        subject = Subject("pgbouncer", port, "bench", "bench", "bench", running.pid)
        if version < (1, 21):
            subject.protocols["prepared"] = "extended"
        process.wait_until(lambda: answers(port) or running.poll() is not None, "PgBouncer answers")
        yield subject
    finally:
        running.kill()
        running.wait()


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def prepare_tenant(reeve, server):
    """A tenant in database isolation on `server` with filled pgbench tables; and the role `bench`
    that may read the same tables directly."""
    reeve.cli("cluster", "add", "bench", "--conninfo", f"host={server.folder} port={server.port}",
              "--admin-user", "postgres", "--max-backends", BACKENDS)
    reeve.cli("service", "create", "pgbench", "--migrations", world.DATA / "pgbench",
              "--isolation", "database", "--cluster", "bench")
    tenant = reeve.add_tenant("bench", "pgbench", cluster="bench")
    with reeve.connect(tenant) as connection:
        world.fill_pgbench(connection, 100_000 * SCALE)
    placement = reeve.cli("placement", "show", "bench", "pgbench", json=True).json
    database = placement["database"]
    with server.connect(database) as admin:
        admin.execute("CREATE ROLE bench LOGIN PASSWORD 'bench'")
        admin.execute(f'GRANT CONNECT ON DATABASE "{database}" TO bench')
        admin.execute("GRANT USAGE ON SCHEMA app TO bench")
        admin.execute("GRANT SELECT ON ALL TABLES IN SCHEMA app TO bench")
        admin.execute(f'ALTER ROLE bench IN DATABASE "{database}" SET search_path = app')
        admin.execute("VACUUM ANALYZE")
    return tenant, database


@contextlib.contextmanager
def running_subjects(workers):
    os.environ.setdefault("REEVE_BINARY", str(ROOT / "build" / "release" / "reeve"))
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres.running_postgres())
        folder = stack.enter_context(process.temporary_folder("reeve-bench-"))
        reeve = stack.enter_context(reeve_support.running_reeve())
        tenant, database = prepare_tenant(reeve, server)
        proxy = stack.enter_context(reeve_support.running_serve(reeve, workers=workers))
        bouncer = stack.enter_context(running_pgbouncer(server, database, folder / "pgbouncer"))
        with server.connect() as admin:
            version = admin.execute("SHOW server_version").fetchone()[0].split()[0]
        direct = Subject("direct", server.port, "bench", database, "bench")
        through = Subject("reeve", proxy.port, tenant.slug, tenant.service, tenant.token,
                          proxy.process.pid)
        yield {"direct": direct, "pgbouncer": bouncer, "reeve": through}, version


# ---- results ----

def record(case, subject, metric, value, unit, round_number):
    line = {"bench": "pooler", "case": case, "subject": subject, "metric": metric,
            "value": round(value, 2), "unit": unit, "round": round_number}
    RESULTS.parent.mkdir(exist_ok=True)
    with open(RESULTS, "a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")


def median(found, *key):
    values = found.get(key)
    return statistics.median(values) if values else None


def table(cases, found, extended):
    """Markdown; medians over the rounds."""
    lines = ["| case | direct, tps | PgBouncer, tps (of direct) | Reeve, tps (of direct)"
             " | Reeve / PgBouncer, tps | PgBouncer, CPU µs/txn | Reeve, CPU µs/txn"
             " | Reeve / PgBouncer, CPU |",
             "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for case in cases:
        direct, bouncer, reeve = (median(found, case, name, "tps") for name in SUBJECTS)
        bouncer_cpu, reeve_cpu = (median(found, case, name, "cpu_us_per_txn")
                                  for name in SUBJECTS[1:])
        mark = " *" if extended and case.startswith("prepared") else ""
        lines.append(
            f"| {case} | {direct:,.0f} | {bouncer:,.0f} ({bouncer / direct:.2f}){mark}"
            f" | {reeve:,.0f} ({reeve / direct:.2f}) | {reeve / bouncer:.2f}{mark}"
            f" | {bouncer_cpu:.1f}{mark} | {reeve_cpu:.1f} | {reeve_cpu / bouncer_cpu:.2f}{mark} |")
    return "\n".join(lines)


def report(cases, found, options, subjects, version):
    extended = subjects["pgbouncer"].protocols["prepared"] == "extended"
    bouncer = pgbouncer_program()[2]
    text = [f"Medians of {options.rounds} rounds of {options.seconds} s each,"
            f" {datetime.date.today().isoformat()}; {os.cpu_count()} processors,"
            f" PostgreSQL {version}, PgBouncer {bouncer}, {BACKENDS} backends for each pooler,"
            f" Reeve with {options.workers} workers.", "", table(cases, found, extended)]
    if extended:
        text += ["", f"\\* PgBouncer {bouncer} has no prepared statements in transaction pooling"
                 " (1.21 has): its figures in these rows are of pgbench's extended protocol, which"
                 " parses at each transaction, and are not the same work. `REEVE_PGBOUNCER=PATH`"
                 " measures another PgBouncer."]
    return "\n".join(text)


def write_docs(text):
    begin, end = "<!-- pooler: begin -->", "<!-- pooler: end -->"
    page = DOCS.read_text(encoding="utf-8")
    before, rest = page.split(begin)
    after = rest.split(end)[1]
    DOCS.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
    print(f"wrote {DOCS.relative_to(ROOT)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--workers", default="auto", help="worker threads of Reeve")
    parser.add_argument("--case", action="append", help='such as "prepared/64"; default: all')
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/")
    options = parser.parse_args()
    cases = options.case or [f"{mode}/{count}" for mode in MODES for count in CLIENTS]
    found = {}
    with running_subjects(options.workers) as (subjects, version):
        for round_number in range(1, options.rounds + 1):
            for case in cases:
                mode, count = case.split("/")
                for name in SUBJECTS:
                    rate, cpu = measure(subjects[name], mode, int(count), options.seconds)
                    found.setdefault((case, name, "tps"), []).append(rate)
                    record(case, name, "tps", rate, "1/s", round_number)
                    if cpu is not None:
                        found.setdefault((case, name, "cpu_us_per_txn"), []).append(cpu)
                        record(case, name, "cpu_us_per_txn", cpu, "us", round_number)
                print(f"round {round_number}: {case}: " + ", ".join(
                    f"{name} {found[case, name, 'tps'][-1]:,.0f}/s" for name in SUBJECTS),
                    flush=True)
        text = report(cases, found, options, subjects, version)
    print(f"\n{text}")
    if options.write_docs:
        write_docs(text)


if __name__ == "__main__":
    main()
