"""With REEVE_TESTS_SOME, what is left out of these tests."""
from support import some


def pytest_collection_modifyitems(config, items):
    if not some.few():
        return
    left_out = set(some.alike(items)) | {item for item in items if item.get_closest_marker("seldom")}
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]
