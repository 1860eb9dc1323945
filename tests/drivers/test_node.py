"""node-postgres: node/checks.js does the work, once a mode."""
import pytest

CHECKS = ["insert_select", "transactions", "prepared_1000", "errors", "failed_transaction",
          "several_statements", "queue", "copy_out", "copy_in", "large", "cursor", "cancel", "pool"]


@pytest.mark.parametrize("name", CHECKS)
def test_node(node_outcomes, mode, name):
    error = node_outcomes(mode)[name]
    assert error is None, error


def test_node_ran_all(node_outcomes, mode):
    assert sorted(node_outcomes(mode)) == sorted(CHECKS)
