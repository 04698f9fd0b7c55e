"""Every strategy reaches the leaves that numpy reaches, bit for bit: random ensembles, strange numbers, few and many
rows."""

import neomlir
import numpy as np
import pytest
from forest_reference import evaluate
from neomlir.dialects import context
from neomlir.frontends.base import Frontend
from neomlir.frontends.forest_module import to_module
from neomlir.profiling import _costs
from neomlir.trees import CATEGORICAL, WHOLE, Trees

FEATURES = 9
SPECIAL = (0.0, -0.0, 1e-45, -1e-45, 1.0, np.inf, -np.inf, np.nan, np.nan)


def ensemble(seed, trees, depth, outputs=1, kind=np.float32, sums=np.float32, full=True, predicate="le", width=1):
    """Random trees, complete or of any shape; thresholds repeat, and are special numbers now and then."""
    rng = np.random.default_rng(seed)
    nodes, roots, leaves = [], [], 0

    def grow(level):
        nonlocal leaves
        if level == depth or (not full and level and rng.random() < 0.35):
            leaves += 1
            return -leaves
        number = len(nodes)
        nodes.append(None)
        left = grow(level + 1)
        nodes[number] = (left, grow(level + 1))
        return number

    for _ in range(trees):
        roots.append(grow(0))
    count = len(nodes)
    thresholds = rng.choice(rng.standard_normal(40).astype(kind), count)
    special = rng.choice([v for v in SPECIAL if not np.isnan(v)], count).astype(kind)
    if predicate == "lt":
        special = np.where(special == -np.inf, 0, special)
    children = np.array(nodes, np.int32).reshape(-1, 2)
    return Trees(
        np.array(roots, np.int32),
        rng.integers(0, FEATURES, count).astype(np.int32),
        np.where(rng.random(count) < 0.1, special, thresholds).astype(kind),
        children[:, 0].copy(),
        children[:, 1].copy(),
        rng.integers(0, 2, count).astype(np.int8),
        rng.standard_normal((leaves, width)).astype(sums),
        (np.arange(trees) % outputs).astype(np.int32) if width == 1 else np.zeros(trees, np.int32),
        rng.standard_normal(outputs).astype(sums),
        predicate=predicate,
    )


def rows(trees, count, seed):
    """Rows that often hit thresholds exactly."""
    rng = np.random.default_rng(seed)
    near = rng.choice(np.concatenate([trees.thresholds, SPECIAL]), (count, FEATURES))
    return np.where(rng.random(near.shape) < 0.5, near, rng.standard_normal(near.shape)).astype(trees.thresholds.dtype)


class Read(Frontend):
    """Reads (trees, rows)."""

    def reads(self, source):
        return isinstance(source, tuple)

    def import_(self, source, inputs, context):
        return to_module(source[0], FEATURES, source[1], "trees", context)


@pytest.fixture
def compiled(monkeypatch):
    """Compile trees by a strategy: (the model, the schedules of its kernels)."""

    def compile(trees, strategy="auto", size=None, pipeline="cpu", target="host", include_ir=False):
        with monkeypatch.context() as patch:
            patch.setattr("neomlir.frontends.frontends", lambda: {"trees": Read()})
            named = f"{pipeline}{{neo-pack-forest.strategy={strategy}}}"
            model = neomlir.compile((trees, size), pipeline=named, target=target, include_ir=include_ir)
        return model, [kernel["schedule"] for kernel in model.report["kernels"]]

    return compile


def agree(model, trees, counts):
    for count in counts:
        x = rows(trees, count, count)
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(model(x), evaluate(trees, x), err_msg=f"{count} rows")


MANY = (0, 1, 2, 5, 23, 24, 63, 100, 256, 257, 300, 512, 531)


@pytest.mark.parametrize(
    ("strategy", "schedule", "more"),
    [
        ("bits", "forest_bits", {"trees": 30, "depth": 6}),
        ("bits", "forest_bits", {"trees": 7, "depth": 3, "outputs": 3, "predicate": "lt"}),
        ("bits", "forest_bits", {"trees": 9, "depth": 8, "kind": np.float64, "sums": np.float64}),
        ("bits", "forest_bits", {"trees": 25, "depth": 12, "full": False, "outputs": 2}),
        ("bits", "forest_bits", {"trees": 25, "depth": 9, "full": False, "sums": np.float64}),
        ("loops", "forest_gather", {"trees": 12, "depth": 11, "full": False, "outputs": 3}),
        ("loops", "forest_gather", {"trees": 6, "depth": 5, "outputs": 3, "width": 3, "sums": np.float64}),
        ("loops", "forest_gather", {"trees": 6, "depth": 5, "kind": np.float64, "sums": np.float64}),
        ("branches", "forest_branches", {"trees": 5, "depth": 4, "full": False, "outputs": 2}),
        ("auto", "forest_bits", {"trees": 3, "depth": 2}),
    ],
)
def test_strategies(strategy, schedule, more, compiled):
    trees = ensemble(len(str(more)), **more)
    model, schedules = compiled(trees, strategy)
    assert schedules == [schedule]
    agree(model, trees, MANY)


@pytest.mark.parametrize("strategy", ["bits", "loops", "branches"])
@pytest.mark.parametrize("full", [True, False])
def test_plain_loops(strategy, full, compiled):
    trees = ensemble(3, 6, 5, outputs=2, full=full)
    model, schedules = compiled(trees, strategy, pipeline="cpu-scalar")
    assert schedules == ["scalar"]
    agree(model, trees, (0, 1, 70))


def test_fixed_numbers_of_rows(compiled):
    trees = ensemble(4, 5, 4)
    for size, schedule in ((1, "forest_branches"), (100, "forest_bits"), (300, "forest_bits")):
        model, schedules = compiled(trees, size=size)
        assert schedules == [schedule]
        agree(model, trees, [size])


def test_ranks_of_16_bits(compiled):
    trees = ensemble(5, 40, 6)
    trees.thresholds = np.random.default_rng(0).standard_normal(len(trees.features)).astype(np.float32)
    trees.features[:] %= 2
    model, schedules = compiled(trees, "bits")
    assert schedules == ["forest_bits"]
    agree(model, trees, (1, 300))


@pytest.mark.parametrize("target", ["x86-64-v2", "x86-64-v3"])
@pytest.mark.parametrize("full", [True, False])
def test_narrower_vectors(target, full, compiled):
    trees = ensemble(6, 8, 5, full=full)
    model, schedules = compiled(trees, "bits", target=target)
    assert schedules == ["forest_bits"]
    agree(model, trees, (3, 300))


def test_threads_share_blocks(compiled):
    trees = ensemble(7, 10, 6)
    model, _ = compiled(trees)
    model.threads = 2
    agree(model, trees, (1, 100, 150, 700, 1024))


@pytest.mark.parametrize("more", [{"depth": 3}, {"depth": 9, "full": False, "outputs": 2, "sums": np.float64}])
def test_threads_share_the_trees_of_few_rows(more, compiled):
    trees = ensemble(11, 1100, **more)
    for size in (3,):
        model, schedules = compiled(trees, size=size)
        assert schedules == ["forest_bits", "forest_total"]
        for model.threads in (1, 2):
            agree(model, trees, [size])
    model, schedules = compiled(trees, size=2, pipeline="cpu-scalar")
    assert "forest_total" not in schedules
    agree(model, trees, [2])


def sets(trees, seed, whole):
    """The same trees with every other node categorical."""
    rng = np.random.default_rng(seed)
    count = len(trees.features)
    kinds = np.where(np.arange(count) % 2, CATEGORICAL | (WHOLE if whole else 0), 0)
    sizes = np.where(kinds != 0, rng.integers(1, 4, count), 0)
    trees.flags = (trees.flags | kinds).astype(np.int8)
    trees.set_begin = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    trees.sets = rng.integers(-(1 << 31), 1 << 31, int(sizes.sum())).astype(np.int32)
    return trees


@pytest.mark.parametrize("pipeline", ["cpu", "cpu-scalar"])
@pytest.mark.parametrize("whole", [False, True])
def test_categorical_nodes(whole, pipeline, compiled):
    for kind in (np.float32, np.float64):
        trees = sets(ensemble(12, 6, 6, full=False, kind=kind, sums=kind, outputs=2), 3, whole)
        model, schedules = compiled(trees, pipeline=pipeline)
        assert schedules == ["forest_gather" if pipeline == "cpu" else "scalar"]
        for count in (1, 5, 300):
            x = rows(trees, count, count)
            some = np.random.default_rng(count).choice(
                [-1.5, -0.5, 0, 3, 3.5, 31, 32, 64.2, 95, 96, 1e9, 1e20], x.shape
            )
            x = np.where(np.random.default_rng(1).random(x.shape) < 0.7, some, x).astype(kind)
            np.testing.assert_array_equal(model(x), evaluate(trees, x))


@pytest.mark.parametrize("aggregate", ["min", "max"])
def test_least_and_largest_values(aggregate, compiled):
    for more in ({"outputs": 3}, {"outputs": 3, "width": 3}):
        trees = ensemble(13, 6, 5, **more)
        trees.aggregate = aggregate
        if "width" not in more:
            # An output without a tree keeps its base.
            trees.targets[:] = np.where(trees.targets == 1, 0, trees.targets)
        for pipeline in ("cpu", "cpu-scalar"):
            model, _ = compiled(trees, pipeline=pipeline)
            agree(model, trees, (1, 70))


def test_linear_leaves(compiled):
    rng = np.random.default_rng(14)
    for kind in (np.float32, np.float64):
        trees = ensemble(14, 9, 4, full=False, kind=kind, sums=np.float64)
        sizes = rng.integers(0, 5, len(trees.values))
        trees.linear_begin = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        trees.linear_features = rng.integers(0, FEATURES, sizes.sum()).astype(np.int32)
        trees.linear_weights = rng.standard_normal(sizes.sum())
        trees.linear_default = rng.standard_normal(len(trees.values))
        model, schedules = compiled(trees)
        assert schedules == ["forest_gather"]
        for count in (1, 90):
            x = rng.standard_normal((count, FEATURES))
            x = np.where(rng.random(x.shape) < 0.2, np.nan, x).astype(kind)
            np.testing.assert_array_equal(model(x), evaluate(trees, x))


def test_nothing_is_smaller_than_minus_infinity(compiled):
    trees = ensemble(8, 5, 3, predicate="lt")
    trees.thresholds[0] = -np.inf
    for strategy in ("bits", "branches", "loops"):
        model, schedules = compiled(trees, strategy)
        assert schedules == ["forest_gather"]
        agree(model, trees, (2, 50))


@pytest.mark.parametrize(
    ("strategy", "more"),
    [
        ("branches", {}),
        ("bits", {}),
        ("loops", {}),
        ("bits", {"depth": 10, "full": False}),
        ("loops", {"depth": 4, "width": 3, "outputs": 3}),
    ],
)
def test_work_is_counted(strategy, more, compiled):
    trees = ensemble(9, **{"trees": 5, "depth": 3, **more})
    wanted = 7 * 5 * (trees.depths().max() + trees.values.shape[1])
    model, _ = compiled(trees, strategy, size=7)
    (kernel,) = model.report["kernels"]
    assert kernel["flops"] == wanted and kernel["bytes"] >= 7 * (FEATURES + 1) * 4
    model, _ = compiled(trees, strategy, include_ir=True)
    assert model.report["kernels"][0]["flops"] is None
    assert _costs(model, {"x": rows(trees, 7, 7)}) == [(wanted, kernel["bytes"])]


def test_work_of_linear_leaves_is_counted(compiled):
    trees = ensemble(10, 4, 3)
    leaves = len(trees.values)
    trees.linear_begin = np.arange(0, 3 * leaves + 1, 3, dtype=np.int32)
    trees.linear_features = np.zeros(3 * leaves, np.int32)
    trees.linear_weights = np.ones(3 * leaves, np.float32)
    trees.linear_default = np.zeros(leaves, np.float32)
    model, _ = compiled(trees, size=2)
    assert model.report["kernels"][0]["flops"] == 2 * 4 * (3 + 1 + 2 * 3)


def test_an_unknown_strategy_is_said():
    with pytest.raises(neomlir.PassFailure, match="there is no strategy 'magic'"):
        neomlir.Pipeline("neo-pack-forest{strategy=magic}").run(
            to_module(ensemble(0, 1, 1), FEATURES, None, "trees", context()).module
        )
