"""pgjdbc: jdbc/Checks.java does the work, once a mode."""
import pytest

CHECKS = ["insert_select", "generated_keys", "transactions", "isolation_level", "prepared_1000",
          "errors", "failed_transaction", "batch", "batch_with_error", "fetch_size", "copy_out",
          "copy_in", "large", "cancel", "query_timeout", "metadata", "read_only"]


@pytest.mark.parametrize("name", CHECKS)
def test_jdbc(jdbc_outcomes, mode, name):
    error = jdbc_outcomes(mode)[name]
    assert error is None, error


def test_jdbc_ran_all(jdbc_outcomes, mode):
    assert sorted(jdbc_outcomes(mode)) == sorted(CHECKS)
