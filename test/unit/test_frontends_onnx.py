"""ONNX models at the input and linalg levels: right results, shapes as asked for, weights beside the program."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from execute import run  # noqa: E402
from neomlir.errors import ImportFailure  # noqa: E402
from neomlir.frontends import import_model  # noqa: E402
from neomlir.frontends.unsupported import explain_reproducer  # noqa: E402
from neomlir.pipeline_run import reproducer_text  # noqa: E402
from onnx import helper  # noqa: E402

F32, I64 = 1, 7
RANDOM = np.random.default_rng(0)


def value(name, shape, dtype=F32):
    return helper.make_tensor_value_info(name, dtype, shape)


def tensor(name, array):
    return onnx.numpy_helper.from_array(np.asarray(array), name)


def normal(*shape):
    return RANDOM.standard_normal(shape, np.float32)


def model(nodes, inputs, outputs, initializers=(), opset=18, **options):
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **options)


def agree(made, feeds, inputs=None):
    """The imported program gives what ONNX Runtime gives; the import is returned."""
    imported = import_model(made, inputs)
    imported.lower()
    source = made if isinstance(made, str) else made.SerializeToString()
    expected = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"]).run(None, feeds)
    outputs = run(imported.module, [feeds[spec.name] for spec in imported.inputs], imported.weights)
    for got, wanted in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=1e-5)
    return imported


def norm(opset=18, group=1, transposed=False, epsilon=1e-3):
    kind = "ConvTranspose" if transposed else "Conv"
    nodes = [
        helper.make_node(kind, ["x", "w", "b"], ["c"], group=group, kernel_shape=[3, 3]),
        helper.make_node("BatchNormalization", ["c", "s", "t", "m", "v"], ["n"], epsilon=epsilon),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    shape = (4, 6, 3, 3) if transposed else (6, 4 // group, 3, 3)
    weights = [tensor("w", normal(*shape)), tensor("b", normal(6)), tensor("s", normal(6)), tensor("t", normal(6))]
    weights += [tensor("m", normal(6)), tensor("v", np.abs(normal(6)) + 0.1)]
    return model(nodes, [value("x", (1, 4, 7, 7))], [value("y", None)], weights, opset)


@pytest.mark.parametrize("options", [{}, {"group": 2}, {"transposed": True}, {"opset": 9}, {"opset": 13}])
def test_batch_norm_is_folded(options):
    imported = agree(norm(**options), {"x": normal(1, 4, 7, 7)})
    assert "sqrt" not in str(imported.module) and "rsqrt" not in str(imported.module)
    assert all("n." in name for name in imported.weights)


def test_weights_are_globals():
    made = model([helper.make_node("MatMul", ["x", "w"], ["y"])], [value("x", (2, 8))], [value("y", None)])
    made.graph.initializer.append(tensor("w", normal(8, 8)))
    imported = agree(made, {"x": normal(2, 8)})
    assert set(imported.weights) == {"w"} and "ml_program.global private @w" in str(imported.module)
    assert "dense<[" not in str(imported.module)


@pytest.mark.parametrize("name", ["main", "initialize", "x", "a/b:0", "ä", "w w", '"'])
def test_weights_of_any_name(name):
    made = model([helper.make_node("MatMul", ["x" if name != "x" else "z", name], ["y"])], [], [value("y", None)])
    made.graph.input.append(value("x" if name != "x" else "z", (2, 8)))
    made.graph.initializer.append(tensor(name, normal(8, 8)))
    agree(made, {made.graph.input[0].name: normal(2, 8)})


def test_constant_nodes_are_weights_too():
    nodes = [
        helper.make_node("Constant", [], ["w"], value=tensor("w", normal(8, 8))),
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Mul", ["z", "two"], ["y"]),
    ]
    made = model(nodes, [value("x", (2, 8))], [value("y", None)])
    assert set(agree(made, {"x": normal(2, 8)}).weights) == {"w"}


def test_external_data(tmp_path):
    made = model([helper.make_node("MatMul", ["x", "w"], ["y"])], [value("x", (2, 8))], [value("y", None)])
    made.graph.initializer.append(tensor("w", normal(8, 8)))
    path = str(tmp_path / "m.onnx")
    onnx.save_model(made, path, save_as_external_data=True, size_threshold=0, location="m.bin")
    assert isinstance(agree(path, {"x": normal(2, 8)}).weights["w"].base, np.memmap | np.ndarray)


def shape_arithmetic():
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
    ]
    weights = [tensor("zero", np.int64(0)), tensor("axes", np.array([0])), tensor("rest", np.array([-1]))]
    return model(nodes, [value("x", ("batch", 3, "height"))], [value("y", None)], weights)


def test_shape_arithmetic_is_evaluated():
    imported = agree(shape_arithmetic(), {"x": normal(2, 3, 5)}, {"x": (2, 3, 5)})
    assert imported.outputs[0].shape == (2, 15)
    assert "tensor.dim" not in str(imported.module)


@pytest.mark.parametrize("inputs", [None, {"batch": 2}, {"x": (None, 3, 5)}, [(2, None, None)]])
def test_dynamic_extents(inputs):
    imported = agree(shape_arithmetic(), {"x": normal(2, 3, 5)}, inputs)
    assert None in imported.inputs[0].shape and len(imported.outputs[0].shape) == 2


@pytest.mark.parametrize("inputs", [{"x": (2, 3, 5)}, [(2, 3, 5)], (2, 3, 5), {"x": np.zeros((2, 3, 5), np.float32)}])
def test_shapes_are_given_in_many_ways(inputs):
    assert import_model(shape_arithmetic(), inputs).inputs[0].shape == (2, 3, 5)


@pytest.mark.parametrize("opset", [7, 8, 9, 11, 12, 13, 17, 18, 19, 21])
def test_opsets(opset):
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["g"], transB=1), helper.make_node("Relu", ["g"], ["y"])]
    weights = [tensor("w", normal(5, 8)), tensor("b", normal(5))]
    agree(model(nodes, [value("x", (2, 8))], [value("y", None)], weights, opset), {"x": normal(2, 8)})


def test_old_upsampling():
    node = helper.make_node("Upsample", ["x", "scales"], ["y"], mode="nearest")
    weights = [tensor("scales", np.array([1, 1, 2, 2], np.float32))]
    agree(model([node], [value("x", (1, 2, 3, 3))], [value("y", None)], weights, 9), {"x": normal(1, 2, 3, 3)})


def test_integer_tables():
    node = helper.make_node("Gather", ["table", "i"], ["y"])
    made = model([node], [value("i", (3,), I64)], [value("y", None, I64)], [tensor("table", np.arange(40) ** 2)])
    imported = agree(made, {"i": np.array([1, 39, 0])})
    assert imported.outputs == [("y", "int64", (3,))] and set(imported.weights) == {"table"}


def test_unnamed_nodes_and_inputs_that_are_weights():
    made = model([helper.make_node("MatMul", ["x", "w"], ["y"])], [value("x", (2, 8))], [value("y", None)])
    made.graph.input.append(value("w", (8, 8)))
    made.graph.initializer.append(tensor("w", normal(8, 8)))
    assert [spec.name for spec in agree(made, {"x": normal(2, 8)}).inputs] == ["x"]


@pytest.mark.parametrize(
    "opset,operator,shapes,attributes",
    [
        (21, "GroupNormalization", [(1, 4, 3, 3), (4,), (4,)], {"num_groups": 2}),
        (23, "RMSNormalization", [(2, 6, 8), (8,)], {}),
        (23, "Attention", [(1, 2, 6, 8), (1, 2, 6, 8), (1, 2, 6, 8)], {}),
        (13, "SpaceToDepth", [(1, 2, 4, 4)], {"blocksize": 2}),
    ],
)
def test_operators_that_are_expanded(opset, operator, shapes, attributes):
    names = "abc"[: len(shapes)]
    node = helper.make_node(operator, list(names), ["y"], **attributes)
    inputs = [value(name, shape) for name, shape in zip(names, shapes, strict=True)]
    feeds = {name: normal(*shape) for name, shape in zip(names, shapes, strict=True)}
    agree(model([node], inputs, [value("y", None)], opset=opset), feeds)


def test_casts_to_the_type_of_another_value():
    node = helper.make_node("CastLike", ["x", "i"], ["y"])
    made = model([node], [value("x", (4,)), value("i", (1,), I64)], [value("y", None, I64)])
    assert agree(made, {"x": normal(4) * 9, "i": np.array([1])}).outputs[0].dtype == "int64"


@pytest.mark.parametrize(
    ("shape", "k", "axis", "largest"),
    [((5, 40), 7, -1, 1), ((3, 20, 4), 20, 1, 0), ((6,), 2, 0, 1), ((None, 30), 4, 1, 1), ((2, None), 3, -1, 1)],
)
@pytest.mark.parametrize("opset", [11, 21])
def test_the_greatest(shape, k, axis, largest, opset):
    node = helper.make_node("TopK", ["x", "k"], ["values", "indices"], axis=axis, largest=largest)
    outputs = [value("values", None), value("indices", None, I64)]
    made = model([node], [value("x", shape)], outputs, [tensor("k", np.array([k]))], opset)
    x = RANDOM.integers(0, 8, [extent or 9 for extent in shape]).astype(np.float32)
    x.flat[:2] = np.inf, -np.inf
    agree(made, {"x": x})


@pytest.mark.parametrize("mask", [[[False, True], [False, False]], [[True, False, True]] * 3])
def test_boolean_constants(mask):
    mask = np.array(mask)
    nodes = [helper.make_node("Where", ["mask", "x", "zero"], ["y"])]
    constants = [tensor("mask", mask), tensor("zero", np.zeros(1, np.float32))]
    agree(model(nodes, [value("x", mask.shape)], [value("y", None)], constants), {"x": normal(*mask.shape)})


def hopeless():
    nodes = [
        helper.make_node("RoiAlign", ["x", "rois", "which"], ["a"], name="roi/align_0"),
        helper.make_node("Relu", ["x"], ["r"], name="fine"),
        helper.make_node("RoiAlign", ["r", "rois", "which"], ["b"], name="roi/align_1"),
        helper.make_node("Unique", ["r"], ["u"], name="uniq"),
    ]
    inputs = [value("x", (1, 3, 8, 8)), value("rois", (2, 4)), value("which", (2,), I64)]
    return model(nodes, inputs, [value("a", None), value("b", None), value("u", None)])


def test_operators_that_kill_the_importer_are_listed(tmp_path):
    imported = import_model(hopeless())
    path = tmp_path / "reproducer.mlir"
    path.write_text(reproducer_text(imported.module.operation.get_asm(enable_debug_info=True), imported.pipeline))
    text = str(explain_reproducer(path, "det.onnx"))
    assert text.splitlines()[:3] == [
        "2 operators of det.onnx have no lowering",
        "  RoiAlign  2 nodes  'roi/align_0', 'roi/align_1'",
        "  Unique    1 node   'uniq'",
    ]


def test_operators_without_a_lowering_are_listed():
    made = hopeless()
    del made.graph.node[-1]
    del made.graph.output[-1]
    with pytest.raises(ImportFailure, match="RoiAlign  2 nodes"):
        import_model(made).lower()


def test_operators_that_draw_random_numbers_are_listed():
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="fine"),
        helper.make_node("Bernoulli", ["r"], ["b"], name="coin"),
        helper.make_node("RandomNormalLike", ["b"], ["y"], name="noise"),
    ]
    with pytest.raises(ImportFailure, match="2 operators of the model") as raised:
        import_model(model(nodes, [value("x", (4,))], [value("y", (4,))])).lower()
    assert raised.value.missing == [("Bernoulli", ["coin"]), ("RandomNormalLike", ["noise"])]


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 4)])
def test_determinants(shape):
    """Loops over slices, and a product that leaves its one element as a tensor without dimensions."""
    agree(
        model([helper.make_node("Det", ["x"], ["y"])], [value("x", shape)], [value("y", None)]), {"x": normal(*shape)}
    )
