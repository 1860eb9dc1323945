"""What the benchmarks have in common: options, the limits they need, the order of subjects."""
import argparse
import os
import pathlib
import resource

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = ROOT / "build" / "release"


def parser(doc, rounds=5, seconds=5):
    """With the options that every benchmark has."""
    made = argparse.ArgumentParser(description=doc.splitlines()[0])
    made.add_argument("--rounds", type=int, default=rounds, help="medians are over these")
    if seconds:
        made.add_argument("--seconds", type=int, default=seconds, help="of each measurement")
    made.add_argument("--workers", default="auto", help="worker threads of Reeve")
    made.add_argument("--write-docs", action="store_true",
                      help="put the tables into docs/benchmarks.md")
    return made


def begin():
    """Measures the release, with a file descriptor for each client here and in the poolers.
    Returns the machine's load before."""
    os.environ.setdefault("REEVE_BINARY", str(RELEASE / "reeve"))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return os.getloadavg()[0]


def in_order(subjects, round_number):
    """Another one begins in each round: who comes next finds what the one before left in caches."""
    first = (round_number - 1) % max(len(subjects), 1)
    return subjects[first:] + subjects[:first]
