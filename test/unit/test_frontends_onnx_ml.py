"""Models of `ai.onnx.ml`: what is imported means what ONNX Runtime gives, and what is compiled does it."""

import neomlir
import numpy as np
import onnx
import onnxruntime
import pytest
from forest_reference import evaluate, imported
from neomlir.errors import ImportFailure
from onnx import TensorProto, helper, numpy_helper

FEATURES = 5
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
LEAF_PREFIX = {"TreeEnsembleRegressor": "target", "TreeEnsembleClassifier": "class"}


def trees(kind, seed, outputs=1, count=6, depth=4, modes=MODES, positive=False, several=False, whole=False, **more):
    """A node of random trees; each tree is for one output, or for several."""
    rng = np.random.default_rng(seed)
    names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    fields = {f"nodes_{name}": [] for name in (*names, "missing_value_tracks_true")}
    prefix = LEAF_PREFIX[kind]
    leaves = {f"{prefix}_{k}": [] for k in ("treeids", "nodeids", "ids", "weights")}

    def weigh(tree, node, output):
        amount = float(rng.random() if positive else rng.standard_normal())
        amount = float(round(amount)) if whole else amount
        for key, value in (("treeids", tree), ("nodeids", node), ("ids", output), ("weights", amount)):
            leaves[f"{prefix}_{key}"].append(value)

    for tree in range(count):
        waiting = [0]
        for number, node in enumerate(waiting):
            inner = node < (1 << depth) - 1 and (node == 0 or rng.random() < 0.8)
            children = (len(waiting), len(waiting) + 1) if inner else (0, 0)
            values = (tree, number, int(rng.integers(FEATURES)), float(rng.integers(-3, 4) / 2))
            values += (str(rng.choice(modes)) if inner else "LEAF", *children, int(rng.integers(2)))
            for key, value in zip(fields, values, strict=True):
                fields[key].append(value)
            waiting += (2 * node + 1, 2 * node + 2) if inner else ()
            if not inner:
                for output in range(outputs) if several else [tree % outputs]:
                    weigh(tree, number, output)
    if prefix == "class":
        labels = {"classlabels_int64s": [7, 3, 5][: 2 if more.pop("binary", False) else outputs]}
    else:
        labels = {"n_targets": outputs}
    results = ["label", "scores"] if prefix == "class" else ["scores"]
    return helper.make_node(kind, ["x"], results, domain="ai.onnx.ml", **fields, **leaves, **labels, **more)


def model(*nodes, outputs=("scores",), constants=(), version=3):
    kinds = {"label": TensorProto.INT64}
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, FEATURES])],
        [helper.make_tensor_value_info(o, kinds.get(o, TensorProto.FLOAT), None) for o in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", version)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def rows(count, seed, missing=True):
    rng = np.random.default_rng(seed)
    x = np.where(
        rng.random((count, FEATURES)) < 0.5,
        rng.integers(-3, 4, (count, FEATURES)) / 2,
        rng.standard_normal((count, FEATURES)),
    )
    return np.where(rng.random(x.shape) < (0.1 if missing else 0), np.nan, x).astype(np.float32)


def ort(data, x):
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})


REGRESSORS = {
    "one": {}, "three": {"outputs": 3}, "several": {"outputs": 3, "several": True},
    "average": {"aggregate_function": "AVERAGE"}, "base": {"base_values": [0.5]}, "plain": {"modes": MODES[:1]},
    "logistic": {"outputs": 3, "post_transform": "LOGISTIC"}, "softmax": {"outputs": 3, "post_transform": "SOFTMAX"},
    "softmax of what is not zero": {"outputs": 3, "post_transform": "SOFTMAX_ZERO", "whole": True},
    "probit": {"outputs": 3, "post_transform": "PROBIT", "count": 3, "positive": True},
    "least": {"outputs": 3, "aggregate_function": "MIN"},
    "largest of several": {"outputs": 3, "several": True, "aggregate_function": "MAX"},
}  # fmt: skip


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors(name):
    for seed in range(3):
        data = model(trees("TreeEnsembleRegressor", seed, **REGRESSORS[name]))
        x = rows(100, seed)
        got = evaluate(imported(data), x)
        # The approximation that ONNX Runtime takes for the quantile loses digits near zero.
        atol = 2e-5 if name == "probit" else 1e-6
        np.testing.assert_allclose(got.reshape(100, -1), ort(data, x)[0], rtol=1e-5, atol=atol)


CLASSIFIERS = {
    "three": {"outputs": 3}, "several": {"outputs": 3, "several": True, "post_transform": "SOFTMAX"},
    "logistic": {"outputs": 3, "post_transform": "LOGISTIC"},
    "two positive": {"binary": True, "positive": True, "count": 1},
    "two": {"binary": True, "post_transform": "LOGISTIC"},
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_give_labels_and_scores(name):
    data = model(trees("TreeEnsembleClassifier", 4, **CLASSIFIERS[name]), outputs=("label", "scores"))
    x = rows(70, 5)
    compiled = neomlir.compile(data)
    label, scores = ort(data, x)
    got = compiled.run({"x": x})
    np.testing.assert_allclose(got["scores"], scores, rtol=1e-5, atol=1e-6)
    clear = np.diff(np.sort(scores, 1)[:, -2:], axis=1)[:, 0] > 1e-5
    np.testing.assert_array_equal(got["label"][clear], label[clear])


@pytest.mark.parametrize("aggregate", ["MIN", "MAX"])
def test_compiled_aggregates(aggregate):
    for several in (False, True):
        data = model(trees("TreeEnsembleRegressor", 3, outputs=3, several=several, aggregate_function=aggregate))
        x = rows(40, 3)
        np.testing.assert_array_equal(neomlir.compile(data)(x), ort(data, x)[0])


def test_classes_that_are_strings_are_numbers_with_a_table(tmp_path):
    node = trees("TreeEnsembleClassifier", 4, outputs=3)
    for attribute in node.attribute:
        if attribute.name == "classlabels_int64s":
            node.attribute.remove(attribute)
            break
    node.attribute.append(helper.make_attribute("classlabels_strings", ["grün", "red", "blue"]))
    made = onnx.load_from_string(model(node, outputs=("label", "scores")))
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING
    data, x = made.SerializeToString(), rows(60, 5)
    neomlir.compile(data, output=tmp_path / "model.neo")
    loaded = neomlir.load(tmp_path / "model.neo")
    assert loaded.labels == {"label": ["grün", "red", "blue"]}
    got = loaded.run({"x": x})["label"]
    np.testing.assert_array_equal([loaded.labels["label"][i] for i in got], ort(data, x)[0])


def test_weights_outside_of_the_file(tmp_path):
    weights = np.array([2.0, 0.5, 3.0, 1.0, 0.25], np.float32)
    scale = helper.make_node("Mul", ["x", "factors"], ["s"])
    node = trees("TreeEnsembleRegressor", 0)
    node.input[0] = "s"
    made = onnx.load_from_string(model(scale, node, constants=[("factors", weights)]))
    onnx.save(made, tmp_path / "m.onnx", save_as_external_data=True, location="data.bin", size_threshold=0)
    x = rows(50, 1)
    wanted = ort(made.SerializeToString(), x)[0] if not made.graph.initializer[0].external_data else None
    got = neomlir.compile(tmp_path / "m.onnx")(x)
    wanted = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(None, {"x": x})[0] if wanted is None else wanted
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    with pytest.raises(ImportFailure, match="external data"):
        imported((tmp_path / "m.onnx").read_bytes())


def converted(estimator, x):
    skl2onnx = pytest.importorskip("skl2onnx")
    options = {"zipmap": False} if hasattr(estimator, "classes_") else None
    return skl2onnx.to_onnx(estimator, x[:1], options=options).SerializeToString()


def test_what_skl2onnx_writes():
    pytest.importorskip("sklearn")
    from sklearn import compose, ensemble, impute, pipeline, preprocessing, tree

    rng = np.random.default_rng(2)
    x = rng.standard_normal((300, FEATURES)).astype(np.float32)
    x[:, 3], x[:, 4] = rng.integers(0, 4, 300), rng.integers(-2, 5, 300)
    y = x[:, 0] + x[:, 3] * (x[:, 4] > 1)
    encoders = compose.ColumnTransformer(
        [
            ("scaled", preprocessing.StandardScaler(), [0, 1]),
            ("hot", preprocessing.OneHotEncoder(handle_unknown="ignore"), [3]),
            ("numbered", preprocessing.OrdinalEncoder(), [4]),
        ],
        remainder="passthrough",
    )
    prepared = [impute.SimpleImputer(), preprocessing.MinMaxScaler(clip=True), preprocessing.Normalizer()]
    prepared += [preprocessing.Binarizer(threshold=0.3)]
    for estimator, target in (
        (pipeline.make_pipeline(encoders, tree.DecisionTreeRegressor(max_depth=4)), y),
        (pipeline.make_pipeline(*prepared, ensemble.RandomForestClassifier(3)), np.array(["no", "yes"])[(y > 0) * 1]),
        (
            pipeline.make_pipeline(
                preprocessing.PolynomialFeatures(2, include_bias=False), tree.DecisionTreeRegressor(max_depth=3)
            ),
            y,
        ),
    ):
        data = converted(estimator.fit(x, target), x)
        compiled = neomlir.compile(data)
        for spec, got, wanted in zip(
            compiled.outputs,
            compiled.run({"x": x} if "x" in [i.name for i in compiled.inputs] else {"X": x}).values(),
            onnxruntime.InferenceSession(data).run(None, {"X": x}),
            strict=True,
        ):
            if wanted.dtype == object:
                wanted = np.array([compiled.labels[spec.name].index(text) for text in wanted])
            np.testing.assert_allclose(got.reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-6)


def test_nodes_that_test_membership():
    rng = np.random.default_rng(3)
    sets = np.array([0, 2, 3, np.nan, 1, 40, np.nan], np.float32)
    node = helper.make_node(
        "TreeEnsemble", ["x"], ["scores"], domain="ai.onnx.ml", n_targets=1, tree_roots=[0],
        nodes_modes=numpy_helper.from_array(np.array([6, 6, 0], np.uint8)), nodes_featureids=[0, 1, 2],
        nodes_truenodeids=[1, 0, 2], nodes_trueleafs=[0, 1, 1], nodes_falsenodeids=[2, 1, 3],
        nodes_falseleafs=[0, 1, 1], leaf_targetids=[0] * 4, aggregate_function=1, post_transform=0,
        nodes_splits=numpy_helper.from_array(np.array([0, 0, 0.5], np.float32)),
        leaf_weights=numpy_helper.from_array(rng.standard_normal(4).astype(np.float32)),
        membership_values=numpy_helper.from_array(sets),
    )  # fmt: skip
    data = model(node, version=5)
    # ONNX Runtime 1.32 takes 1.5 for 1 in sets of some numbers; the operator's text says that members are equal.
    x = rng.choice([0, 1, 2, 3, 4, 40, -1, 0.5, 1e9, np.nan], (200, FEATURES)).astype(np.float32)
    wanted = ort(data, x)[0]
    np.testing.assert_array_equal(neomlir.compile(data)(x), wanted)
    np.testing.assert_array_equal(neomlir.compile(data, pipeline="cpu-scalar")(x), wanted)
    bad = model(node, version=5).replace(
        sets[:1].tobytes() + sets[1:2].tobytes(), np.array([0.5, 2], np.float32).tobytes()
    )
    with pytest.raises(ImportFailure, match=r"node 0 tests for 0\.5"):
        imported(bad)


def test_chains_of_steps_and_linear_models():
    def ml(kind, given, made, **attributes):
        return helper.make_node(
            kind, [given] if isinstance(given, str) else given, made, domain="ai.onnx.ml", **attributes
        )

    scale = ml("Scaler", "x", ["s"], offset=[0.5, -1.0, 0.0, 2.0, 1.0], scale=[2.0, 0.5, 1.0, 3.0, 0.25])
    pick = ml("ArrayFeatureExtractor", ["s", "which"], ["p"])
    constants = [("which", np.array([3, 0, 3], np.int64))]
    weights = [float(v) for v in np.random.default_rng(0).standard_normal(9)]
    linear = ml("LinearRegressor", "p", ["scores"], coefficients=weights, intercepts=[1.0, 0.0, -1.0], targets=3)
    classes = ml(
        "LinearClassifier", "s", ["label", "q"], coefficients=[*weights, *weights[:6]], intercepts=[1.0, 0.0, 2.0],
        classlabels_ints=[4, 1, 9], post_transform="SOFTMAX",
    )  # fmt: skip
    total = ml("Normalizer", "q", ["scores"], norm="L1")
    x = rows(40, 6, missing=False)
    for data in (
        model(scale, pick, linear, constants=constants),
        model(scale, classes, total, outputs=("label", "scores")),
    ):
        for got, wanted in zip(neomlir.compile(data).run({"x": x}).values(), ort(data, x), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_norms_are_the_same_bits(norm):
    width = 21
    nodes = [
        helper.make_node("Normalizer", ["x"], ["n"], domain="ai.onnx.ml", norm=norm),
        helper.make_node(
            "LinearRegressor", ["n"], ["y"], domain="ai.onnx.ml", coefficients=np.eye(width).reshape(-1).tolist(),
            intercepts=[0.0] * width, targets=width,
        ),
    ]  # fmt: skip
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "norm", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    data = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    x = np.random.default_rng(0).standard_normal((200, width)).astype(np.float32)
    x[0], x[1, 3] = 0, -0.0
    np.testing.assert_array_equal(neomlir.compile(data)(x), ort(data, x)[0])


def test_tree_ensemble_of_version_5():
    rng = np.random.default_rng(7)
    # Two trees of three nodes and four leaves each.
    truth = {"nodes_truenodeids": [1, 0, 1, 4, 4, 5], "nodes_trueleafs": [0, 1, 1, 0, 1, 1]}
    false = {"nodes_falsenodeids": [2, 2, 3, 5, 6, 7], "nodes_falseleafs": [0, 1, 1, 0, 1, 1]}
    modes = numpy_helper.from_array(np.array([0, 1, 2, 3, 4, 5], np.uint8))
    node = helper.make_node(
        "TreeEnsemble", ["x"], ["scores"], domain="ai.onnx.ml", n_targets=2, tree_roots=[0, 3], nodes_modes=modes,
        nodes_featureids=[0, 1, 2, 3, 4, 0], leaf_targetids=[0, 1, 0, 1, 1, 0, 1, 0], aggregate_function=1,
        nodes_splits=numpy_helper.from_array(np.array([0.5, 0, -0.5, 0.5, 1, 0], np.float32)),
        leaf_weights=numpy_helper.from_array(rng.standard_normal(8).astype(np.float32)), **truth, **false,
    )  # fmt: skip
    data, x = model(node, version=5), rows(80, 8, missing=False)
    np.testing.assert_allclose(neomlir.compile(data)(x), ort(data, x)[0], rtol=1e-6, atol=1e-6)


def test_what_is_not_read_is_said():
    good = trees("TreeEnsembleRegressor", 0)
    circle = trees("TreeEnsembleRegressor", 1)
    for attribute in circle.attribute:
        if attribute.name == "nodes_truenodeids":
            attribute.ints[1] = 0
        if attribute.name == "nodes_modes":
            attribute.strings[1] = b"BRANCH_LT"
    absent = trees("TreeEnsembleRegressor", 1)
    for attribute in absent.attribute:
        if attribute.name == "nodes_falsenodeids":
            attribute.ints[0] = 99
    unknown = helper.make_node("OneHotEncoder", ["x"], ["r"], domain="ai.onnx.ml", cats_strings=["a"])
    sqrt = helper.make_node("Sqrt", ["x"], ["r"])
    after = trees("TreeEnsembleRegressor", 0)
    after.input[0] = "r"
    for nodes, message in (
        ([circle], "tree 0, node 0: it is reached in two ways"),
        ([absent], "tree 0 has no node 99"),
        ([sqrt, after], "Sqrt is not read here"),
        ([trees("TreeEnsembleRegressor", 0, aggregate_function="MODE")], "combined by 'MODE'"),
        ([trees("TreeEnsembleRegressor", 0, aggregate_function="MAX", base_values=[1.0])], "beside the MAX"),
        ([unknown, after], "categories are strings"),
    ):
        with pytest.raises(ImportFailure, match=message):
            imported(model(*nodes))
    assert imported(model(good)) is not None


def test_any_damage_to_numbers_is_an_import_failure_or_harmless():
    rng = np.random.default_rng(0)
    for number in range(80):
        node = trees("TreeEnsembleRegressor", 2, count=2, depth=3)
        attributes = [a for a in node.attribute if a.ints]
        chosen = attributes[number % len(attributes)]
        if number % 4:
            chosen.ints[rng.integers(len(chosen.ints))] = int(rng.choice([-1, 0, 1, 3, 99, 2**40]))
        else:
            chosen.ints.pop()
        try:
            imported(model(node))
        except ImportFailure as error:
            assert "the model" in str(error)
