"""What the drivers in other languages found, each run once a mode."""
import functools

import pytest

from support import foreign


@pytest.fixture(scope="session")
def foreign_outcome(world):
    """(program, mode) -> {check: error or None}"""
    return functools.cache(lambda name, mode: foreign.outcome(name, world, mode))
