"""How long tests are.

`full`: models of real size, or all models on all CPUs; they run only when asked for by `-m full`.
`long`: whole models, other CPUs, pages that are followed command by command: all of `test/e2e` and `test/cross`, and
what is marked; they run by default, and `make test-fast` (`-m "not long"`) leaves them out.
"""

from pathlib import Path

import pytest

LONG_FOLDERS = {"e2e", "cross"}


def pytest_configure(config):
    config.addinivalue_line("markers", "full: models of real size, or on emulated CPUs; minutes each")
    config.addinivalue_line("markers", "long: whole models, other CPUs, pages that are followed; up to a minute each")


def pytest_collection_modifyitems(config, items):
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).parts[0] in LONG_FOLDERS:
            item.add_marker(pytest.mark.long)
    if "full" in (config.getoption("-m") or ""):
        return
    full = [item for item in items if item.get_closest_marker("full")]
    config.hook.pytest_deselected(items=full)
    items[:] = [item for item in items if item not in full]
