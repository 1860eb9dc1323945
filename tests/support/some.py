"""Tests that are alike, of which `make check` and CI run some, as their time is short: `make check-all`
runs all."""
import os
import zlib

from support.reeve import MODES


def few():
    return bool(os.environ.get("REEVE_TESTS_SOME"))


def some(cases, chosen):
    """All of them; where REEVE_TESTS_SOME is set, those that are chosen."""
    assert set(chosen) <= set(cases)
    return chosen if few() else cases


def mode_of(item):
    """(its parameter that is an isolation, that isolation), or None."""
    parameters = getattr(item, "callspec", None) and item.callspec.params
    return next(((name, value) for name, value in (parameters or {}).items()
                 if isinstance(value, str) and value in MODES), None)


def family(item, name):
    """What it has in common with the same test of another isolation."""
    others = sorted((key, repr(value)) for key, value in item.callspec.params.items() if key != name)
    return item.nodeid.partition("[")[0], name, str(others)


def alike(items):
    """Of each test of all three isolations, those of the two isolations whose turn it is not: each has
    a third of the tests."""
    families = {}
    for item in items:
        found = mode_of(item)
        if found:
            families.setdefault(family(item, found[0]), {})[found[1]] = item
    return [item for key, each in families.items() if set(each) == set(MODES)
            for mode, item in each.items() if mode != MODES[zlib.crc32(str(key).encode()) % len(MODES)]]
