"""postgres.js: node/postgres_js.js does the work, once a mode."""
import pytest

CHECKS = ["insert_select", "arrays", "transactions", "prepared_1000", "errors",
          "failed_transaction", "several_statements", "pipelined", "batch", "copy_out",
          "copy_in", "large", "cursor", "cancel", "query_timeout", "describe",
          "metadata", "settings", "reserved", "listen", "pools_of_two_tenants"]


@pytest.mark.parametrize("name", CHECKS)
def test_postgres_js(foreign_outcome, mode, name):
    error = foreign_outcome("postgres-js", mode)[name]
    assert error is None, error


def test_postgres_js_ran_all(foreign_outcome, mode):
    assert sorted(foreign_outcome("postgres-js", mode)) == sorted(CHECKS)
