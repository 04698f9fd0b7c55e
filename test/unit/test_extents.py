"""Inputs whose dynamic extents contradict each other are refused, before anything is read behind their ends."""

import neomlir
import numpy as np
import pytest
from neomlir import ModelError

onnx = pytest.importorskip("onnx")
from onnx import helper, numpy_helper  # noqa: E402


@pytest.fixture(scope="module")
def model():
    """`(x + y) @ w`, whose inputs have dynamic extents of different names."""
    weight = np.arange(12, dtype=np.float32).reshape(4, 3)
    nodes = [helper.make_node("Add", ["x", "y"], ["s"]), helper.make_node("MatMul", ["s", "w"], ["z"])]
    values = [helper.make_tensor_value_info(n, 1, s) for n, s in (("x", ["n", "k"]), ("y", ["m", "k"]), ("z", None))]
    graph = helper.make_graph(nodes, "g", values[:2], values[2:], [numpy_helper.from_array(weight, "w")])
    source = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return neomlir.compile(source), weight


@pytest.mark.parametrize("rows", [0, 1, 3, 70])
def test_extents_that_agree(model, rows):
    compiled, weight = model
    x, y = (np.random.default_rng(seed).standard_normal((rows, 4)).astype(np.float32) for seed in (0, 1))
    np.testing.assert_allclose(compiled(x, y), (x + y) @ weight, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("x", "y"), [((3, 4), (2, 4)), ((2, 4), (3, 4)), ((1, 4), (3, 4)), ((3, 5), (3, 5))])
def test_extents_that_do_not(model, x, y):
    with pytest.raises(ModelError, match=r"contradicts another; the inputs were x: \(\d, \d\), y: \(\d, \d\)"):
        model[0](np.zeros(x, np.float32), np.zeros(y, np.float32))
