"""Comparing a compiled model with its source: inputs that are valid, errors that are seen."""

from types import SimpleNamespace

import numpy as np
import pytest
from neomlir.checking import check, compare
from neomlir.errors import ModelError
from neomlir.samples import Sampler, onnx_bounds


def spec(name, dtype, *shape):
    return SimpleNamespace(name=name, dtype=dtype, shape=shape)


def test_compare_measures_the_relative_error():
    reference = np.array([[3.0, 4.0]], np.float32)
    assert compare("y", reference, reference) == ("y", 0.0, 1.0, 0.0, 0.0, 0.0, (0.0, 0.0), True)
    assert compare("y", np.array([[3.0, 4.5]], np.float32), reference).error == pytest.approx(0.1)
    assert compare("y", np.array([[3.0, 4.5]], np.float32), reference).distance == pytest.approx(0.5 / 2**0.5)


def test_compare_sees_another_argmax_and_forgives_ties():
    assert compare("y", np.array([[2.0, 1.0]]), np.array([[1.0, 2.0]])).argmax == 0.0
    assert compare("y", np.array([[1.00001, 1.0]]), np.array([[1.0, 1.00001]])).argmax == 1.0


def test_compare_sees_a_stray_nan_or_infinity():
    reference = np.array([1.0, np.nan, np.inf])
    assert compare("y", reference, reference).error == 0.0
    assert compare("y", np.array([np.nan, np.nan, np.inf]), reference).error == np.inf
    assert compare("y", np.array([1.0, np.nan, -np.inf]), reference).error == np.inf
    assert compare("y", np.array([1.0, 1.0, np.inf]), reference).error == np.inf


def test_compare_refuses_another_shape():
    with pytest.raises(ModelError, match="shape"):
        compare("y", np.zeros((2, 1)), np.zeros(2))


def test_inputs_suit_their_types():
    specs = [
        spec("ids", "int64", 2, 50),
        spec("attention_mask", "int64", 2, 50),
        spec("flag", "bool", 9),
        spec("x", "float32", 3),
        spec("t", "float32"),
    ]
    drawn = Sampler(specs, bounds={"ids": 5}).draw()
    assert [str(array.dtype) for array in drawn.values()] == ["int64", "int64", "bool", "float32", "float32"]
    assert [array.shape for array in drawn.values()] == [(2, 50), (2, 50), (9,), (3,), ()]
    assert set(np.unique(drawn["ids"])) == {0, 1, 2, 3, 4}
    assert set(np.unique(drawn["attention_mask"])) == {0, 1}
    assert (drawn["attention_mask"][:, 0] == 1).all()


def test_inputs_depend_on_seed_and_run_only():
    specs = [spec("x", "float32", None, 3, None)]
    first, again, other = Sampler(specs).draw(), Sampler(specs).draw(), Sampler(specs, seed=1).draw()
    assert np.array_equal(first["x"], again["x"])
    assert not np.array_equal(first["x"], other["x"])
    assert Sampler(specs).draw(1)["x"].shape != first["x"].shape


def test_sizes_fix_dynamic_dimensions_only():
    specs = [spec("x", "float32", None, 3)]
    assert Sampler(specs, sizes={"x": (7, 3)}).draw()["x"].shape == (7, 3)
    with pytest.raises(ModelError, match="can't be"):
        Sampler(specs, sizes={"x": (7, 4)})
    with pytest.raises(ModelError, match="no input 'y'"):
        Sampler(specs, sizes={"y": (7, 3)})


def test_index_bounds_come_from_the_table_behind_a_cast():
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["ids"], ["wide"], to=TensorProto.INT64),
            helper.make_node("Gather", ["table", "wide"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT32, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 2])],
        [helper.make_tensor("table", TensorProto.FLOAT, [11, 2], [0.0] * 22)],
    )
    assert onnx_bounds(onnx.load_from_string(helper.make_model(graph).SerializeToString())) == {"ids": 11}


def test_index_bounds_come_from_torch_embeddings():
    torch = pytest.importorskip("torch")
    from neomlir.samples import torch_bounds

    table = torch.nn.Embedding(7, 2)
    inputs = {"ids": np.zeros((2, 3), np.int64), "scale": np.zeros((2, 3, 2), np.float32)}
    assert torch_bounds(lambda tensors: table(tensors["ids"]) * tensors["scale"], inputs) == {"ids": 7}


def test_quantised_outputs_are_judged_in_quanta():
    reference = np.arange(100, dtype=np.float32) / 10
    off = reference.copy()
    off[3] += 0.3
    found = compare("y", off, reference, {"y": 0.1})
    assert found.within(1e-4, 1e-7)
    assert found.quantum == 0.1
    assert "3.0 quanta of 0.1 off (up to 4 may be rounding)" in str(found)
    off[3] += 0.2
    assert not compare("y", off, reference, {"y": 0.1}).within(1e-4, 1e-7)
    assert not compare("y", reference + 0.15, reference, {"y": 0.1}).within(1e-4, 1e-7)
    assert not compare("y", reference + 0.05, reference).within(1e-4, 1e-7)
    # What is computed in floating point behind has a step of a 255th of its range.
    assert compare("y", off, reference, {"y": None}).quantum == pytest.approx(9.9 / 255)
    assert not compare("y", np.full(100, np.nan), reference, {"y": 0.1}).within(1e-4, 1e-7)


def test_the_steps_of_a_models_outputs():
    onnx = pytest.importorskip("onnx")
    from neomlir.quanta import output_quanta
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Transpose", ["d"], ["y"]),
        helper.make_node("Exp", ["d"], ["e"]),
    ]
    outputs = [helper.make_tensor_value_info(n, k, [3]) for n, k in (("y", 1), ("e", 1), ("q", TensorProto.INT8))]
    arrays = [numpy_helper.from_array(a, n) for n, a in (("s", np.float32(0.25)), ("z", np.int8(3)))]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", 1, [3])], outputs, arrays)
    model = helper.make_model(graph)
    assert output_quanta(model) == {"y": 0.25, "e": None, "q": 1.0}
    assert output_quanta(model.SerializeToString()) == {"y": 0.25, "e": None, "q": 1.0}
    del graph.node[:2]
    assert onnx and output_quanta(helper.make_model(graph)) == {}
    assert output_quanta(object()) == {}


def test_a_tie_may_be_many_quanta_of_a_finer_scale():
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("QuantizeLinear", ["x", "coarse", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "coarse", "z"], ["d"]),
        helper.make_node("Neg", ["d"], ["n"]),
        helper.make_node("QuantizeLinear", ["n", "fine", "z"], ["p"]),
        helper.make_node("DequantizeLinear", ["p", "fine", "z"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, 1, [4, 50]) for name in "xy")
    points = {"coarse": np.float32(0.3), "fine": np.float32(0.03), "z": np.int8(0)}
    arrays = [numpy_helper.from_array(np.asarray(array), name) for name, array in points.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], arrays), opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())

    def judge(change):
        def run(inputs):
            result = session.run(None, inputs)[0]
            change(result)
            return {"y": result}

        compiled = SimpleNamespace(inputs=[spec("x", "float32", 4, 50)], run=run)
        [found] = check(model, compiled, runs=2)
        return found

    def add(where, by):
        def change(result):
            result[where] += by

        return change

    tie = judge(add((1, 3), 0.3))
    assert tie.within(1e-4, 1e-7)
    assert "10.0 quanta of 0.03 off (up to 10 may be rounding)" in str(tie)
    assert not judge(add((1, 3), 0.6)).within(1e-4, 1e-7)
    assert not judge(add(1, 0.3)).within(1e-4, 1e-7)
    assert not judge(add((), 0.06)).within(1e-4, 1e-7)
