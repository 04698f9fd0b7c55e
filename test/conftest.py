"""Large models, and all models on all CPUs (marked `full`), run only when asked for by `-m full`."""


def pytest_configure(config):
    config.addinivalue_line("markers", "full: models of real size, or on emulated CPUs; minutes each")


def pytest_collection_modifyitems(config, items):
    if config.getoption("-m"):
        return
    full = [item for item in items if item.get_closest_marker("full")]
    config.hook.pytest_deselected(items=full)
    items[:] = [item for item in items if item not in full]
