"""Many tenants' clients over three server connections, at random, every answer compared with a model.

    REEVE_RANDOM_SECONDS=600   walks longer than the 25 seconds of an ordinary run
    REEVE_RANDOM_SEED=...      walks the same steps again: the seed stands in every failure
    REEVE_RANDOM_LOG=file      writes down every step

What the walk is made of: tests/support/walk/__init__.py.
"""
import contextlib
import io
import os
import random
import types

import pytest

from support.reeve import MODES
from support.walk import Violation
from support.walk.journal import NEVER, Group, Journal
from support.walk.walk import Walk
from support.walk.world import PlainWorld, reeve_world

SECONDS = float(os.environ.get("REEVE_RANDOM_SECONDS", "25"))
EACH = 8  # tenants of an isolation, with two clients each
ENFORCEMENTS = ["guard", "login"]


def new_seed():
    seed = os.environ.get("REEVE_RANDOM_SEED") or str(random.randrange(1 << 30))
    print(f"REEVE_RANDOM_SEED={seed}")
    return seed


def trace():
    path = os.environ.get("REEVE_RANDOM_LOG")
    return open(path, "w", encoding="utf-8", buffering=1) if path else None


@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("enforcement", ENFORCEMENTS)
def test_random_walk(enforcement):
    with reeve_world(enforcement) as world:
        tenants = world.new_tenants(MODES, EACH)
        walk = world.walk(tenants, new_seed(), trace=trace()).run(SECONDS)
    print(walk.summary())
    assert walk.committed() > 5 * SECONDS, walk.summary()
    assert walk.counts["rows left"] > len(tenants), walk.summary()
    assert len(walk.never_worked()) < 10 or walk.number < 3000, walk.summary()


def test_the_model_agrees_with_postgresql(plain):
    """Is the walk wrong, or Reeve? The same walk over PostgreSQL alone."""
    world = PlainWorld(plain)
    walk = world.walk(world.new_tenants(6), new_seed()).run(min(SECONDS, 8))
    assert walk.committed() > 50, walk.summary()


@pytest.mark.parametrize("known, is_half", [(True, True), (False, False)])
def test_half_a_transaction(known, is_half):
    """A row that is gone proves that it was deleted, if it is known that it was there."""
    journal, tenant = Journal(), types.SimpleNamespace(slug="wr00")
    tenant.journal = journal
    journal.step_sent(1, 0)  # nothing is forgotten
    journal.commit(Group({"gone": 1}, 1, 2 if known else NEVER))
    journal.commit(Group({"there": 1}, 1, 2))
    deletion = Group({"gone": None, "there": None}, 3)
    journal.commit(deletion)
    with pytest.raises(Violation) if is_half else contextlib.nullcontext():
        Walk._check_whole(tenant, deletion, {"there": 1})


def test_the_same_seed_takes_the_same_steps(plain):
    """Whatever the server's timing."""
    world, logs = PlainWorld(plain), []
    tenants = [world.new_tenants(3), world.new_tenants(3)]
    slugs = [[tenant.slug for tenant in some] for some in tenants]
    for some in tenants:
        log = io.StringIO()
        world.walk(some, "always the same", trace=log).run(steps=300)
        logs.append([line for line in log.getvalue().splitlines() if " is gone, " not in line])
    renamed = "\n".join(logs[1][:300])
    for mine, theirs in zip(*slugs):
        renamed = renamed.replace(theirs, mine)
    assert "\n".join(logs[0][:300]) == renamed
