"""pgjdbc: jdbc/Checks.java does the work, once a mode."""
import pytest

CHECKS = ["insert_select", "generated_keys", "transactions", "isolation_level", "prepared_1000",
          "errors", "failed_transaction", "batch", "batch_with_error", "fetch_size", "copy_out",
          "copy_in", "large", "cancel", "query_timeout", "metadata", "read_only"]


@pytest.mark.parametrize("name", CHECKS)
def test_jdbc(foreign_outcome, mode, name):
    error = foreign_outcome("jdbc", mode)[name]
    assert error is None, error


def test_jdbc_ran_all(foreign_outcome, mode):
    assert sorted(foreign_outcome("jdbc", mode)) == sorted(CHECKS)
