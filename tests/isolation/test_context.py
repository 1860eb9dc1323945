"""THREATS 1 and 2: the tenant's context cannot be forged from SQL."""
import pytest

from support import attack


@pytest.mark.parametrize("prepare", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("name", attack.CONTEXT)
def test_context(stage, name, prepare):
    attack.run_sql_attack(stage, attack.CONTEXT[name], prepare)


@pytest.mark.parametrize("prepare", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("name", attack.ROLE)
def test_role(stage, name, prepare):
    attack.run_sql_attack(stage, attack.ROLE[name], prepare)


@pytest.mark.parametrize("name", [*attack.CONTEXT, *attack.ROLE])
def test_in_one_message(stage, name):
    attack.run_in_one_message(stage, {**attack.CONTEXT, **attack.ROLE}[name])


def test_neighbours_queries(roomy_stage):
    attack.attack_neighbours_queries(roomy_stage)


def test_without_a_tenant_there_is_nothing(stage):
    """Fail closed: a role that no tenant has sees no rows, in row isolation."""
    if stage.mode != "row":
        return
    with stage.admin(stage.victim_place["database"]) as admin:
        admin.execute("CREATE ROLE stray LOGIN")
        try:
            admin.execute(f'GRANT "{"run_things"}" TO stray')
            admin.execute("SET SESSION AUTHORIZATION stray")
            admin.execute(f'SET search_path = "{stage.victim_place["schema"]}"')
            assert admin.execute("SELECT count(*) FROM thing").fetchone() == (0,)
        finally:
            admin.execute("RESET SESSION AUTHORIZATION")
            admin.execute("DROP OWNED BY stray")
            admin.execute("DROP ROLE stray")
