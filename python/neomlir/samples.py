"""Random inputs for a model: valid for its data types, its shapes, and the tables that its integers index.

`Sampler` draws arrays for the inputs of a compiled model. What an integer input indexes is found in the source
model where it can be: `onnx_bounds` reads it off the graph, `torch_bounds` watches one run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from neomlir.errors import ModelError

_MASK_WORDS = ("mask", "segment", "token_type")
_PASS_THROUGH = {"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Expand"}

# What a dimension is given where nothing says its size: the first is a batch; the others are a multiple of what
# convolutional networks stride by, and of the vector widths.
_BATCH, _EXTENT, _EXTENT_STEP = 2, 64, 32


class Sampler:
    """Draws inputs for a model, the same ones for the same seed.

    `inputs` are (name, dtype, shape) triples as `Model.inputs` has them; a dimension that is not a positive integer is
    dynamic. `bounds` maps names of integer inputs to the exclusive upper end of their range; `sizes`
    maps names to full shapes for inputs with dynamic dimensions.
    Raises ModelError where a shape in `sizes` contradicts the model.
    """

    def __init__(
        self,
        inputs: Iterable,
        bounds: Mapping[str, int] | None = None,
        sizes: Mapping[str, Sequence[int]] | None = None,
        seed: int = 0,
    ):
        self._inputs = [(spec.name, numpy_dtype(spec.dtype), tuple(spec.shape)) for spec in inputs]
        self._bounds = dict(bounds or {})
        self._sizes = {name: tuple(shape) for name, shape in (sizes or {}).items()}
        self._seed = seed
        known = {name: shape for name, _, shape in self._inputs}
        for name, shape in self._sizes.items():
            if name not in known:
                raise ModelError(f"the model has no input {name!r}; its inputs are {', '.join(known) or 'none'}")
            if len(shape) != len(known[name]) or any(
                is_static(a) and a != b for a, b in zip(known[name], shape, strict=True)
            ):
                raise ModelError(f"input {name!r} of shape {format_shape(known[name])} can't be {format_shape(shape)}")

    def draw(self, run: int = 0) -> dict[str, np.ndarray]:
        """The inputs of one run by name; dynamic dimensions grow with `run`."""
        rng = np.random.default_rng((self._seed, run))
        return {name: self._array(rng, name, dtype, shape, run) for name, dtype, shape in self._inputs}

    def _array(self, rng, name, dtype, shape, run) -> np.ndarray:
        shape = self._sizes.get(name) or tuple(
            size if is_static(size) else (_BATCH + run if axis == 0 else _EXTENT + _EXTENT_STEP * run)
            for axis, size in enumerate(shape)
        )
        is_mask = any(word in name.lower() for word in _MASK_WORDS)
        if dtype == np.bool_ or is_mask:
            mask = np.asarray(rng.integers(0, 2, shape))
            # A row that is masked out altogether has no defined softmax.
            if mask.ndim:
                mask[..., :1] = 1
            return mask.astype(dtype)
        if dtype.kind in "iu":
            high = min(self._bounds.get(name, 8), np.iinfo(dtype).max)
            return np.asarray(rng.integers(0, high, shape)).astype(dtype)
        return np.asarray(rng.standard_normal(shape)).astype(dtype)


def is_static(size: object) -> bool:
    """Whether an entry of a shape is an extent rather than a name or a placeholder of one."""
    return isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size >= 0


def format_shape(shape: Sequence) -> str:
    """`1x3x?x?` for (1, 3, None, None); `scalar` for ()."""
    return "x".join(str(size) if is_static(size) else "?" for size in shape) or "scalar"


def numpy_dtype(dtype: object) -> np.dtype:
    """The numpy dtype of a spec's dtype, `bfloat16` included where the package `ml_dtypes` is installed."""
    if str(dtype) == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(dtype)


def onnx_bounds(model) -> dict[str, int]:
    """The sizes of the tables that inputs of an `onnx.ModelProto` index by Gather, by input name."""
    graph = model.graph
    tables = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            tables[node.output[0]] = next((tuple(a.t.dims) for a in node.attribute if a.name == "value"), ())
    origin = {value.name: value.name for value in graph.input if value.name not in tables}
    bounds: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in _PASS_THROUGH and node.input[0] in origin:
            origin[node.output[0]] = origin[node.input[0]]
        elif node.op_type == "Gather" and tables.get(node.input[0]) and node.input[1] in origin:
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
            name, size = origin[node.input[1]], tables[node.input[0]][axis]
            bounds[name] = min(bounds.get(name, size), size)
    return bounds


def torch_bounds(call, inputs: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The sizes of the tables that inputs of a PyTorch model index, by input name, watched during one run on zeros.

    `call` takes a dict of tensors by name and runs the model. An input that is cast or computed with before it is
    used as an index is not followed.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    tensors = {name: torch.zeros(array.shape, dtype=torch.from_numpy(array).dtype) for name, array in inputs.items()}
    names = {tensor.data_ptr(): name for name, tensor in tensors.items() if tensor.numel()}
    bounds: dict[str, int] = {}

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func in (torch.ops.aten.embedding.default, torch.ops.aten.index_select.default):
                axis, index = (0, args[1]) if func is torch.ops.aten.embedding.default else (args[1], args[2])
                name = names.get(index.data_ptr())
                if name is not None:
                    bounds[name] = min(bounds.get(name, args[0].shape[axis]), args[0].shape[axis])
            return func(*args, **(kwargs or {}))

    with torch.inference_mode(), Watch():
        call(tensors)
    return bounds
