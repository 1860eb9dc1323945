"""Tests that are alike, of which CI runs some, as its time is short: `make check-all` runs all."""
import os


def some(cases, chosen):
    """All of them; where REEVE_TESTS_SOME is set, those that are chosen."""
    assert set(chosen) <= set(cases)
    return chosen if os.environ.get("REEVE_TESTS_SOME") else cases
