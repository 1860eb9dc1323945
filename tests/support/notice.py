"""For tests that take a defence out and see an attack get through."""
import contextlib

import pytest

from support import attack, process, reeve


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


@contextlib.contextmanager
def without(*defences):
    """Commands and servers that are started meanwhile have none of them."""
    complete = reeve.environment

    def mutated(**extra):
        return complete(**{"REEVE_MUTATE": ",".join(defences), **extra})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reeve, "environment", mutated)
        yield
