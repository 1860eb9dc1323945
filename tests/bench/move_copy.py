"""How fast a tenant that does nothing is copied, beside what PostgreSQL's own tools need for the same
tables into another database of the same server."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import time

from support import postgres

import command
import cost
import move_stage
import move_watch
import results

TENANT, SERVICE = "idle", "accounts"
COPIED = "bench_copied"  # the others' database
REEVE, COPY_ALONE = "reeve", "reeve, COPY alone"
FOLDER, PIPE, PGCOPYDB = "pg_dump -Fd, pg_restore -Fd", "pg_dump -Fc into pg_restore", "pgcopydb"
TARGET = 0.8
HEAD = ("subject", "s", "MB/s", "of pg_dump -Fd", "dump, s", "restore, s", "server, CPU s",
        "own CPU, s")


def run(*words, **options):
    subprocess.run([str(word) for word in words], check=True, **options)


def pgcopydb():
    """(program, why not)"""
    program = os.environ.get("REEVE_BENCH_PGCOPYDB")
    if not program:
        return None, "pgcopydb: $REEVE_BENCH_PGCOPYDB does not name it"
    return program, None


class Part:
    """Every subject once a round."""

    name = "move-copy"

    def __init__(self, figures, stage, options):
        self.figures, self.stage, self.options = figures, stage, options
        self.shape = move_stage.Shape(options.pairs, size=options.bytes)
        self.program, missing = pgcopydb()
        self.missing = [missing] if missing else []

    def prepare(self):
        self.stage.add_service(SERVICE, self.shape.pairs)
        self.tenant = self.stage.add_tenant(TENANT, SERVICE, "schema")
        self.stage.fill(self.tenant, self.shape)
        self.home = self.stage.home(self.tenant)
        self.bytes, self.index_bytes = self.home.size()

    # -- measuring --

    def measure(self):
        found = [(REEVE, self.by_reeve), (FOLDER, self.by_folder), (PIPE, self.by_pipe)]
        if self.program:
            found.append((PGCOPYDB, self.by_pgcopydb))
        for number in range(1, self.options.rounds + 1):
            for name, copy in command.in_order(found, number):
                self.home.ask("SELECT pg_switch_wal()")
                with self.home.connect() as admin:
                    admin.execute("CHECKPOINT")
                copy(number)

    def server_seconds(self):
        return cost.server_cpu_seconds(self.home.server.process.pid)

    @contextlib.contextmanager
    def counted(self, name, number):
        server, own = self.server_seconds(), own_seconds()
        yield
        self.record(name, "server_cpu_s", self.server_seconds() - server, number)
        self.record(name, "own_cpu_s", own_seconds() - own, number)

    def record(self, name, metric, value, number, unit="s"):
        self.figures.record("copy", name, metric, value, unit, number)

    def record_time(self, name, seconds, number):
        self.record(name, "seconds", seconds, number)
        self.record(name, "mb_per_s", self.bytes / 1e6 / seconds, number, "MB/s")
        print(f"round {number}: {name}: {seconds:.2f} s, {self.bytes / 1e6 / seconds:,.1f} MB/s",
              flush=True)

    def by_reeve(self, number):
        """From the phase copying to the next; then it is taken back, which is not measured."""
        reeve = self.stage.reeve
        moved = move_watch.run(reeve, self.tenant, meter=self.server_seconds,
                               after=("--to", "database", "--jobs", self.options.jobs))
        alone, whole = moved.copy_seconds()
        if moved.error or not whole:
            raise RuntimeError(f"it was not copied: {moved.error or moved.spent()}")
        self.record_time(REEVE, whole, number)
        self.record(REEVE, "server_cpu_s", moved.metered_in("copying"), number)
        self.record_time(COPY_ALONE, alone, number)
        print(f"round {number}: the whole move {moved.seconds():.2f} s: {moved.spent()}", flush=True)
        move_watch.take_back(reeve, self.tenant, "schema")

    def conninfo(self, database):
        server = self.home.server
        return f"host={server.folder} port={server.port} user=postgres dbname={database}"

    @contextlib.contextmanager
    def empty_database(self):
        with self.home.server.connect() as admin:
            admin.execute(f"CREATE DATABASE {COPIED} TEMPLATE template0")
            try:
                yield
            finally:
                admin.execute(f"DROP DATABASE {COPIED} WITH (FORCE)")

    def dump(self, *more):
        return (postgres.BIN / "pg_dump", "-n", self.home.schema, "-Z", "0", *more, "-d",
                self.conninfo(self.home.database))

    def restore(self, *more):
        return (postgres.BIN / "pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", *more,
                "-d", self.conninfo(COPIED))

    def by_folder(self, number):
        folder = pathlib.Path(self.options.dump_folder or self.stage.folder) / f"dump-{number}"
        jobs = ("-j", self.options.jobs)
        try:
            with self.empty_database(), self.counted(FOLDER, number):
                begun = time.monotonic()
                run(*self.dump("-Fd", *jobs, "-f", folder))
                dumped = time.monotonic()
                run(*self.restore("-Fd", *jobs, folder))
                ended = time.monotonic()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self.record(FOLDER, "dump_s", dumped - begun, number)
        self.record(FOLDER, "restore_s", ended - dumped, number)
        self.record_time(FOLDER, ended - begun, number)

    def by_pipe(self, number):
        """One table after the other: neither knows -j here."""
        with self.empty_database(), self.counted(PIPE, number):
            begun = time.monotonic()
            with subprocess.Popen([str(word) for word in self.dump("-Fc")],
                                  stdout=subprocess.PIPE) as dump:
                run(*self.restore(), stdin=dump.stdout)
            if dump.returncode != 0:
                raise RuntimeError(f"pg_dump ended with {dump.returncode}")
            self.record_time(PIPE, time.monotonic() - begun, number)

    def by_pgcopydb(self, number):
        """The whole database, in which little but the tenant is; it vacuums and analyses as well."""
        folder = self.stage.folder / f"pgcopydb-{number}"
        jobs = self.options.jobs
        with self.empty_database(), self.counted(PGCOPYDB, number):
            begun = time.monotonic()
            run(self.program, "clone", "--source", self.conninfo(self.home.database), "--target",
                self.conninfo(COPIED), "--dir", folder, "--table-jobs", jobs, "--index-jobs", jobs,
                "--no-owner", "--no-acl", "--skip-large-objects", "--skip-extensions",
                "--not-consistent", "--restart",
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={**os.environ, "PATH": f"{postgres.BIN}:{os.environ['PATH']}"})
            self.record_time(PGCOPYDB, time.monotonic() - begun, number)

    # -- results --

    def row(self, name):
        def median(metric, digits=1):
            return results.number(self.figures.median("copy", name, metric), digits)

        return (name, median("seconds"), median("mb_per_s"),
                results.ratio(self.figures.median("copy", name, "mb_per_s"),
                              self.figures.median("copy", FOLDER, "mb_per_s")),
                median("dump_s"), median("restore_s"), median("server_cpu_s"), median("own_cpu_s"))

    def report(self, load_before):
        options = self.options
        lines = [f"Medians of {options.rounds} rounds, {results.machine(load_before)}; PostgreSQL"
                 f" {self.stage.version()}, {self.stage.settings()}. {self.bytes / 1e9:.2f} GB and"
                 f" {self.index_bytes / 1e9:.2f} GB of indexes in {2 * self.shape.pairs} tables, --jobs"
                 f" {options.jobs}.", ""]
        names = [name for name in (REEVE, COPY_ALONE, FOLDER, PIPE, PGCOPYDB)
                 if self.figures.median("copy", name, "seconds")]
        lines += [*results.table(HEAD, [self.row(name) for name in names]), ""]
        rate = self.figures.median("copy", REEVE, "mb_per_s")
        for name in (FOLDER, PIPE, PGCOPYDB):
            other = self.figures.median("copy", name, "mb_per_s")
            lines += results.verdict("throughput, reeve", results.at_least(rate, other, TARGET, name))
        return lines + results.skipped(self.missing)


def own_seconds():
    """CPU of the commands that have ended."""
    times = os.times()
    return times.children_user + times.children_system
