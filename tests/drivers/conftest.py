"""What the drivers in other languages found, run once a mode."""
import functools

import pytest

from support import foreign


@pytest.fixture(scope="session")
def node_outcomes(world):
    """mode -> {check: error or None}"""
    folder = foreign.node_folder()
    return functools.cache(lambda mode: foreign.node_outcome(folder, world, mode))


@pytest.fixture(scope="session")
def jdbc_outcomes(world):
    """mode -> {check: error or None}"""
    folder = foreign.jdbc_folder()
    return functools.cache(lambda mode: foreign.jdbc_outcome(folder, world, mode))
