"""Perl's DBD::Pg: perl/checks.pl does the work, once a mode."""
import pytest

CHECKS = ["insert_select", "transactions", "prepared_1000", "many_statements", "errors",
          "failed_transaction", "batch", "copy_out", "copy_in", "large", "cursor", "cancel",
          "query_timeout", "metadata", "last_insert_id", "settings", "listen",
          "cached_of_two_tenants"]


@pytest.mark.parametrize("name", CHECKS)
def test_perl(foreign_outcome, mode, name):
    error = foreign_outcome("perl", mode)[name]
    assert error is None, error


def test_perl_ran_all(foreign_outcome, mode):
    assert sorted(foreign_outcome("perl", mode)) == sorted(CHECKS)
