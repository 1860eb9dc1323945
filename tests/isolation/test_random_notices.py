"""The random walk notices: with a defence taken out, or an answer changed on its way, it fails, and
soon. A walk that passes here would prove nothing in test_random.py."""
import collections
import contextlib
import functools
import random
from unittest import mock

import pytest

from support import guard, wire
from support.reeve import ENFORCEMENT
from support.walk import Violation, ops_hidden as hidden, ops_session, ops_state, ops_transaction
from support.walk.world import reeve_world

from test_the_tests_notice import mutations

SECONDS = 60  # within which it must have noticed
MUTATION_SECONDS = 200  # the same, of what takes many steps on a slow machine


@pytest.fixture(scope="module")
def world():
    with reeve_world(ENFORCEMENT) as made:
        yield made


def must_notice(world, tenants, expected, seconds=SECONDS, steps=None, **options):
    """The walk must fail, and say why in words that fit what was done to it; or in words that nobody
    foresaw, where the same walk finds nothing with nothing done to it."""
    seed = str(random.randrange(1 << 30))
    walk = world.walk(tenants, seed, **options)
    with pytest.raises(Violation) as noticed:
        print(walk.run(seconds, steps).summary())
    first = str(noticed.value).splitlines()[0]
    assert first.startswith("Violation: "), noticed.value
    assert "no answer" not in first or "no answer" in expected, noticed.value
    print(f"noticed: {first[:300]}")
    if not any(words in first for words in expected):
        print("not in these words; the same walk with nothing done:")
        finds_nothing(tenants, seed, seconds, walk.number, options)


def finds_nothing(tenants, seed, seconds, steps, options):
    """The same walk of new tenants, all defences in place, and further; a Violation is the test's
    failure."""
    options = {name: value for name, value in options.items() if name != "tamper"}
    modes = collections.Counter(tenant.mode for tenant in tenants)
    with reeve_world(ENFORCEMENT) as sound:
        alike = [tenant for mode, count in modes.items() for tenant in sound.new_tenants([mode], count)]
        print(sound.walk(alike, seed, **options).run(seconds, 3 * steps + 2000).summary())


# ---- holes in the server ----

FOREIGN = ("gets what is", "is missing", "not to be there", "and may be", "rows:", "tag:", "not (0, 0)",
           "without a thing", "somebody else")


@contextlib.contextmanager
def hole(world, tenants, opened, closed):
    """Statements of the administrator in the tenants' database, with {role} of the first and {ids}
    of all."""
    place = world.reeve.cli("placement", "show", tenants[0].slug, "things", json=True).json
    if world.enforcement == "guard":
        place["role"] = "run_things"  # whom all of the service's row tenants are
    place["ids"] = ", ".join(str(tenant.tenant_id) for tenant in tenants)
    with world.reeve.admin(place["database"]) as admin:
        for text in opened:
            admin.execute(text.format(**place))
        try:
            yield
        finally:
            for text in closed:
                admin.execute(text.format(**place))


# MERGE and INSERT of a SELECT meet rows that may be seen, and neither written nor referred to.
SEEN = (*FOREIGN, "violates row-level security", "violates foreign key")
HOLES = {
    "policy on thing": (["CREATE POLICY hole ON app.thing FOR SELECT USING (true)"],
                        ["DROP POLICY hole ON app.thing"], SEEN),
    "policy on part": (["CREATE POLICY hole ON app.part FOR SELECT USING (true)"],
                       ["DROP POLICY hole ON app.part"], SEEN),
    "no row security": (["ALTER TABLE app.thing DISABLE ROW LEVEL SECURITY"],
                        ["ALTER TABLE app.thing ENABLE ROW LEVEL SECURITY"],
                        ["CopyIn", "ForgedOwner", *FOREIGN]),
    "writing without a check": (["CREATE POLICY hole ON app.thing FOR INSERT WITH CHECK (true)"],
                                ["DROP POLICY hole ON app.thing"], ["ForgedOwner", *FOREIGN]),
    "a key without the tenant": (["CREATE UNIQUE INDEX hole ON app.thing (name)"
                                  " WHERE tenant_id IN ({ids})"], ["DROP INDEX app.hole"],
                                 ["23505", "no answer"]),  # who waits for a neighbour's transaction
    "neighbours' queries": (["GRANT pg_read_all_stats TO {role}"],
                            ["REVOKE pg_read_all_stats FROM {role}"], ["gets what is"]),
    "temporary tables": (["GRANT TEMP ON DATABASE {database} TO PUBLIC"],
                         ["REVOKE TEMP ON DATABASE {database} FROM PUBLIC"],
                         ["TemporaryTable", "ShadowTable"]),
    "writes that are lost": (
        ["CREATE FUNCTION app.lose() RETURNS trigger LANGUAGE plpgsql AS"
         " $$ BEGIN RETURN CASE WHEN random() < 0.1 THEN NULL ELSE NEW END; END $$",
         "CREATE TRIGGER hole BEFORE INSERT ON app.part FOR EACH ROW EXECUTE FUNCTION app.lose()"],
        ["DROP TRIGGER hole ON app.part", "DROP FUNCTION app.lose()"], ["InsertPart", "is missing"]),
}


BEHIND_THE_GUARD = {"temporary tables"}  # which refuses them in front of the hole


@pytest.mark.parametrize("name", HOLES)
def test_holes(world, name):
    if world.enforcement == "guard" and name in BEHIND_THE_GUARD:
        return
    opened, closed, expected = HOLES[name]
    tenants = world.new_tenants(["row"], 4)
    with hole(world, tenants, opened, closed):
        must_notice(world, tenants, expected)


# ---- defences in Reeve's own code: mutation("name") in src/, guard_mutation("name") in guard/ ----

OTHER_ROLE = ("does not exist", "permission denied", "identity", "a tenant cannot")
ENDED = ("is ended", "ends the connection")  # what the guard does with a session that is nobody's
SETTINGS = ("ParameterStatus says", "setting ", "SHOW", "settings that nobody", "gets what is", "read-only",
            "statement timeout", "a date")  # what may be said where one has another's
VISIBLE = (ops_session.Set, ops_session.SetByParameters, ops_session.SetTimeZone,
           ops_session.SetNames, ops_transaction.Characteristics)
# name: (what is done more often than usual, what is said of it)
MUTATIONS = {
    "proxy.enter": ({}, ["identity", *SETTINGS, *FOREIGN, *ENDED]),
    "proxy.flush": ({}, [*OTHER_ROLE, *ENDED]),
    # Statements are shared among equal settings alone, so nobody sets anything that is seen.
    "proxy.pristine": ({hidden.ReadDate: 100, hidden.SetHiddenDateStyle: 60,
                        ops_transaction.Begin: 40, ops_session.DeallocateAll: 40,
                        **dict.fromkeys(VISIBLE, 0)}, ["a date", "of its own rows missing"]),
    "guard.flush": ({}, ENDED),
    # Who is the role that Reeve logs in with sees its neighbours' queries too.
    "guard.role": ({hidden.ResetRole: 10}, [*OTHER_ROLE, "worked (ALTER ROLE", *FOREIGN]),
    "guard.prepared": ({hidden.HiddenPrepare: 30, hidden.HiddenExecute: 30}, ["gets what is"]),
    "guard.advisory": ({hidden.HiddenLock: 30, hidden.OwnLocks: 30}, ["locks of somebody else"]),
    "guard.sequences": ({ops_state.Currval: 20}, ["Currval"]),
    "guard.settings": ({}, SETTINGS),
    "guard.random": ({ops_state.SetSeed: 30, ops_state.Random: 40}, ["comes of a seed"]),
    "guard.names": ({ops_session.Prepare: 30}, ["PREPARE reeve_", "EXECUTE reeve_"]),
    "guard.lock": ({hidden.LockWholeTable: 20}, ["LockWholeTable"]),
    "guard.utility": ({hidden.ChangeItself: 10}, ["worked", "ALTER ROLE"]),
}
# What a walk cannot notice.
NOT_BY_WALKING = {
    "guard.channels": "a walk that listened would keep its server connection",
    "guard.notify": "the same, and nobody knows the name of another's channel",
    "guard.heard": "the same",
    "guard.unlisten": "the same",
    "guard.reading": "the same",
    "guard.ready": "nobody sends a Flush behind another: test_flush.py does",
    "guard.nobody": "no statement comes to nobody's session, but where another defence is gone",
    "guard.deferrable": "nobody writes in serializable transactions that last",
    "guard.exit": "nobody sets it: test_guard.py does",
    "guard.idle": "the same",
    "guard.fence": "nobody is moved in a walk",
    "guard.meaning": "the same in what proxy.pristine is tried with",
    "guard.key": "only the proxy may call what the key is for: test_guard.py calls it all the same",
    "proxy.settings": "of a login, where the server refuses the same in other words",
    "proxy.suspend": "nobody is suspended in a walk",
    "proxy.tenant": "everybody logs in with a token of their own",
    "proxy.service": "the same",
    "proxy.bearer": "nobody logs in with a bearer token",
    "proxy.byte_rate": "nobody has limits",
    "proxy.cancel": "nobody guesses at keys",
    "proxy.clear_text": "every login comes from this machine",
    "proxy.gather": "nothing is that large",
    "proxy.large_statements": "the same",
    "proxy.max_backends": "nobody has limits",
    "proxy.notify": "the guard stands in front of it",
    "proxy.patience": "nobody waits for one tenant alone",
    "proxy.pipeline": "nobody pipelines without end",
    "proxy.result_size": "nobody has limits",
    "proxy.reserve": "nobody holds all that there is",
    "proxy.smuggled": "the walk has no TLS",
    "proxy.undone": "who comes next is told an error, as of a client that vanished: test_leftovers.py",
    "migrate.audit": "nobody migrates in a walk",
}
STEPS = 60_000  # within which it must have noticed; but for proxy.pristine some hundred do


def test_every_mutation_is_known():
    """Of sessions; what keeps others out, and what limits them, has attacks of its own."""
    concern_sessions = [name for name in mutations() + guard.mutations()
                        if not name.startswith(("auth.", "base.", "catalog.", "net.", "pg."))]
    assert sorted([*MUTATIONS, *NOT_BY_WALKING]) == sorted(concern_sessions)


@pytest.mark.timeout(2 * MUTATION_SECONDS + 120)
@pytest.mark.parametrize("name", MUTATIONS)
def test_mutations(name):
    """All of them are of the guard, or of what the proxy does for it."""
    if ENFORCEMENT == "login":
        pytest.skip("of shared sessions: it runs under the guard")
    weights, expected = MUTATIONS[name]
    both = {"proxy.pristine": "proxy.pristine,guard.meaning"}  # one stands behind the other
    with reeve_world("guard", REEVE_MUTATE=both.get(name, name)) as mutated:
        modes = ["row"] * 2 if name == "proxy.pristine" else ["row", "schema"]
        must_notice(mutated, mutated.new_tenants(modes, 3), expected, MUTATION_SECONDS, STEPS,
                    weights=weights)


# ---- answers changed on their way: what a proxy that mixes up its clients would do ----

class Tamper:
    """Changes an answer now and then."""

    def __init__(self, change, chance=0.02):
        self.change, self.chance = change, chance
        self.dice = random.Random(1)
        self.kept = {}  # what the change remembers of others' messages

    def __call__(self, client, message):
        changed = self.change(self.kept, client, message)
        if client.session and changed is not message and self.dice.random() < self.chance:
            return changed
        return message


def lose_row(_kept, _client, message):
    return None if message.type == "D" and len(message.columns) == 4 else message


def older_row(kept, client, message):
    """A row as it was when this client saw it first."""
    if message.type != "D" or len(message.columns) != 4:
        return message
    return kept.setdefault((client, message.columns[0]), message)


def neighbours_row(kept, client, message):
    if message.type != "D" or len(message.columns) != 4:
        return message
    others = [found for tenant, found in kept.items() if tenant is not client.tenant]
    kept[client.tenant] = message
    return others[0] if others else message


def neighbours_settings(kept, client, message):
    """A row of settings that another client of the same tenant was given."""
    if message.type != "D" or len(message.columns) != 16:
        return message
    other = kept.get((client.tenant, 1 - client.slot), message)
    kept[client.tenant, client.slot] = message
    return other if other.body != message.body else message


def wrong_parameter(_kept, client, message):
    if message.type == "Z":
        client.line.parameters["TimeZone"] = "Mars/Olympus"
        return wire.Message("Z", message.body)
    return message


def wrong_status(_kept, _client, message):
    return wire.Message("Z", b"T") if message.type == "Z" and message.body == b"I" else message


def lost_error(_kept, client, message):
    """But for a Flush's, behind which nothing would come any more."""
    ours = message.type == "E" and client.step and client.step.ends != "flush"
    return wire.Message("C", b"SELECT 1\0") if ours else message


def canceled(_kept, _client, message):
    """Somebody else's cancel."""
    if message.type != "C":
        return message
    return wire.Message("E", b"SERROR\0VERROR\0C57014\0Mcanceling statement\0\0")


def notification(_kept, client, message):
    mark = client.tenant.mark.encode()
    return wire.Message("A", b"\0\0\0\1walk\0" + mark + b"\0") if message.type == "N" else message


def answer_twice(_kept, _client, message):
    return wire.Message("C", b"BEGIN\0") if message.type == "1" else message


CHANGES = {change.__name__: change for change in (
    lose_row, older_row, neighbours_row, neighbours_settings, wrong_status, wrong_parameter,
    lost_error, canceled, notification, answer_twice)}


def test_words_that_nobody_foresaw(world):
    """They are taken for what was done where the same walk finds nothing otherwise, and then alone."""
    tenants = world.new_tenants(["row"], 2)
    must_notice(world, tenants, ["no such words"], tamper=Tamper(lose_row))
    with mock.patch(f"{__name__}.reeve_world", return_value=contextlib.nullcontext(Unsound(world))):
        with pytest.raises(Violation):
            must_notice(world, tenants, ["no such words"], tamper=Tamper(lose_row))


class Unsound:
    """A world in which something is wrong though nothing was done to it."""

    def __init__(self, world):
        self.new_tenants = world.new_tenants
        self.walk = functools.partial(world.walk, tamper=Tamper(lose_row))


@pytest.mark.parametrize("name", CHANGES)
def test_changed_answers(world, name):
    tenants = world.new_tenants(["row", "schema"], 2)
    must_notice(world, tenants, [""], tamper=Tamper(CHANGES[name]))


def test_nothing_is_noticed_where_nothing_is_wrong(world):
    """The same with a tamper that changes nothing."""
    tenants = world.new_tenants(["row", "schema"], 2)
    walk = world.walk(tenants, "sound", tamper=Tamper(lambda _kept, _client, message: message))
    assert walk.run(5).committed() > 10
