#!/usr/bin/env python3
"""Moving a tenant: how long it waits, how fast it is copied, what others notice.

    make bench-move
    tests/bench/move.py [--part pause ...] [--quick] [--rounds 3] [--write-docs] [sizes]

Each part has servers and a Reeve of its own, and a table of its own:

- pause: a tenant of --bytes in 20 tables, for which --rate writing transactions a second are due, is
  moved from its schema to a database and taken back along the stream, --moves moves in all, each of
  which counts: forth is a whole move with its copy, back (`reeve move revert`) has a cutover alone.
  The longest wait is of a client's transaction, from when it was due; "but for the pause" is the
  longest of those that neither a pause fell into nor as much time behind it. In the end the
  clients' journal is held against the tables.
- copy: the same tables of a tenant that does nothing: from the phase `copying` to the next one (it has
  ANALYZE in it, which the others have not), beside pg_dump and pg_restore without compression, and
  pgcopydb. Megabytes are of the tables without their indexes, for everybody.
- small: the whole command, of a tenant of --small-bytes.
- row: out of shared tables, by rows of the tenant's and by rows in all.
- neighbour: what other tenants' selects take before, during and after the move of a large one.

$REEVE_BENCH_PGCOPYDB: the program of a pgcopydb, to be measured beside it.
"""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import command  # noqa: E402
import move_copy  # noqa: E402
import move_neighbour  # noqa: E402
import move_pause  # noqa: E402
import move_row  # noqa: E402
import move_small  # noqa: E402
import move_stage  # noqa: E402
import results  # noqa: E402

PARTS = {"pause": move_pause.Part, "copy": move_copy.Part, "small": move_small.Part,
         "row": move_row.Part, "neighbour": move_neighbour.Part}
ISOLATIONS = ("row", "schema", "database")
UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}
# (whole, --quick)
SIZES = {"bytes": (5_000_000_000, 60_000_000), "small_bytes": (10_000_000, 10_000_000),
         "neighbour_bytes": (1_000_000_000, 60_000_000), "moves": (20, 4), "rounds": (3, 1),
         "seconds": (10, 2), "tenants": (1000, 100), "rows": ([1000, 10_000, 100_000], [100, 1000]),
         "total_rows": ([1_000_000, 4_000_000], [20_000, 80_000])}


def size(text):
    """"5GB", "200MB" or bytes."""
    for unit, factor in UNITS.items():
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * factor)
    return int(text)


def read_options():
    parser = command.parser(__doc__, rounds=None, seconds=None)
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it works")
    parser.add_argument("--seconds", type=int, help="before and behind each move")
    parser.add_argument("--bytes", type=size, help="of the tenant of pause and copy: 5GB")
    parser.add_argument("--pairs", type=int, default=10, help="of tables")
    parser.add_argument("--jobs", type=int, default=4, help="tables that are copied at once")
    parser.add_argument("--moves", type=int, help="of pause")
    parser.add_argument("--from", dest="before", default="schema", choices=ISOLATIONS,
                        help="where the tenant of pause is at first")
    parser.add_argument("--to", dest="after", default="database", choices=ISOLATIONS)
    parser.add_argument("--allow", action="append", default=[], choices=ISOLATIONS,
                        help="what else the service of pause allows: row has the tenant column in its keys")
    parser.add_argument("--rate", type=int, default=500, help="writing transactions a second, of pause")
    parser.add_argument("--clients", type=int, default=8, help="that write, of pause")
    parser.add_argument("--dump-folder", help="for pg_dump's folder, of copy; else where the servers are")
    parser.add_argument("--small-bytes", type=size)
    parser.add_argument("--neighbour-bytes", type=size, help="of the neighbour that moves")
    parser.add_argument("--throttle", default="20MB", help="reeve move --rate, of neighbour")
    parser.add_argument("--tenants", type=int, help="in the shared tables, of row")
    parser.add_argument("--rows", type=int, nargs="+", help="of the tenants that move, of row")
    parser.add_argument("--total-rows", type=int, nargs="+", help="in the shared tables, of row")
    parser.add_argument("--shared-buffers", default="1GB", help="of the servers")
    options = parser.parse_args()
    for name, (whole, quick) in SIZES.items():
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick else whole)
    options.part = options.part or list(PARTS)
    return options


def measure(part, options):
    """A part's name in the docs, and what is to be said there."""
    load_before = command.begin()
    with move_stage.running_stage(options, "bench") as stage:
        made = PARTS[part](results.Figures("move"), stage, options)
        made.prepare()
        made.measure()
        return made.name, made.report(load_before)


def main():
    options = read_options()
    for part in options.part:
        print(f"--- {part}", flush=True)
        section, lines = measure(part, options)
        print("\n" + "\n".join(lines) + "\n", flush=True)
        if options.write_docs:
            results.write_docs(section, lines)


if __name__ == "__main__":
    main()
