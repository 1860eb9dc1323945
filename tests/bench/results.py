"""What the benchmarks do with their figures: a line each in build/bench.jsonl, medians, a section
of docs/benchmarks.md."""
import collections
import datetime
import json
import os
import pathlib
import statistics

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "build" / "bench.jsonl"


class Figures:
    """Measured values of one benchmark, by (case, subject, metric)."""

    def __init__(self, bench):
        self.bench = bench
        self.values = collections.defaultdict(list)

    def record(self, case, subject, metric, value, unit, round_number):
        self.values[case, subject, metric].append(value)
        line = {"bench": self.bench, "case": case, "subject": subject, "metric": metric,
                "value": round(value, 4), "unit": unit, "round": round_number}
        RESULTS.parent.mkdir(exist_ok=True)
        with open(RESULTS, "a", encoding="utf-8") as results:
            results.write(json.dumps(line) + "\n")

    def median(self, case, subject, metric):
        """None when it was not measured."""
        values = self.values.get((case, subject, metric))
        return statistics.median(values) if values else None

    def worst(self, case, subject, metric):
        """None when it was not measured."""
        return max(self.values.get((case, subject, metric)) or (), default=None)

    def total(self, case, subject, metric):
        return sum(self.values[case, subject, metric])

    def last(self, case, subject, metric):
        return self.values[case, subject, metric][-1]


def table(head, rows):
    """Markdown; the first column is text, the others are figures."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def number(value, digits=0):
    return "" if value is None else f"{value:,.{digits}f}"


def ratio(value, base, digits=2):
    return "" if not value or not base else f"{value / base:.{digits}f}"


def memory_total():
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def machine(load_before):
    """What every table says of where it was measured."""
    return (f"{datetime.date.today().isoformat()}; {os.cpu_count()} processors,"
            f" {memory_total() / 2**30:.0f} GB, load {load_before:.1f} before and"
            f" {os.getloadavg()[0]:.1f} after")


def write_docs(section, lines):
    """Puts `lines` between the marks of docs/benchmarks.md."""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    page = DOCS.read_text(encoding="utf-8")
    before, rest = page.split(begin)
    after = rest.split(end)[1]
    text = "\n".join(lines)
    DOCS.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
    print(f"wrote {DOCS.relative_to(ROOT)}")


def at_most(value, base, limit, whose):
    """Against a target: "0.551 of WHOSE (at most 0.60: met)"; None when one was not measured."""
    return against(value, base, f"at most {limit:.2f}", lambda found: found <= limit, whose)


def at_least(value, base, limit, whose):
    return against(value, base, f"at least {limit:.2f}", lambda found: found >= limit, whose)


def against(value, base, target, is_met, whose):
    if value is None or not base:
        return None
    found = value / base
    return f"{found:.3f} of {whose} ({target}: {'met' if is_met(found) else 'MISSED'})"


def in_words(what, *sayings):
    """"WHAT SAYING, SAYING", of those that are there; None of none."""
    found = [saying for saying in sayings if saying]
    return f"{what} {', '.join(found)}" if found else None


def verdict(what, *parts):
    """A line of those that are there; none of none."""
    found = [part for part in parts if part]
    return [f"- {what}: {'; '.join(found)}."] if found else []


def skipped(reasons):
    """Says what was not measured, and why."""
    return ["", f"Not measured: {'; '.join(reasons)}."] if reasons else []


def milliseconds(us):
    return number(None if us is None else us / 1000, 2)
