"""The names of the crash points, read from the sources, so that none can be forgotten."""
import re

from support.process import ROOT

DEFINITION = re.compile(r"struct job_definition (\w+) = \{(.*?)\n\};", re.S)
STEPS = re.compile(r"struct job_step (\w+)\[\] = \{(.*?)\n\};", re.S)
FIRST_TEXT = re.compile(r'\{\s*(?:\.name\s*=\s*)?"([^"]+)"')


def job_steps():
    """{kind of job: [step, ...]}, from the tables in src/."""
    found = {}
    for path in sorted((ROOT / "src").rglob("*.c")):
        text = path.read_text()
        steps = {name: FIRST_TEXT.findall("{" + body) for name, body in STEPS.findall(text)}
        for _variable, body in DEFINITION.findall(text):
            kind = re.search(r'\.name\s*=\s*"([^"]+)"', body)
            table = re.search(r"\.steps\s*=\s*(\w+)", body)
            if kind and table:
                assert steps.get(table[1]), f"{path}: the steps of {kind[1]} cannot be read"
                found[kind[1]] = steps[table[1]]
    return found


def crash_points(kind):
    """REEVE_CRASH_AT's names for a kind of job."""
    return [f"{kind}.{step}.{when}" for step in job_steps()[kind] for when in ("before", "after")]
