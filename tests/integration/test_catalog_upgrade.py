"""A catalog of an older Reeve, with tenants and open moves in it, is upgraded by `reeve init`, and all goes on."""
import pytest

from support.apart import running_apart
from support.bank import SERVICE, WAL, goes_on, bank_fixtures
from support.process import ROOT
from support.some import some

NEWEST = max(int(path.stem) for path in (ROOT / "sql" / "catalog" / "upgrade").glob("*.sql"))
# What takes a version back to the one before it: of all since moves were there.
BACK = {
    12: "ALTER TABLE reeve.move DROP COLUMN pauses, DROP COLUMN longest_pause_us",
    11: "ALTER TABLE reeve.cluster DROP COLUMN disk_bytes",
    10: """
        DROP INDEX reeve.service_database_template_key;
        ALTER TABLE reeve.service_database
            DROP CONSTRAINT service_database_own_key,
            ADD CONSTRAINT service_database_kind_key UNIQUE (service_id, cluster_id, kind);
        ALTER TABLE reeve.move DROP COLUMN from_database, DROP COLUMN to_database""",
}


bank, alive = bank_fixtures(lambda: running_apart(settings=WAL))


def take_back(bank, version):
    """As a Reeve that knows it up to `version` would have it."""
    with bank.reeve.admin() as admin:
        for undone in range(NEWEST, version, -1):
            admin.execute(BACK[undone])
            admin.execute("DELETE FROM reeve.schema_version WHERE version = %s", [undone])


def test_every_version_has_its_way_back():
    assert sorted(BACK) == list(range(10, NEWEST + 1))


@pytest.mark.parametrize("version", some([number - 1 for number in BACK], [min(BACK) - 1]))
def test_upgrade(bank, version):
    reverted, finished = (bank.tenant_at(isolation, "one") for isolation in ("schema", "row"))
    still = bank.tenant_at("database", "two")
    bank.move(reverted, "database", "two")
    bank.move(finished, "schema", "two")
    tenants = (reverted, finished, still)
    places = [bank.place(tenant) for tenant in tenants]
    told = [(last["pauses"], last["pause_ms"]) for last in map(bank.last_move, (reverted, finished))]
    assert all(number == 1 and ms > 0 for number, ms in told)
    bank.reeve.stop()
    take_back(bank, version)

    refused = bank.reeve.cli("tenant", "list", check=False)
    assert refused.code != 0 and "reeve init" in refused.err, refused.text
    done = bank.reeve.cli("init", json=True).json
    assert (done["from_version"], done["version"]) == (version, NEWEST)
    assert bank.reeve.cli("init", json=True).json["from_version"] == NEWEST

    bank.reeve.start()
    assert [bank.place(tenant) for tenant in tenants] == places
    assert [(last["pauses"], last["pause_ms"]) for last in map(bank.last_move, (reverted, finished))] == told
    with bank.working(reverted) as one, bank.working(finished) as other, bank.working(still) as third:
        bank.behind("revert", reverted)
        bank.behind("finish", finished)
        bank.move(still, "schema", "one")
        bank.behind("finish", still)
        for application in (one, other, third):
            goes_on(application)
    assert [bank.phase(tenant) for tenant in tenants] == ["reverted", "finished", "finished"]
    for tenant, application in ((reverted, one), (finished, other), (still, third)):
        assert application.errors == []
        bank.check(tenant, application)
    # What is new can be used.
    bank.move(still, "row", "one", "--database", "pool7")
    bank.behind("finish", still)
    bank.reeve.cli("cluster", "set", "one", "--disk", "500GB")
    bank.reeve.cli("tenant", "delete", still.slug, "--yes")
    bank.reeve.cli("service", "drop-database", SERVICE, "pool7", "--cluster", "one", "--yes")
    assert bank.leftovers() == [] and bank.audited() == []
