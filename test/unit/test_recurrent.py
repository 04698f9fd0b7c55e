"""Recurrent layers of PyTorch and ONNX: right in every form, each direction a loop that is one kernel."""

from __future__ import annotations

import neomlir
import numpy as np
import onnxruntime
import pytest
from neomlir import import_model
from neomlir.errors import ImportFailure, NeoError
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch")

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, INPUTS, HIDDEN = 7, 5, 19


class Layer:
    """A model of one ONNX layer; `extra` are its operands behind R by name, of which those in `given` are inputs."""

    def __init__(self, kind, batch=3, given=(), extra=(), open_=(), **attributes):
        draw = np.random.default_rng(3)
        directions = 2 if attributes.get("direction") == "bidirectional" else 1
        shapes = {
            "X": (STEPS, batch, INPUTS),
            "W": (directions, GATES[kind] * HIDDEN, INPUTS),
            "R": (directions, GATES[kind] * HIDDEN, HIDDEN),
            "B": (directions, 2 * GATES[kind] * HIDDEN),
            "h": (directions, batch, HIDDEN),
            "c": (directions, batch, HIDDEN),
            "P": (directions, 3 * HIDDEN),
        }
        arrays = {name: (draw.standard_normal(shape) / 3).astype("f4") for name, shape in shapes.items()}
        arrays["lengths"] = draw.integers(1, STEPS + 1, batch).astype("i4")
        order = ["X", "W", "R", "B", "lengths", "h", "c", "P"]
        names = [name if name in ("X", "W", "R", *extra) else "" for name in order]
        while not names[-1]:
            names.pop()
        self.inputs = {name: arrays[name] for name in ("X", *given)}
        results = ["Y", "Yh", "Yc"][: 3 if kind == "LSTM" else 2]
        node = helper.make_node(kind, names, results, "layer", hidden_size=HIDDEN, **attributes)
        symbols = {("X", 0): "steps", ("X", 1): "batch", ("h", 1): "batch", ("c", 1): "batch", ("lengths", 0): "batch"}

        def info(name, array):
            extents = [
                symbols.get((name, d), n) if symbols.get((name, d)) in open_ else n for d, n in enumerate(array.shape)
            ]
            return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), extents)

        outputs = [
            helper.make_tensor_value_info(r, TensorProto.FLOAT, [None] * (4 if r == "Y" else 3)) for r in results
        ]
        weights = [numpy_helper.from_array(arrays[n], n) for n in names if n and n not in self.inputs]
        graph = helper.make_graph([node], "g", [info(*item) for item in self.inputs.items()], outputs, weights)
        self.model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)

    def compiled(self, tmp_path, **options):
        made = neomlir.compile(self.model, **options)
        made.save(tmp_path / "layer.neo")
        return made, neomlir.load(tmp_path / "layer.neo")

    def check(self, tmp_path, schedule="recurrence", **options):
        """The program agrees with ONNX Runtime, leaves its inputs alone, and its loops took `schedule`."""
        made, model = self.compiled(tmp_path, **options)
        session = onnxruntime.InferenceSession(self.model.SerializeToString(), providers=["CPUExecutionProvider"])
        before = {name: array.copy() for name, array in self.inputs.items()}
        got = list(model.run(self.inputs).values())
        for mine, theirs in zip(got, session.run(None, self.inputs), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=2e-6)
        for name, array in self.inputs.items():
            np.testing.assert_array_equal(array, before[name])
        loops = {kernel["schedule"] for kernel in made.report["kernels"] if kernel["name"].startswith("loop")}
        assert loops == {schedule}


FORMS = {
    "plain": {},
    "one": {"batch": 1, "extra": ("B",)},
    "reverse": {"extra": ("B",), "direction": "reverse"},
    "both ways": {"batch": 1, "extra": ("B",), "direction": "bidirectional"},
    "states": {"extra": ("B", "h", "c"), "given": ("h", "c"), "direction": "bidirectional"},
    "lengths": {"extra": ("B", "lengths"), "given": ("lengths",), "direction": "bidirectional"},
    "a length": {"batch": 1, "extra": ("lengths",), "given": ("lengths",)},
    "weights of the caller": {"extra": ("B",), "given": ("W", "R", "B")},
    "clipped": {"extra": ("B",), "clip": 0.25},
    "blocks of a batch": {"batch": 32, "extra": ("B", "lengths"), "given": ("lengths",)},
    "any batch": {"open_": ("batch",), "extra": ("B", "h", "lengths"), "given": ("h", "lengths")},
    "any length": {"open_": ("steps",), "batch": 1, "extra": ("B",)},
    "anything": {"open_": ("batch", "steps"), "extra": ("B",), "direction": "reverse"},
}


CASES = [("LSTM", form) for form in FORMS]
CASES += [(kind, form) for kind in ("GRU", "RNN") for form in ("one", "states", "lengths", "any batch")]


@pytest.mark.parametrize("kind,form", CASES)
def test_onnx_layers(kind, form, tmp_path):
    form = dict(FORMS[form])
    if kind != "LSTM":
        for name in ("extra", "given"):
            form[name] = tuple(n for n in form.get(name, ()) if n != "c")
    Layer(kind, **form).check(tmp_path)


def test_a_gru_that_resets_behind_the_product(tmp_path):
    Layer("GRU", extra=("B",), linear_before_reset=1, direction="bidirectional").check(tmp_path)


def test_peepholes(tmp_path):
    Layer("LSTM", extra=("B", "P"), direction="bidirectional").check(tmp_path)


ACTIVATIONS = [
    ("Relu", None, None),
    ("HardSigmoid", 0.3, 0.4),
    ("LeakyRelu", 0.2, None),
    ("Elu", 0.7, None),
    ("Affine", 0.3, 0.1),
    ("ScaledTanh", 0.7, 0.3),
    ("Softsign", None, None),
    ("Softplus", None, None),
    ("ThresholdedRelu", 0.1, None),
]


@pytest.mark.parametrize("name,alpha,beta", ACTIVATIONS)
def test_activations(name, alpha, beta, tmp_path):
    constants = {key: [value] for key, value in (("activation_alpha", alpha), ("activation_beta", beta)) if value}
    Layer("RNN", extra=("B",), activations=[name], **constants).check(tmp_path)


@pytest.mark.parametrize("pipeline", ["cpu-affine", "cpu-scalar"])
@pytest.mark.parametrize("open_", [(), ("batch", "steps")])
def test_other_pipelines(pipeline, open_, tmp_path):
    layer = Layer("GRU", open_=open_, extra=("B", "h", "lengths"), given=("h", "lengths"))
    layer.check(tmp_path, schedule=pipeline.removeprefix("cpu-"), pipeline=pipeline)


def test_the_batch_in_front(tmp_path):
    """ONNX Runtime does not have this layout: the same layer with its operands turned does."""
    turned = Layer("LSTM", extra=("B", "h", "c"), given=("h", "c"), direction="bidirectional")
    session = onnxruntime.InferenceSession(turned.model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, turned.inputs)
    turned.model.graph.node[0].attribute.append(helper.make_attribute("layout", 1))
    for value in turned.model.graph.input:
        dims = value.type.tensor_type.shape.dim
        dims[0].dim_value, dims[1].dim_value = dims[1].dim_value, dims[0].dim_value
    turned.inputs = {name: np.ascontiguousarray(array.swapaxes(0, 1)) for name, array in turned.inputs.items()}
    y, h, c = turned.compiled(tmp_path)[1].run(turned.inputs).values()
    for mine, theirs in (
        (y, wanted[0].transpose(2, 0, 1, 3)),
        (h, wanted[1].swapaxes(0, 1)),
        (c, wanted[2].swapaxes(0, 1)),
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    "kind,attributes,said",
    [
        ("RNN", {"activations": ["Gelu"]}, "'layer' .RNN. has the activation 'Gelu', which is none of ONNX's"),
        ("LSTM", {"activations": ["Tanh"]}, "'layer' .LSTM. has 1 activations and needs 3, 3 a direction"),
        ("GRU", {"direction": "sideways"}, "'layer' .GRU. has no direction 'sideways'; there are forward, reverse"),
    ],
)
def test_what_onnx_does_not_have(kind, attributes, said):
    with pytest.raises(NeoError, match=said):
        neomlir.compile(Layer(kind, **attributes).model)


class Stack(torch.nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.layer = getattr(torch.nn, kind)(INPUTS, HIDDEN, **options)

    def forward(self, x, *states):
        out, last = self.layer(x, (states if len(states) > 1 else states[0]) if states else None)
        return out, *(last if isinstance(last, tuple) else (last,))


TORCH = {
    "one": (1, {}),
    "stacked both ways": (2, {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    "no biases": (3, {"bias": False}),
}


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("batch,options", TORCH.values(), ids=TORCH)
def test_torch_layers(kind, batch, options, tmp_path):
    torch.manual_seed(0)
    model = Stack(kind, **options).eval()
    first = options.get("batch_first", False)
    x = torch.randn((batch, STEPS, INPUTS) if first else (STEPS, batch, INPUTS))
    number = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    states = [torch.randn(number, batch, HIDDEN) for _ in range(2 if kind == "LSTM" else 1)]
    _agrees(model, (x, *states), (x, *states), tmp_path)


def _agrees(model, example, arrays, tmp_path):
    made = neomlir.compile(model, inputs=example)
    made.save(tmp_path / "layer.neo")
    program = neomlir.load(tmp_path / "layer.neo")
    inputs = {spec.name: a.numpy() for spec, a in zip(program.inputs, arrays, strict=True)}
    with torch.no_grad():
        wanted = model(*arrays)
    for mine, theirs in zip(program.run(inputs).values(), wanted, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-5, atol=2e-6)
    return made


def test_torch_relu(tmp_path):
    x = torch.randn(STEPS, 2, INPUTS)
    _agrees(Stack("RNN", nonlinearity="relu").eval(), (x,), (x,), tmp_path)


def test_torch_any_batch(tmp_path):
    """A loop has no step of its own each: 200 of them are as many kernels as one."""
    model = Stack("GRU", batch_first=True).eval()
    made = _agrees(model, ((None, 200, INPUTS),), (torch.randn(5, 200, INPUTS),), tmp_path)
    assert sum(kernel["calls"] for kernel in made.report["kernels"]) < 12


def test_torch_projections(tmp_path):
    """Their outputs are products of states: left to PyTorch's own decomposition."""
    x = torch.randn(3, 2, INPUTS)
    _agrees(Stack("LSTM", proj_size=4).eval(), (x,), (x,), tmp_path)


@pytest.mark.parametrize("kind", GATES)
def test_torch_dropout(kind):
    """In training mode it is refused, as a Dropout of its own is; elsewhere it is nothing."""
    example = (torch.randn(STEPS, 2, INPUTS),)
    model = Stack(kind, num_layers=2, dropout=0.3)
    with pytest.raises(ImportFailure, match=r"random numbers.*dropout of 0\.3"):
        import_model(torch.export.export(model.train(), example))
    import_model(torch.export.export(model.eval(), example))
    import_model(torch.export.export(Stack(kind, dropout=0.0, num_layers=2).train(), example))
