"""Ruby's pg: ruby/checks.rb does the work, once a mode."""
import pytest

CHECKS = ["insert_select", "type_maps", "transactions", "prepared_1000", "errors",
          "failed_transaction", "pipeline", "copy_out", "copy_in", "large", "single_rows",
          "cancel", "query_timeout", "metadata", "settings", "discard_all", "reset", "listen",
          "threads_of_two_tenants"]


@pytest.mark.parametrize("name", CHECKS)
def test_ruby(foreign_outcome, mode, name):
    error = foreign_outcome("ruby", mode)[name]
    assert error is None, error


def test_ruby_ran_all(foreign_outcome, mode):
    assert sorted(foreign_outcome("ruby", mode)) == sorted(CHECKS)
