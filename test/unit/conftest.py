"""What several files of tests are given."""

import random
from pathlib import Path

import programs
import pytest
from neomlir.artifact import Spec
from neomlir.runtime import Model, load


@pytest.fixture(params=range(6))
def r(request):
    """Several random draws a test, the same in every run."""
    return random.Random(request.param * 7919 + sum(map(ord, request.node.originalname)))


@pytest.fixture
def add(tmp_path: Path) -> Model:
    """y = x + w (`programs.ADD`)."""
    return load(programs.write_add(tmp_path / "add.neo"))


@pytest.fixture
def parallel(tmp_path: Path) -> Model:
    """`programs.PARALLEL` with three threads."""
    spec = [Spec("x", "int64", (programs.COUNT,))]
    return load(
        programs.write(tmp_path / "p.neo", programs.PARALLEL, spec, [Spec("y", "int64", (programs.COUNT,))]), threads=3
    )


@pytest.fixture
def dynamic(tmp_path: Path) -> Model:
    """`programs.DYNAMIC`."""
    return load(
        programs.write(tmp_path / "d.neo", programs.DYNAMIC, [Spec("x", "float32", (None,))], programs.DYNAMIC_OUTPUTS)
    )
