"""Attacker and victim in each mode, on a cluster whose budget is one shared backend."""
import pytest

from support.attack import set_stage
from support.postgres import running_postgres
from support.reeve import running_reeve
from support.world import World


@pytest.fixture(scope="session")
def world():
    """With one worker, so that tenants of a database come to the same backends."""
    with running_reeve({"workers": 1}) as server:
        yield World(server)


@pytest.fixture(scope="session")
def plain():
    """Of its own: a server belongs to one Reeve."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def stages(world, plain):
    """mode -> Stage, made when first asked for."""
    tight, made = world.tight(plain), {}

    def stage(mode):
        if mode not in made:
            made[mode] = set_stage(world, tight[mode, "a"], tight[mode, "b"], plain.connect)
        return made[mode]

    return stage


@pytest.fixture
def stage(stages, mode):
    return stages(mode)


@pytest.fixture(scope="session")
def roomy_stages(world):
    """The same on a cluster with room for both at once."""
    made = {}

    def stage(mode):
        if mode not in made:
            made[mode] = set_stage(world, world.tenant(mode, "a"), world.tenant(mode, "b"))
        return made[mode]

    return stage


@pytest.fixture
def roomy_stage(roomy_stages, mode):
    return roomy_stages(mode)


@pytest.fixture(scope="module")
def bare():
    """A world of the module's own, so that taking its defences out harms no other test."""
    with running_reeve() as server:
        yield World(server)
