"""For tests that take a defence out and see an attack get through."""
import contextlib

import pytest

from support import attack, process


def made(bare, mode):
    """A stage of two new tenants."""
    attacker, victim = bare.new_tenant(mode), bare.new_tenant(mode)
    return attack.set_stage(bare, attacker, victim)


def database_of(stage):
    return stage.admin(stage.victim_place["database"])


def must_notice(action, *arguments):
    with pytest.raises(AssertionError) as noticed:
        action(*arguments)
    assert not isinstance(noticed.value, process.Deadline), noticed.value


@contextlib.contextmanager
def hole(stage, opening, closing):
    """Statements of the administrator, in the victim's database, around what must notice them."""
    with database_of(stage) as admin:
        admin.execute(opening.format(**stage.words()))
        try:
            yield
        finally:
            admin.execute(closing.format(**stage.words()))
