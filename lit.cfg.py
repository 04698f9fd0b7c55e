"""lit's view of the tests: every .mlir file under test/, run with the tools of the environment that runs lit."""

import os
import sys

import lit.formats

config.name = "Neo"  # noqa: F821
config.test_format = lit.formats.ShTest(execute_external=False)  # noqa: F821
config.suffixes = [".mlir"]  # noqa: F821
config.test_source_root = os.path.dirname(__file__)  # noqa: F821
config.test_exec_root = os.path.join(os.path.dirname(__file__), "out", "lit")  # noqa: F821
config.environment["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]  # noqa: F821
for name in ("HOME", "NEO_CACHE_DIR", "PYTHONPATH", "XDG_CACHE_HOME"):
    if name in os.environ:
        config.environment[name] = os.environ[name]  # noqa: F821
