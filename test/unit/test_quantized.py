"""Quantised ONNX operators against ONNX Runtime, which computes them as they are written, on fresh random inputs."""

import neomlir
import numpy as np
import pytest
from neomlir import peers
from neomlir.errors import ImportFailure

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

RNG = np.random.default_rng(3)
F32, U8, I8 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8


def value(name, kind, *shape):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs, outputs, arrays):
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    made.ir_version = 9
    return made.SerializeToString()


def weights(*shape):
    return RNG.integers(-127, 128, shape).astype(np.int8)


def draw(spec):
    shape = tuple(spec.shape)
    if str(spec.dtype) == "float32":
        return RNG.standard_normal(shape).astype(np.float32)
    kind = np.iinfo(str(spec.dtype))
    return RNG.integers(kind.min, kind.max + 1, shape).astype(str(spec.dtype))


def compare(source, quantum=1.0, most=0.0, folded=True):
    """The largest distance from ONNX Runtime in units of `quantum` is at most `most`."""
    if folded:
        text = neomlir.compile(source, stop_at="global", isolate=False)
        main = text[text.index("func.func @main") :]
        assert "arith.mulf" not in main or "arith.muli" in main
        assert "arith.muli" in main
    compiled = neomlir.compile(source, isolate=False, jobs=1)
    written = peers.reference(source, {})
    for _ in range(2):
        inputs = {spec.name: draw(spec) for spec in compiled.inputs}
        for got, reference in zip(compiled.run(inputs).values(), written(inputs), strict=True):
            assert np.abs(got.astype(np.float64) - reference).max() <= most * quantum
            assert np.abs(reference.astype(np.float64)).max() > 0


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def qdq(name, made):
    return [
        node("QuantizeLinear", f"{name} {made}_s {made}_z", f"{made}_q"),
        node("DequantizeLinear", f"{made}_q {made}_s {made}_z", made),
    ]


def point(name, scale, zero, kind):
    return {f"{name}_s": np.float32(scale), f"{name}_z": kind(zero)}


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_a_convolution_with_bias_and_residual(kind, groups):
    half = 128 if kind is np.uint8 else 0
    source = model(
        [
            *qdq("x", "a"),
            node("DequantizeLinear", "w w_s w_z", "wf", axis=0),
            node("DequantizeLinear", "b b_s b_z", "bf", axis=0),
            node("Conv", "a wf bf", "c", pads=[1, 1, 1, 1], group=groups),
            *qdq("c", "d"),
            node("Add", "d a", "e"),
            node("Relu", "e", "f"),
            *qdq("f", "y"),
        ],
        [value("x", F32, 1, 6, 9, 7)],
        [value("y", F32, 1, 6, 9, 7)],
        {
            **point("a", 0.03, half + 5, kind),
            **point("d", 0.4, half - 20, kind),
            **point("y", 0.2, half - 128, kind),
            "w": weights(6, 6 // groups, 3, 3),
            "w_s": np.linspace(0.01, 0.02, 6).astype(np.float32),
            "w_z": np.zeros(6, np.int8),
            "b": np.arange(-3, 3).astype(np.int32) * 1000,
            "b_s": np.linspace(0.01, 0.02, 6).astype(np.float32) * np.float32(0.03),
            "b_z": np.zeros(6, np.int32),
        },
    )
    # A rounding of the convolution the other way moves the sum by two quanta of the result.
    compare(source, 0.2, 2.01)


def test_the_reference_of_a_quantised_model_does_not_saturate():
    # Sums of two such products do not fit 16 bits, in which ONNX Runtime adds them on x86 without VNNI.
    source = model(
        [
            *qdq("x", "a"),
            node("DequantizeLinear", "w w_s w_z", "wf"),
            node("MatMul", "a wf", "m"),
            *qdq("m", "y"),
        ],
        [value("x", F32, 3, 64)],
        [value("y", F32, 3, 40)],
        {
            **point("a", 1, 0, np.uint8),
            "w": np.full((64, 40), 127, np.int8),
            **point("w", 1, 0, np.int8),
            **point("y", 10000, 0, np.uint8),
        },
    )
    x = {"x": np.full((3, 64), 255, np.float32)}
    exact = np.float32(round(64 * 255 * 127 / 10000) * 10000)
    (reference,) = peers.reference(source, x)(x)
    assert np.all(reference == exact)
    assert np.all(neomlir.compile(source, isolate=False, jobs=1).run(x)["y"] == exact)


def test_a_weight_of_a_linear_layer_without_zero_points():
    arrays = {
        **point("a", 0.03, -3, np.int8),
        "w": weights(20, 33),
        "w_s": np.linspace(0.01, 0.02, 20).astype(np.float32),
    }
    nodes = [
        *qdq("x", "a"),
        node("DequantizeLinear", "w w_s", "wf", axis=0),
        node("Transpose", "wf", "wt"),
        node("MatMul", "a wt", "y"),
    ]
    compare(model(nodes, [value("x", F32, 5, 33)], [value("y", F32, 5, 20)], arrays), 1e-4, 1.0)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("known", [True, False])
def test_a_zero_point_a_channel_of_the_weight(kind, known):
    """As `quantize_static` makes them of MatMul and Gemm with `per_channel` and weights that are not symmetric."""
    limits = np.iinfo(kind)
    arrays = {
        **point("a", 0.02, 120, np.uint8),
        "w": RNG.integers(limits.min, limits.max + 1, (20, 30)).astype(kind),
        "w_s": RNG.uniform(0.005, 0.02, 30).astype(np.float32),
        "w_z": RNG.integers(limits.max - 60, limits.max, 30).astype(kind),
        **point("y", 0.3, 128, np.uint8),
    }
    inputs = [value("x", F32, 4, 20)]
    if not known:
        del arrays["w"]
        inputs.append(value("w", helper.np_dtype_to_tensor_dtype(np.dtype(kind)), 20, 30))
    nodes = [
        *qdq("x", "a"),
        node("DequantizeLinear", "w w_s w_z", "wf", axis=-1 if known else 1),
        node("MatMul", "a wf", "f"),
        *qdq("f", "y"),
    ]
    compare(model(nodes, inputs, [value("y", F32, 4, 30)], arrays), 0.3, 1.01, folded=known)


@pytest.mark.parametrize(("channels", "integers"), [(4, True), (2, False)])
def test_a_zero_point_a_channel_of_a_convolution_in_groups(channels, integers):
    """Of groups of two channels most products would be with the zeros that make them four."""
    arrays = {
        **point("a", 0.02, 120, np.uint8),
        **point("y", 0.3, 100, np.uint8),
        "w": weights(9, channels, 3, 3),
        "w_s": np.linspace(0.01, 0.02, 9).astype(np.float32),
        "w_z": np.arange(-4, 5).astype(np.int8),
    }
    nodes = [
        *qdq("x", "a"),
        node("DequantizeLinear", "w w_s w_z", "wf", axis=0),
        node("Conv", "a wf", "c", group=3),
        *qdq("c", "y"),
    ]
    source = model(nodes, [value("x", F32, 1, 3 * channels, 8, 9)], [value("y", F32, 1, 9, 6, 7)], arrays)
    compare(source, 0.3, 1.01, folded=integers)
    text = neomlir.compile(source, stop_at="global", isolate=False)
    assert ("arith.muli" in text[text.index("func.func @main") :]) == integers


def test_weights_that_the_file_holds_as_floats():
    """`AddQDQPairToWeight` leaves the quantiser of a weight in the file; here with a scale a channel and no zeros."""
    arrays = {
        **point("a", 0.02, 120, np.uint8),
        "w": RNG.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "w_s": np.linspace(0.01, 0.02, 4).astype(np.float32),
        "w_z": np.zeros(4, np.int8),
        "y_s": np.float32(0.1),
    }
    nodes = [
        *qdq("x", "a"),
        node("QuantizeLinear", "w w_s w_z", "wq", axis=0),
        node("DequantizeLinear", "wq w_s w_z", "wf", axis=0),
        node("Conv", "a wf", "f", pads=[1, 1, 1, 1]),
        node("QuantizeLinear", "f y_s", "yq"),
        node("DequantizeLinear", "yq y_s", "y"),
    ]
    compare(model(nodes, [value("x", F32, 1, 3, 8, 8)], [value("y", F32, 1, 4, 8, 8)], arrays), 0.1, 1.01)


def test_newer_ways_to_quantise():
    """The type of the result as an attribute, and a scale for each block of a weight (opset 21)."""
    arrays = {
        "s": np.float32(0.02),
        "w": RNG.integers(0, 256, (10, 6)).astype(np.uint8),
        "w_s": RNG.uniform(0.01, 0.05, (3, 6)).astype(np.float32),
        "w_z": RNG.integers(0, 256, (3, 6)).astype(np.uint8),
    }
    nodes = [
        node("QuantizeLinear", "x s", "q", output_dtype=I8),
        node("DequantizeLinear", "q s", "a"),
        node("DequantizeLinear", "w w_s w_z", "wf", axis=0, block_size=4),
        node("MatMul", "a wf", "y"),
    ]
    source = onnx.load_from_string(model(nodes, [value("x", F32, 5, 10)], [value("y", F32, 5, 6)], arrays))
    source.opset_import[0].version, source.ir_version = 21, 10
    compare(source.SerializeToString(), 1e-4, 1.0, folded=False)


def test_qlinear_conv():
    arrays = {
        "w": weights(4, 3, 3, 3),
        "ws": np.linspace(0.01, 0.02, 4).astype(np.float32),
        "wz": np.zeros(4, np.int8),
        "b": np.arange(4).astype(np.int32) * 1000,
        "xs": np.float32(0.1),
        "xz": np.uint8(3),
        "ys": np.float32(2),
        "yz": np.uint8(128),
    }
    made = node("QLinearConv", "x xs xz w ws wz ys yz b", "y", pads=[1, 1, 1, 1], strides=[2, 2])
    compare(model([made], [value("x", U8, 1, 3, 8, 8)], [value("y", U8, 1, 4, 4, 4)], arrays), 1, 1)


@pytest.mark.parametrize("constant", [True, False])
def test_qlinear_matmul_with_two_zero_points(constant):
    arrays = {
        "xs": np.float32(0.1),
        "xz": np.uint8(3),
        "ws": np.float32(0.02),
        "wz": np.uint8(131),
        "ys": np.float32(5),
        "yz": np.uint8(128),
    }
    inputs = [value("x", U8, 2, 5, 32)]
    if constant:
        arrays["w"] = RNG.integers(0, 256, (32, 7)).astype(np.uint8)
    else:
        inputs.append(value("w", U8, 2, 32, 7))
    made = node("QLinearMatMul", "x xs xz w ws wz ys yz", "y")
    compare(model([made], inputs, [value("y", U8, 2, 5, 7)], arrays), 1, 1)


def own(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs.split(), [output], domain="com.microsoft", **attributes)


def test_operators_of_onnxruntime_alone():
    """What `quantize_static` with `QuantFormat.QOperator` writes beside QLinearConv and QLinearMatMul."""
    step = {"as": np.float32(0.1), "az": np.uint8(120), "bs": np.float32(0.02), "bz": np.uint8(30)}
    arrays = {
        **step,
        "w": weights(7, 6),
        "ws": np.linspace(0.01, 0.02, 7).astype(np.float32),
        "wz": np.zeros(7, np.int8),
        # Weights of its own: where operators share them, ONNX Runtime's sums may saturate (see `peers`).
        "v": weights(7, 6),
        "vs": np.linspace(0.01, 0.02, 7).astype(np.float32),
        "vz": np.zeros(7, np.int8),
        "c": np.arange(7, dtype=np.int32) * 300,
        "ps": np.float32(1 / 256),
        "pz": np.uint8(0),
    }
    nodes = [
        own("QuantizeLinear", "x as az", "q"),
        own("QLinearAdd", "q as az q as az bs bz", "sum"),
        own("QLinearMul", "sum bs bz q as az as az", "product"),
        own("QLinearSigmoid", "product as az ps pz", "gate"),
        own("QLinearConcat", "bs bz gate ps pz product as az", "both", axis=1),
        own("QLinearLeakyRelu", "both bs bz bs bz", "leaky", alpha=0.2),
        own("QLinearAveragePool", "leaky bs bz bs bz", "pooled", kernel_shape=[2, 2], strides=[2, 2]),
        own("QLinearWhere", "mask pooled bs bz pooled bs bz bs bz", "chosen"),
        own("QLinearGlobalAveragePool", "chosen bs bz bs bz", "mean"),
        node("Flatten", "mean", "flat"),
        own("QGemm", "flat bs bz w ws wz c bs bz", "out", transB=1, alpha=2.0),
        own("QLinearSoftmax", "out bs bz ps pz", "soft", axis=-1, opset=13),
        own("DequantizeLinear", "soft ps pz", "y"),
        own("QGemm", "flat bs bz v vs vz", "z", transB=1),
    ]
    inputs = [value("x", F32, 2, 3, 4, 6), value("mask", TensorProto.BOOL, 2, 1, 1, 1)]
    source = onnx.load_from_string(model(nodes, inputs, [value("y", F32, 2, 7), value("z", F32, 2, 7)], arrays))
    source.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    data = source.SerializeToString()
    compiled = neomlir.compile(data, jobs=1)
    batch = {"x": draw(compiled.inputs[0]) * 4, "mask": np.array([True, False]).reshape(2, 1, 1, 1)}
    written = peers.reference(data, batch)(batch)
    for got, wanted, steps in zip(compiled.run(batch).values(), written, (1 / 256, 0.02), strict=True):
        assert np.abs(got - wanted).max() <= 3.01 * steps
        assert np.ptp(wanted) > 10 * steps


def test_integer_products_are_exact():
    arrays = {"w": weights(600, 7), "xz": np.uint8(3), "wz": np.int8(2)}
    made = node("MatMulInteger", "x w xz wz", "y")
    compare(model([made], [value("x", U8, 4, 600)], [value("y", TensorProto.INT32, 4, 7)], arrays))
    arrays = {"w": weights(4, 3, 3, 3), "xz": np.uint8(200)}
    made = node("ConvInteger", "x w xz", "y", pads=[1, 1, 1, 1])
    source = model([made], [value("x", U8, 1, 3, 8, 8)], [value("y", TensorProto.INT32, 1, 4, 8, 8)], arrays)
    compare(source)


def test_dynamic_quantisation():
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        node("MatMulInteger", "q w z", "i"),
        node("Cast", "i", "f", to=F32),
        node("Mul", "f s", "y"),
    ]
    compare(model(nodes, [value("x", F32, 4, 32)], [value("y", F32, 4, 16)], {"w": weights(32, 16)}), 1e-3, 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"w_s": np.array([0.1, 0.0, 0.1], np.float32)},
            "holds 0 at position 1; a scale must be finite and above zero",
        ),
        ({"w_s": np.array([0.1, 0.1, np.nan], np.float32)}, "holds nan at position 2"),
        ({"w_s": np.full(4, 0.1, np.float32)}, "4 scales and 3 zero points"),
        (
            {"w_s": np.full(4, 0.1, np.float32), "w_z": np.zeros(4, np.int8)},
            "4 scales along axis 0 of 'w', whose extent",
        ),
        ({"axis": 2}, "axis 2 is none of 'w', which has 2 dimensions"),
    ],
)
def test_a_bad_scale_is_refused(change, message):
    arrays = {"w": weights(3, 5), "w_s": np.full(3, 0.1, np.float32), "w_z": np.zeros(3, np.int8), **change}
    axis = arrays.pop("axis", 0)
    nodes = [node("DequantizeLinear", "w w_s w_z", "wf", axis=axis), node("MatMul", "x wf", "y")]
    source = model(nodes, [value("x", F32, 2, 3)], [value("y", F32, 2, 5)], arrays)
    with pytest.raises(ImportFailure, match=message):
        neomlir.compile(source, stop_at="input", isolate=False)


def packed(depth, columns, block, zeros):
    """A MatMulNBits of 4 bits as a model: symmetric, or with a zero point a block."""
    q = RNG.integers(0, 16, (columns, depth // block, block)).astype(np.uint8)
    q[..., 0] = 0  # the largest magnitude of each symmetric block
    arrays = {"w": q[..., ::2] | q[..., 1::2] << 4, "s": RNG.random(columns * depth // block).astype(np.float32) + 0.1}
    if zeros:
        z = RNG.integers(0, 16, (columns, depth // block)).astype(np.uint8)
        arrays["z"] = (z[:, ::2] | z[:, 1::2] << 4).reshape(-1)
    made = node(
        "MatMulNBits",
        "x w s z" if zeros else "x w s",
        "y",
        domain="com.microsoft",
        K=depth,
        N=columns,
        bits=4,
        block_size=block,
    )
    source = model([made], [value("x", F32, 3, depth)], [value("y", F32, 3, columns)], arrays)
    with_domain = onnx.load_from_string(source)
    with_domain.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return with_domain


@pytest.mark.parametrize(("zeros", "weights"), [(True, "fp32"), (False, "int4:32")])
def test_products_with_packed_weights(zeros, weights):
    source = packed(128, 20, 32, zeros).SerializeToString()
    compiled = neomlir.compile(source, weights=weights, isolate=False, jobs=1)
    (agreement,) = neomlir.check(source, compiled)
    assert agreement.error < 1e-6
    assert (compiled.report["weight_bytes"] < 128 * 64) == (weights != "fp32")


def test_packed_weights_that_contradict_themselves():
    source = packed(128, 20, 32, False)
    source.graph.node[0].attribute[1].i = 24
    with pytest.raises(
        ImportFailure, match="1280 bytes and 80 scales are not what K=128, N=24, block_size=32 and 4 bits"
    ):
        neomlir.compile(source, stop_at="input", isolate=False)
