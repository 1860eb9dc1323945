"""`reeve placement enforce` under load: a tenant's enforcement changes while its clients and its
neighbours' are at work. None sees an error, none another's rows; a transaction ends as it began."""
import threading

import psycopg
import pytest

from support import postgres, process
from support.reeve import running_reeve
from support.world import World

CLIENTS = 3  # a tenant
ROUNDS = 2   # there and back
SWITCHED = ("row", "schema")  # database isolation shares nothing: it always has logins


@pytest.fixture(scope="module")
def world():
    """Enforcement guard for who comes, both possible."""
    with running_reeve() as server:
        server.cli("cluster", "enforce", "local", "guard")
        yield World(server)


@pytest.fixture(scope="module")
def few(world):
    """A cluster with fewer server connections than clients that want one. Of its own: a server
    belongs to one Reeve."""
    with postgres.running_postgres() as server:
        world.add_cluster("few", server, 3, "guard")
        yield


WHO = "SELECT session_user, current_user, reeve.tenant_id(), reeve.tenant_slug()"


class Client:
    """One connection, from before the first switch until after the last."""

    def __init__(self, world, tenant, number):
        self.slug, self.number = tenant.slug, number
        self.connection = world.reeve.connect(tenant, application_name=f"{tenant.slug}-{number}")
        self.failure = None
        self.count = 0
        self.logins = []  # session_user of each transaction, without repetitions
        # Goes along, wherever the client does.
        self.connection.execute("SET work_mem = '%dkB'" % (1025 + number))

    def work(self, over):
        steps = (self.transaction, self.prepared, self.cursor, self.rolled_back)
        try:
            while not over.is_set():
                steps[self.count % len(steps)]()
                self.count += 1
        except (psycopg.Error, AssertionError) as failure:
            self.failure = failure

    def check_rows(self, rows):
        assert rows, "own rows are gone"
        strangers = [name for (name,) in rows if not name.startswith(f"{self.slug}/")]
        assert not strangers, f"{self.slug} reads {strangers}"

    def check_who(self, first=None):
        found = self.connection.execute(WHO).fetchone()
        assert found[3] == self.slug and (first is None or found == first), (first, found)
        if not self.logins or self.logins[-1] != found[0]:
            self.logins.append(found[0])
        return found

    def transaction(self):
        with self.connection.transaction():
            first = self.check_who()
            self.connection.execute("INSERT INTO thing (name) VALUES (%s)",
                                    [f"{self.slug}/{self.number}-{self.count}"])
            self.check_rows(self.connection.execute("SELECT name FROM thing").fetchall())
            self.check_who(first)

    def prepared(self):
        text = "SELECT name FROM thing WHERE name LIKE %s"
        self.check_rows(self.connection.execute(text, ["%"], prepare=True).fetchall())
        assert self.connection.execute("SHOW work_mem").fetchone() == (f"{1025 + self.number}kB",)

    def cursor(self):
        with (self.connection.transaction(),
              self.connection.cursor(name="walking") as cursor):
            cursor.execute("SELECT name FROM thing")
            self.check_rows(cursor.fetchmany(3))
            self.check_rows(cursor.fetchall() or [(f"{self.slug}/",)])

    def rolled_back(self):
        with self.connection.transaction(force_rollback=True):
            first = self.check_who()
            self.connection.execute("DELETE FROM thing WHERE name <> %s", [self.slug + "/first"])
            self.check_who(first)


class Load:
    """Clients of several tenants, at work as long as the block lasts."""

    def __init__(self, world, tenants):
        self.world, self.over = world, threading.Event()
        for tenant in tenants:
            with world.reeve.connect(tenant) as connection:
                connection.execute("INSERT INTO thing (name) VALUES (%s)", [f"{tenant.slug}/first"])
        self.clients = [Client(world, tenant, number)
                        for tenant in tenants for number in range(CLIENTS)]
        self.threads = [threading.Thread(target=client.work, args=[self.over])
                        for client in self.clients]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        for client in self.clients:
            client.connection.close()
        failures = {f"{client.slug}-{client.number}": client.failure
                    for client in self.clients if client.failure}
        assert not failures, failures

    def of(self, tenant):
        return [client for client in self.clients if client.slug == tenant.slug]

    def wait_for(self, tenant, condition, what):
        """condition(client) for each client of the tenant, or a failure of anybody."""
        def there():
            failed = [client for client in self.clients if client.failure]
            return failed or all(map(condition, self.of(tenant)))

        process.wait_until(there, what, 60)

    def wait_worked(self, tenant):
        before = {client: client.count for client in self.of(tenant)}
        self.wait_for(tenant, lambda client: client.count > before[client] + 4,
                      f"every client of {tenant.slug} has worked on")


def login_role(world, tenant, enforcement):
    return "reeve_pool" if enforcement == "guard" else world.placement(tenant)["own_role"]


def check_told(world, tenant, enforcement):
    """By `placement show`, and by `ps` of the server connections that serve it."""
    assert world.placement(tenant)["enforcement"] == enforcement

    def told():
        found = [one for one in world.reeve.cli("ps", "--tenant", tenant.slug, json=True).json
                 if one["state"] not in ("connecting", "closing")]
        busy = [one for one in found if one["service"]] or found
        return busy and all(one["shared"] == (enforcement == "guard")
                            and one["login_role"] == login_role(world, tenant, enforcement)
                            for one in busy)

    process.wait_until(told, f"ps tells that {tenant.slug} is under {enforcement}", 30)


def switch(world, load, tenant, enforcement):
    told = world.reeve.cli("placement", "enforce", tenant.slug, tenant.service, enforcement,
                           json=True).json
    assert told["enforcement"] == enforcement
    role = login_role(world, tenant, enforcement)
    load.wait_for(tenant, lambda client: client.logins[-1:] == [role],
                  f"every client of {tenant.slug} is under {enforcement}")
    load.wait_worked(tenant)
    check_told(world, tenant, enforcement)


@pytest.mark.parametrize("mode", SWITCHED)
def test_switching_under_load(world, mode):
    """There and back, twice; a neighbour of each isolation works beside it."""
    tenant = world.new_tenant(mode)
    neighbours = [world.new_tenant(each) for each in ("row", "schema", "database")]
    jobs = "SELECT count(*) FROM reeve.job WHERE kind = 'enforce' AND state = 'done'"
    before = world.reeve.query(jobs)[0][0]
    with Load(world, [tenant, *neighbours]) as load:
        load.wait_worked(tenant)
        check_told(world, tenant, "guard")
        for _ in range(ROUNDS):
            for enforcement in ("login", "guard"):
                switch(world, load, tenant, enforcement)
        for neighbour in neighbours:
            load.wait_worked(neighbour)
    assert world.reeve.query(jobs)[0][0] - before == 2 * ROUNDS
    for client in load.of(tenant):  # one change a switch, never there and back in between
        assert len(client.logins) == 2 * ROUNDS + 1, client.logins
    for neighbour in neighbours:
        assert all(len(client.logins) == 1 for client in load.of(neighbour))
    world.reeve.cli("audit", "--all", "--severity", "warning")


@pytest.mark.parametrize("mode", SWITCHED)
def test_neighbours_switch_at_the_same_time(world, mode):
    """Each of two tenants of one database the other way, both with clients at work."""
    tenants = [world.new_tenant(mode) for _ in range(2)]
    world.reeve.cli("placement", "enforce", tenants[1].slug, "things", "login")
    with Load(world, tenants) as load:
        for enforcements in (("login", "guard"), ("guard", "login")):
            threads = [threading.Thread(target=switch, args=(world, load, *pair))
                       for pair in zip(tenants, enforcements)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for tenant, enforcement in zip(tenants, enforcements):
                check_told(world, tenant, enforcement)


@pytest.mark.parametrize("mode", SWITCHED)
def test_switching_where_connections_are_few(world, few, mode):
    """Every slot changes hands all the time, so that there are logins at any moment of a switch."""
    tenant = world.new_tenant(mode, cluster="few")
    neighbours = [world.new_tenant(each, cluster="few") for each in ("schema", "database", "database")]
    world.reeve.cli("placement", "enforce", neighbours[0].slug, "things", "login")
    with Load(world, [tenant, *neighbours]) as load:
        load.wait_worked(tenant)
        for _ in range(2 * ROUNDS):
            for enforcement in ("login", "guard"):
                switch(world, load, tenant, enforcement)


@pytest.mark.parametrize("mode", SWITCHED)
def test_a_running_transaction_ends_as_it_began(world, mode):
    """It may outlast the switch; what it wrote is there, and the next one goes the other way."""
    tenant = world.new_tenant(mode)
    for enforcement in ("login", "guard"):
        before = login_role(world, tenant, world.placement(tenant)["enforcement"])
        job = threading.Thread(target=world.reeve.cli, args=(
            "placement", "enforce", tenant.slug, "things", enforcement))
        with world.reeve.connect(tenant) as connection, world.reeve.connect(tenant) as other:
            with connection.transaction():
                assert connection.execute("SELECT session_user").fetchone() == (before,)
                connection.execute("INSERT INTO thing (name) VALUES (%s)", [enforcement])
                job.start()
                process.wait_until(
                    lambda: world.placement(tenant)["enforcement"] == enforcement,
                    "the placement is switched", 30)
                after = login_role(world, tenant, enforcement)
                process.wait_until(
                    lambda: other.execute("SELECT session_user").fetchone() == (after,),
                    "the next transaction goes the other way", 30)
                assert connection.execute("SELECT session_user").fetchone() == (before,)
                assert other.execute("SELECT count(*) FROM thing WHERE name = %s",
                                     [enforcement]).fetchone() == (0,)
            job.join()
            assert connection.execute("SELECT session_user").fetchone() == (after,)
            assert connection.execute("SELECT count(*) FROM thing WHERE name = %s",
                                      [enforcement]).fetchone() == (1,)
            with connection.transaction():
                connection.execute("SELECT 1")
                check_told(world, tenant, enforcement)


def test_what_cannot_be_switched(world):
    tenant = world.new_tenant("database")
    refused = world.reeve.cli("placement", "enforce", tenant.slug, "things", "guard", check=False)
    assert refused.code != 0 and "shares nothing" in refused.err
    world.reeve.cli("placement", "enforce", tenant.slug, "things", "login")  # as it is
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT reeve.tenant_slug()").fetchone() == (tenant.slug,)
