"""ONNX files made to break a compiler: each gives an ImportFailure that says what is wrong, and nothing more."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
from neomlir.errors import ImportFailure
from neomlir.frontends import import_model

onnx = pytest.importorskip("onnx")
helper = pytest.importorskip("onnx.helper")
F32, I64 = 1, 7


def value(name, shape=(1, 4), dtype=F32):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs=None, outputs=None, initializers=(), opset=18, functions=(), **options):
    graph = helper.make_graph(nodes, "g", inputs or [value("x")], outputs or [value("y")], initializers)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=8, **options)


def relu(**options):
    return model([helper.make_node("Relu", ["x"], ["y"])], **options)


def refused(source, *words, inputs=None):
    with pytest.raises(ImportFailure) as caught:
        import_model(source, inputs)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def weight(name="w", shape=(4, 4)):
    return onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name)


def test_a_sound_model_is_read():
    assert import_model(relu()).inputs[0].shape == (1, 4)


@pytest.mark.parametrize("keep", [0, 1, 10, -1, -20])
def test_truncated(keep):
    data = model([helper.make_node("MatMul", ["x", "w"], ["y"])], initializers=[weight()]).SerializeToString()
    refused(data[:keep])


@pytest.mark.parametrize("data", [b"\x00" * 64, b"\xff" * 64, b"PK\x03\x04" + b"a" * 60, bytes(range(256)) * 8])
def test_garbage(data):
    refused(data)


def test_a_file_of_garbage(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"not a model at all")
    refused(tmp_path / "m.onnx", "m.onnx")


def test_a_missing_file(tmp_path):
    refused(tmp_path / "m.onnx", "no such file")


def test_a_folder(tmp_path):
    (tmp_path / "m.onnx").mkdir()
    refused(tmp_path / "m.onnx", "m.onnx")


def test_another_kind_of_file(tmp_path):
    (tmp_path / "m.txt").write_text("hello")
    refused(tmp_path / "m.txt", ".onnx")


def test_another_kind_of_object():
    refused(object(), "object")


def external(tmp_path, location="w.bin", size=64, **entries):
    """A model whose one weight, 4x4 f32, is external data."""
    tensor = onnx.TensorProto(name="w", data_type=F32, dims=[4, 4], data_location=onnx.TensorProto.EXTERNAL)
    for key, text in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(text))
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    if size is not None:
        (folder / "w.bin").write_bytes(bytes(size))
    made = model([helper.make_node("MatMul", ["x", "w"], ["y"])], initializers=[tensor])
    (folder / "m.onnx").write_bytes(made.SerializeToString())
    return folder / "m.onnx"


def test_external_data_is_mapped(tmp_path):
    imported = import_model(external(tmp_path, offset=0, length=64))
    assert imported.weights == {} or isinstance(imported.weights["w"], np.memmap)


@pytest.mark.parametrize(
    "location",
    ["../w.bin", "/etc/passwd", "a/../../w.bin", "", ".", "..", "C:\\w.bin", "..\\w.bin", "w\0.bin", "nothing.bin"],
)
def test_external_data_outside(tmp_path, location):
    (tmp_path / "w.bin").write_bytes(bytes(64))
    refused(external(tmp_path, location), "external data")


def test_external_data_through_a_symbolic_link(tmp_path):
    path = external(tmp_path, "link.bin")
    (tmp_path / "secret").write_bytes(bytes(64))
    os.symlink(tmp_path / "secret", path.parent / "link.bin")
    refused(path, "symbolic link")


def test_external_data_through_a_linked_folder(tmp_path):
    path = external(tmp_path, "sub/secret")
    (tmp_path / "secret").write_bytes(bytes(64))
    os.symlink(tmp_path, path.parent / "sub")
    refused(path, "symbolic link")


def test_external_data_with_a_hard_link(tmp_path):
    path = external(tmp_path)
    os.link(path.parent / "w.bin", tmp_path / "elsewhere")
    refused(path, "hard link")


def test_external_data_that_is_a_pipe(tmp_path):
    path = external(tmp_path, "pipe", size=None)
    os.mkfifo(path.parent / "pipe")
    refused(path, "not a file")


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": -1},
        {"offset": 10**17},
        {"offset": 10**40},
        {"offset": 4},
        {"length": -64},
        {"length": 10**17},
        {"length": 63},
        {"offset": "0x10"},
        {"offset": "nan"},
    ],
)
def test_external_data_of_a_lying_size(tmp_path, entries):
    refused(external(tmp_path, **entries), "'w'")


def test_external_data_of_bytes(tmp_path):
    refused(external(tmp_path).read_bytes(), "path")


def functions(count, last="Relu"):
    made = []
    for number in range(count):
        inner = helper.make_node(f"f{number + 1}" if number + 1 < count else last, ["a"], ["b"])
        if number + 1 < count or last != "Relu":
            inner.domain = "local"
        made.append(helper.make_function("local", f"f{number}", ["a"], ["b"], [inner], [helper.make_opsetid("", 18)]))
    return made


def call():
    return [helper.make_node("f0", ["x"], ["y"], domain="local")]


def test_functions_are_expanded():
    assert import_model(model(call(), functions=functions(3))).outputs[0].shape == (1, 4)


def test_functions_3000_deep():
    refused(model(call(), functions=functions(3000)), "deep")


def test_functions_that_call_themselves():
    refused(model(call(), functions=functions(1, last="f0")), "circle")


def test_functions_in_a_circle():
    refused(model(call(), functions=functions(5, last="f2")), "circle")


def test_a_circle():
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    refused(model(nodes, outputs=[value("b")]), "circle")


def test_a_node_that_reads_itself():
    refused(model([helper.make_node("Add", ["x", "y"], ["y"])]), "circle")


def test_unsorted_nodes_are_sorted():
    nodes = [helper.make_node("Relu", ["a"], ["y"]), helper.make_node("Neg", ["x"], ["a"])]
    assert import_model(model(nodes)).outputs[0].shape == (1, 4)


def test_a_name_that_nothing_makes():
    refused(model([helper.make_node("Add", ["x", "ghost"], ["y"])]), "ghost")


def test_an_output_that_nothing_makes():
    refused(model([helper.make_node("Relu", ["x"], ["z"])]), "'y'")


def test_a_name_made_twice():
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["y"])]
    refused(model(nodes), "twice")


def test_a_name_made_by_a_node_and_an_initializer():
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    refused(model(nodes, initializers=[weight("y", (1, 4))]), "twice")


def test_unknown_operators_are_all_listed():
    nodes = [
        helper.make_node("Foo", ["x"], ["a"], name="one"),
        helper.make_node("Foo", ["a"], ["b"], name="two"),
        helper.make_node("Bar", ["b"], ["y"], name="three", domain="com.example"),
    ]
    refused(model(nodes), "2 operators", "Foo", "2 nodes", "'one', 'two'", "com.example.Bar", "'three'")


@pytest.mark.parametrize(
    "shape",
    [(-5, 4), (2**62, 2**62), (2**40, 2**20), (0, 2**63 - 1, 2), (1 << 41,)],
    ids=lambda s: "x".join(map(str, s)),
)
def test_absurd_input_shapes(shape):
    refused(relu(inputs=[value("x", shape)], outputs=[value("y", None)]), "'x'")


@pytest.mark.parametrize("dims", [[-1, 4], [2**40, 2**30], [3, 4], [2**32, 2**32]])
def test_weights_that_lie_about_their_shape(dims):
    tensor = onnx.TensorProto(name="w", data_type=F32, dims=dims, raw_data=bytes(64))
    refused(model([helper.make_node("MatMul", ["x", "w"], ["y"])], initializers=[tensor]), "'w'")


def test_a_weight_with_too_few_numbers():
    tensor = onnx.TensorProto(name="w", data_type=F32, dims=[4, 4], float_data=[1.0] * 3)
    refused(model([helper.make_node("MatMul", ["x", "w"], ["y"])], initializers=[tensor]), "'w'")


@pytest.mark.parametrize("data_type", [0, 8, 14, 22, 99, 1000])
def test_weights_of_odd_types(data_type):
    tensor = onnx.TensorProto(name="w", data_type=data_type, dims=[4, 4], raw_data=bytes(64))
    refused(model([helper.make_node("MatMul", ["x", "w"], ["y"])], initializers=[tensor]), "'w'")


@pytest.mark.parametrize("dtype", [8, 14, 77])
def test_inputs_of_odd_types(dtype):
    refused(relu(inputs=[value("x", (1, 4), dtype)]), "'x'")


def test_an_input_that_is_a_sequence():
    sequence = helper.make_tensor_sequence_value_info("x", F32, (1,))
    refused(relu(inputs=[sequence]), "sequence")


def test_an_input_without_a_type():
    refused(relu(inputs=[onnx.ValueInfoProto(name="x")]), "'x'")


def test_an_input_of_unknown_rank():
    refused(relu(inputs=[value("x", None)], outputs=[value("y", None)]), "rank")


def test_operands_of_different_types():
    node = helper.make_node("Add", ["x", "z"], ["y"])
    refused(model([node], inputs=[value("x"), value("z", (1, 4), I64)]))


def test_operands_of_shapes_that_do_not_fit():
    refused(model([helper.make_node("MatMul", ["x", "z"], ["y"])], inputs=[value("x"), value("z", (5, 3))]))


def test_too_few_operands():
    refused(model([helper.make_node("Add", ["x"], ["y"])]))


def test_an_attribute_of_the_wrong_type():
    refused(model([helper.make_node("Softmax", ["x"], ["y"], axis="one")]))


def test_an_unknown_attribute():
    refused(model([helper.make_node("Relu", ["x"], ["y"], surprise=1)]))


@pytest.mark.parametrize("opset", [0, -3, 99, 2**31])
def test_unknown_opsets(opset):
    refused(relu(opset=opset), "version")


def test_deep_subgraphs():
    node = helper.make_node("Relu", ["x"], ["y"])
    for _ in range(30):
        inner = helper.make_graph([node], "inner", [], [value("y")])
        node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
        if len(node.SerializeToString()) > 1 << 20:
            break
    refused(model([node], inputs=[value("x"), value("c", (), 9)]))


def test_sparse_weights():
    made = relu()
    made.graph.sparse_initializer.add()
    refused(made, "sparse")


def test_an_empty_model():
    refused(onnx.ModelProto(), "no graph")
    refused(b"", "no graph")


def test_shapes_for_inputs_that_do_not_exist():
    refused(relu(), "'z'", inputs={"z": (1, 4)})


@pytest.mark.parametrize("shape", [(1, 5), (1,), (1, 4, 1), (1, -4), "text"])
def test_shapes_that_contradict_the_model(shape):
    refused(relu(), "'x'", inputs={"x": shape})


def test_extents_that_are_no_numbers():
    refused(relu(), "an extent is a number, or None", inputs={"x": (1, "n")})


def test_an_example_of_another_type():
    refused(relu(), "int64", inputs={"x": np.zeros((1, 4), np.int64)})


def test_the_source_is_left_as_it_is():
    made = model([helper.make_node("MatMul", ["x", "w"], ["y"])], initializers=[weight()], opset=9)
    before = made.SerializeToString(deterministic=True)
    import_model(made, {"x": (1, 4)})
    assert made.SerializeToString(deterministic=True) == before


def test_flipped_bits():
    """Each copy is read or refused; nothing else happens."""
    generator = random.Random(5)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("f0", ["a"], ["y"], domain="local")]
    data = model(nodes, initializers=[weight()], functions=functions(2)).SerializeToString()
    read = 0
    for _ in range(60):
        changed = bytearray(data)
        for _ in range(generator.choice([1, 3])):
            changed[generator.randrange(len(changed))] ^= 1 << generator.randrange(8)
        try:
            import_model(bytes(changed))
            read += 1
        except ImportFailure:
            continue
    assert 0 < read < 60


@pytest.mark.parametrize("name", ['x"y', "x\ny", "x\\22", "é漢", "a b", "%x", "@main", "x" * 5000])
def test_odd_names_are_kept(name):
    """What the text of IR would have to quote."""
    made = model([helper.make_node("Relu", [name], ["y"])], inputs=[value(name)])
    assert import_model(made).inputs[0].name == name


@pytest.mark.parametrize(
    ("node", "shape", "constants"),
    [
        (helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[9, 9], name="here"), (1, 1, 2, 2), []),
        (helper.make_node("Conv", ["x", "w"], ["y"], name="here"), (1, 1, 2, 2), [weight("w", (1, 1, 5, 5))]),
        (helper.make_node("Expand", ["x", "s"], ["y"], name="here"), (1,), [("s", [2**41])]),
        (helper.make_node("Tile", ["x", "s"], ["y"], name="here"), (4,), [("s", [2**40])]),
        (helper.make_node("Pad", ["x", "s"], ["y"], name="here"), (4,), [("s", [2**40, 2**40])]),
        (helper.make_node("ConstantOfShape", ["s"], ["y"], name="here"), (4,), [("s", [2**31, 2**31])]),
    ],
    ids=lambda value: getattr(value, "op_type", ""),
)
def test_nodes_that_make_absurd_shapes(node, shape, constants):
    made = [onnx.numpy_helper.from_array(np.array(c[1]), c[0]) if isinstance(c, tuple) else c for c in constants]
    refused(model([node], inputs=[value("x", shape)], outputs=[value("y", None)], initializers=made), "'here'", "'y'")
