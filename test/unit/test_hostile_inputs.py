"""Values that would end a process in C: they give some result, and the next call still works."""

import neomlir
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import helper  # noqa: E402

SMALLEST = np.iinfo(np.int64).min


def compiled(node, inputs, outputs, pipeline):
    values = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs]
    made = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs]
    graph = helper.make_graph([node], "g", values, made)
    source = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return neomlir.compile(source, pipeline=pipeline)


@pytest.mark.parametrize("pipeline", ["cpu", "cpu-affine", "cpu-scalar"])
def test_integer_division(pipeline):
    node = helper.make_node("Div", ["x", "y"], ["z"])
    model = compiled(node, [("x", 7, [9]), ("y", 7, [9])], [("z", 7, [9])], pipeline)
    x = np.array([7, SMALLEST, -8, 9, 0, SMALLEST, 5, -7, 100])
    y = np.array([0, -1, 2, -3, 0, 0, 1, -1, 7])
    assert model(x, y).tolist() == [0, SMALLEST, -4, -3, 0, 0, 5, 7, 14]


@pytest.mark.parametrize("pipeline", ["cpu", "cpu-affine", "cpu-scalar"])
def test_indices_out_of_range(pipeline):
    node = helper.make_node("Gather", ["x", "i"], ["z"])
    model = compiled(node, [("x", 1, [5, 7]), ("i", 7, [6])], [("z", 1, [6, 7])], pipeline)
    x = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    given, read = [3, -1, 2**40, -(2**40), 5, SMALLEST], [3, 4, 4, 0, 4, 0]
    assert np.array_equal(model(x, np.array(given)), x[read])
