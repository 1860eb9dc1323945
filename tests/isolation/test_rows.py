"""THREATS 8, 9, 10, 13 and 29: what row-level security must hold, keys as oracles, PUBLIC's defaults."""
import pytest

from support import attack


def test_role_attributes(stage):
    attack.check_role_attributes(stage)


@pytest.mark.parametrize("mode", ["row"])
def test_row_security_is_forced(stage):
    attack.check_row_security_is_forced(stage)


@pytest.mark.parametrize("name", attack.FORGERIES)
def test_forged_tenant_id(stage, name):
    attack.forge(stage, attack.FORGERIES[name])


def test_keys_are_no_oracle(stage):
    attack.attack_keys_as_oracle(stage)


def test_cascades_stay_within_the_tenant(stage):
    attack.attack_cascade(stage)


def test_rights_on_tables(stage):
    attack.check_rights_on_tables(stage)


def test_public_has_nothing(stage):
    attack.check_public_has_nothing(stage)


def test_nothing_can_be_created(stage):
    attack.attack_creating(stage)
