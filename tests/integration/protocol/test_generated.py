"""Random conversations, straight to PostgreSQL and through Reeve, compared message by message.

    REEVE_GENERATED_SECONDS=600   talks longer than the ten seconds a mode of an ordinary run
    REEVE_GENERATED_SEED=...      says the same again: the seed stands in every failure

The tenant shares its one server connection with another, which takes it between transactions. What
was found is in tests/data/differential, and is said again by itself. What conversations are made of:
tests/support/generated/__init__.py.
"""
import json
import os
import random
import time

import pytest

from support.generated import arena as arenas, grammar
from support.reeve import MODES
from support.world import DATA

SECONDS = float(os.environ.get("REEVE_GENERATED_SECONDS", "10"))
CUTS = ["steps", "whole"]


def corpus(folder):
    """Each file with each mode that it is for."""
    found = []
    for path in sorted(folder.glob("*.json")):
        modes = [mode for mode in MODES if mode != "row" or not json.loads(path.read_text())["copy_in"]]
        found += [pytest.param(path, mode, id=f"{path.stem}-{mode}") for mode in modes]
    assert found, f"{folder} is empty"
    return found


CORPUS = corpus(DATA / "differential")
KNOWN = corpus(DATA / "differential" / "known")


@pytest.fixture(scope="module")
def database(plain):
    return arenas.prepare(plain)


@pytest.fixture(scope="module")
def tight(world, plain):
    return world.tight(plain)


@pytest.fixture
def company(world, tight, mode):
    """Whoever else has the backend."""
    with arenas.kept_company(world.reeve, tight[mode, "b"]) as company:
        yield company


@pytest.fixture
def arena(world, plain, database, tight, mode):
    return arenas.Arena(plain, database, world.reeve, tight[mode, "a"])


def new_seed():
    """The ordinary run says the same each time: it is there to notice a change of Reeve's. Who asks for
    more time looks for what nobody has found yet."""
    return str(random.randrange(1 << 30)) if "REEVE_GENERATED_SECONDS" in os.environ else "reeve"


@pytest.mark.timeout(SECONDS + 180)
def test_random_conversations(arena, company, mode):
    seed = os.environ.get("REEVE_GENERATED_SEED") or new_seed()
    print(f"REEVE_GENERATED_SEED={seed}")
    end = time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < end:
        conversation = grammar.conversation(f"{seed}-{number}", copy_in=mode != "row")
        arena.check(conversation, f"REEVE_GENERATED_SEED={seed}, conversation {number}")
        number += 1
    print(f"{number} conversations; the company had {company.turns} turns")
    assert number > SECONDS and company.turns > SECONDS


@pytest.mark.parametrize("path, mode", CORPUS)
def test_what_was_found(arena, company, path):
    conversation = json.loads(path.read_text())
    for cut in dict.fromkeys([conversation["cut"], *CUTS]):
        arena.check({**conversation, "cut": cut})


@pytest.mark.xfail(strict=True, reason="`why` in the file", raises=AssertionError)
@pytest.mark.parametrize("path, mode", KNOWN)
def test_what_is_known(arena, path):
    """Differences that are there still; one that is gone must be taken out of the folder."""
    arena.must_agree(json.loads(path.read_text()))
