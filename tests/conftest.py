"""Fixtures that all suites share. What they are made of is in tests/support."""
import os

import pytest

from support import direct, postgres, reeve as reeve_support, world as world_support

reeve_support.Reeve.durable = False


@pytest.fixture(scope="session")
def plain():
    """A plain PostgreSQL to compare with."""
    with postgres.running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def world(request):
    """A running `reeve dev` with tenants row-a to database-c."""
    if os.environ.get("REEVE_TESTS_DIRECT"):
        yield direct.DirectWorld(request.getfixturevalue("plain"))
        return
    with reeve_support.running_reeve() as server:
        yield world_support.World(server)


@pytest.fixture(scope="session")
def reeve(world):
    return world.reeve


@pytest.fixture(params=reeve_support.MODES)
def mode(request):
    return request.param


@pytest.fixture
def tenant(world, mode):
    return world.tenant(mode, "a")


@pytest.fixture
def neighbour(world, mode):
    return world.tenant(mode, "b")


@pytest.fixture
def connection(world, tenant):
    """A psycopg connection as the tenant, autocommit."""
    with world.reeve.connect(tenant) as opened:
        yield opened


@pytest.fixture
def own_reeve():
    """A `reeve dev` for one test alone: to be stopped, killed or reconfigured."""
    with reeve_support.running_reeve() as server:
        yield server


@pytest.fixture(autouse=True)
def alive(request):
    """Fails the test that brought the shared Reeve down or made a sanitizer speak."""
    yield
    if "world" in request.fixturenames:
        server = request.getfixturevalue("world").reeve
        server.check_log()
        assert server.process and server.process.poll() is None, server.log()
