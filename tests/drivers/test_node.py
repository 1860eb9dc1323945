"""node-postgres: node/node_postgres.js does the work, once a mode."""
import pytest

CHECKS = ["insert_select", "transactions", "prepared_1000", "errors", "failed_transaction",
          "several_statements", "queue", "copy_out", "copy_in", "large", "cursor", "cancel", "pool",
          "pools_of_two_tenants", "settings", "query_timeout", "listen"]


@pytest.mark.parametrize("name", CHECKS)
def test_node(foreign_outcome, mode, name):
    error = foreign_outcome("node-postgres", mode)[name]
    assert error is None, error


def test_node_ran_all(foreign_outcome, mode):
    assert sorted(foreign_outcome("node-postgres", mode)) == sorted(CHECKS)
