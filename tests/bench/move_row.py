"""What it costs to move one of many tenants out of the tables that they share: by its own rows, and by
all rows that are there."""
import time

import cost
import move_stage
import move_watch
import results

SERVICE = "accounts"
FILLER = "filler"
OTHER = "other"  # the cluster that it moves to, so that what the source's server does is the source's
HEAD = ("rows of the tenant", "rows in all", "whole, s", "copying, s", "pause_ms", "source, blocks read",
        "of them from the cache", "source, CPU s", "of the smaller table's", "failed")
BLOCKS = "SELECT blks_read, blks_hit FROM pg_stat_database WHERE datname = %s"
READINGS = 3  # of the tenant's rows: for the plan, the copy and the comparison
STATISTICS_SECONDS = 1.2  # until a server process that has done something has told it


class Part:
    """The tables grow; at each size every tenant moves and is taken back, once a round."""

    name = "move-row"

    def __init__(self, figures, stage, options):
        self.figures, self.stage, self.options = figures, stage, options
        self.tenants = {}

    def prepare(self):
        self.stage.add_cluster(OTHER)
        self.stage.add_service(SERVICE, 1)
        filler = self.stage.add_tenant(FILLER, SERVICE, "row")
        self.home = self.stage.home(filler)
        self.shapes = {rows: move_stage.Shape(1, rows=rows) for rows in self.options.rows}
        for rows, shape in self.shapes.items():
            self.tenants[rows] = self.stage.add_tenant(f"row-{rows}", SERVICE, "row")
            self.stage.fill(self.tenants[rows], shape)
        self.first_number = self.stage.number(filler) + 1_000_000
        self.there = self.added = 0

    def grow(self, total):
        """By rows of tenants that the catalog does not know: their numbers are as good as any."""
        more = (total - sum(self.options.rows) - self.there) // self.options.tenants
        if more <= 0:
            raise RuntimeError(f"{total} rows in all are less than the tenants' own")
        shape = move_stage.Shape(1, rows=more)
        statements = []
        for text in move_stage.filling(self.home.schema, "00", shape, "tenant_id,", "t.tenant_id,"):
            first = self.first_number
            statements.append(f"{text} CROSS JOIN generate_series({first},"
                              f" {first + self.options.tenants - 1}) t (tenant_id)")
        self.first_number += self.options.tenants
        move_stage.run_at_once(self.home, statements)
        self.shuffle()
        move_stage.settle(self.home)
        self.there += self.options.tenants * (shape.accounts + shape.entries)
        return self.home.ask(f"SELECT (SELECT count(*) FROM {self.home.schema}.account_00)"
                             f" + (SELECT count(*) FROM {self.home.schema}.entry_00)")[0]

    def shuffle(self):
        """A tenant's rows do not lie side by side, as those that come in over time do not."""
        names = ("account_00", "entry_00")
        with self.home.connect() as admin:
            admin.execute(f"SET session_replication_role = replica; SET work_mem = '256MB';"
                          f" SET search_path = {self.home.schema}")
            for name in names:
                admin.execute(f"CREATE TEMPORARY TABLE kept_{name} AS SELECT * FROM {name}")
            admin.execute(f"TRUNCATE {', '.join(names)}")
            for name in names:
                admin.execute(f"INSERT INTO {name} SELECT * FROM kept_{name}"
                              " ORDER BY hashint8(id * 31 + tenant_id)")

    def measure(self):
        for total in sorted(self.options.total_rows):
            print(f"{self.grow(total):,} rows in all", flush=True)
            for number in range(1, self.options.rounds + 1):
                for rows in self.options.rows:
                    self.measure_move(rows, total, number)

    def counters(self):
        """(blocks from the disk, blocks from the cache, CPU seconds) of the source's server"""
        time.sleep(STATISTICS_SECONDS)
        read, hit = self.home.ask(BLOCKS, self.home.database)
        return read, hit, cost.server_cpu_seconds(self.home.server.process.pid)

    def measure_move(self, rows, total, number):
        case, tenant = str(total), self.tenants[rows]
        before = self.counters()
        moved = move_watch.run(self.stage.reeve, tenant, after=("--to", "schema", "--cluster", OTHER))
        read, hit, cpu = (late - early for late, early in zip(self.counters(), before))
        found = {"failed": int(moved.error is not None)}
        if not moved.error:
            found |= {"seconds": moved.seconds(), "copying_s": moved.in_phase("copying"),
                      "pause_ms": moved.said_ms, "blocks": read + hit, "blocks_hit": hit,
                      "source_cpu_s": cpu}
        for metric, value in found.items():
            if value is not None:
                self.figures.record(case, str(rows), metric, value, "", number)
        print(f"round {number}: {rows:,} rows of {total:,}: {moved.seconds():.2f} s, {read + hit:,}"
              f" blocks, CPU {cpu:.2f} s: {moved.spent()}", flush=True)
        if not moved.error:
            move_watch.take_back(self.stage.reeve, tenant, "row")

    def row(self, rows, total):
        def value(metric, case=str(total)):
            return self.figures.median(case, str(rows), metric)

        smallest = str(min(self.options.total_rows))
        return (f"{rows:,}", f"{total:,}", results.number(value("seconds"), 2),
                results.number(value("copying_s"), 2), results.number(value("pause_ms")),
                results.number(value("blocks")), results.number(value("blocks_hit")),
                results.number(value("source_cpu_s"), 2),
                results.ratio(value("blocks"), value("blocks", smallest)),
                results.number(self.figures.total(str(total), str(rows), "failed")))

    def verdicts(self):
        """Rows in no order have a block each at most, whenever they are read; what a table of others' rows costs
        would be many for each row of a small tenant's."""
        sizes = sorted(self.options.total_rows)
        for rows in self.options.rows:
            few, many = (self.figures.median(str(total), str(rows), "blocks") for total in (sizes[0], sizes[-1]))
            if few and many:
                met = "met" if many - few <= READINGS * rows else "MISSED"
                yield (f"- {rows:,} rows: {(many - few) / rows:.2f} blocks more for each of them with"
                       f" {sizes[-1]:,} rows in all than with {sizes[0]:,} (at most {READINGS}, one whenever it is"
                       f" read: {met}).")

    def report(self, load_before):
        lines = [f"Medians of {self.options.rounds} rounds, {results.machine(load_before)}; PostgreSQL"
                 f" {self.stage.version()}, {self.stage.settings()}. {self.options.tenants:,} tenants"
                 f" more with each size, and all rows in no order; row to schema on another"
                 f" server.", ""]
        lines += results.table(HEAD, [self.row(rows, total) for rows in self.options.rows
                                      for total in sorted(self.options.total_rows)])
        return [*lines, "", *self.verdicts()]
