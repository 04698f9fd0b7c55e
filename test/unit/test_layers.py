"""Imports point down the layers of the package, in no circle, and one file alone names the bindings."""

import ast
import functools
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOMES = {
    "python/neomlir": "neomlir",
    "dialects": "neomlir.dialects",
    "pipelines": "neomlir.pipelines",
    "targets": "neomlir.targets",
}
# From the top; what stands in one row may import each other's files in one direction.
LAYERS = [
    ("tools", "reference"),
    ("api", "profiling", "kernel_levels"),
    ("staircase", "kernel_job"),
    ("frontends", "pipelines", "pipeline"),
    ("pipeline_run",),
    ("passes",),
    ("schedules",),
    ("dialects", "targets"),
    ("mlir",),
    ("errors",),
]
RANK = {name: number for number, row in enumerate(LAYERS) for name in row}


def _files() -> dict[str, Path]:
    found = {}
    for folder, package in HOMES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join([package, *path.relative_to(ROOT / folder).with_suffix("").parts])
            found[name.removesuffix(".__init__")] = path
    return found


FILES = _files()


def _imports(path: Path) -> set[str]:
    """The modules of ours that a file imports, wherever in it; not those that only a type checker sees."""
    tree = ast.parse(path.read_text())
    checked = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    names = set()
    for node in ast.walk(tree):
        if node in checked:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    found = set()
    for name in names:
        while name and name not in FILES:
            name = name.rpartition(".")[0]
        # `neomlir` itself loads what is asked of it when it is asked.
        if name and name != "neomlir":
            found.add(name)
    return found


GRAPH = {name: _imports(path) - {name} for name, path in FILES.items()}


@functools.cache
def _reached(start: str) -> dict[str, list[str]]:
    """Every module that one leads to, by the way there."""
    ways, waiting = {start: [start]}, [start]
    while waiting:
        at = waiting.pop(0)
        for following in sorted(GRAPH[at] - ways.keys()):
            ways[following] = [*ways[at], following]
            waiting.append(following)
    return ways


def _layer(name: str) -> str:
    return name.split(".")[1] if "." in name else name


@pytest.mark.parametrize("name", sorted(name for name in FILES if _layer(name) in RANK))
def test_imports_point_down(name):
    up = [way for to, way in _reached(name).items() if RANK.get(_layer(to), 99) < RANK[_layer(name)]]
    assert not up, " -> ".join(up[0])


def test_no_circles():
    try:
        graphlib.TopologicalSorter(GRAPH).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


@pytest.mark.parametrize("name", sorted(name for name in FILES if _layer(name) in ("codegen", "runtime", "native")))
def test_code_generation_and_the_runtime_know_no_pass(name):
    for to, way in _reached(name).items():
        assert _layer(to) not in ("passes", "schedules", "frontends", "pipelines", "api", "tools"), " -> ".join(way)


def test_one_door_to_the_bindings():
    naming = {name for name, path in FILES.items() if "torch_mlir" in path.read_text()}
    assert naming == {"neomlir.mlir"}


def test_the_graph_is_read():
    assert "neomlir.passes.base" in GRAPH["neomlir.passes.form_kernels"]
    assert len(GRAPH) > 100
