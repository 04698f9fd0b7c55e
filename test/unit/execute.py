"""Run a `linalg`- or `global`-level module by upstream's own lowering: the oracle of the unit tests."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence

import ml_dtypes
import numpy as np
from neomlir.mlir import execution_engine, ir, passmanager

_LOWERING = (
    "builtin.module(one-shot-bufferize{bufferize-function-boundaries function-boundary-type-conversion="
    "identity-layout-map copy-before-write allow-unknown-ops=false},func.func(refback-munge-memref-copy),"
    "func.func(convert-linalg-to-loops),expand-strided-metadata,lower-affine,convert-scf-to-cf,"
    "convert-math-to-llvm,convert-math-to-libm,convert-to-llvm,reconcile-unrealized-casts)"
)
_DTYPES = {
    "f32": "f4",
    "f64": "f8",
    "f16": "f2",
    "bf16": ml_dtypes.bfloat16,
    "i64": "i8",
    "i32": "i4",
    "i16": "i2",
    "i8": "i1",
    "i1": "?",
    "index": "i8",
}


def run(module: ir.Module, inputs: Sequence[np.ndarray], weights: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The results of `@main` on `inputs`; `weights` gives the external globals that are not made by `@initialize`.

    `module` is left as it is.
    """
    weights = dict(weights)
    symbols = {
        ir.StringAttr(op.operation.attributes["sym_name"]).value: op.operation
        for op in module.body.operations
        if op.operation.name == "func.func"
    }
    if "initialize" in symbols:
        attributes = symbols["initialize"].attributes["res_attrs"]
        names = [ir.FlatSymbolRefAttr(a["neo.defines"]).value for a in attributes]
        weights.update(zip(names, call(module, "initialize", [], weights), strict=True))
    return call(module, "main", inputs, weights)


def call(module: ir.Module, name: str, inputs: Sequence, weights: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The results of one function of `module`, globals read from `weights`."""
    with module.context, ir.Location.unknown():
        copy = ir.Module.parse(str(module))
        used = _globals_to_arguments(copy, name)
        function = next(op for op in copy.body.operations if _symbol(op) == name)
        function.attributes["llvm.emit_c_interface"] = ir.UnitAttr.get()
        types = [ir.RankedTensorType(t) for t in function.type.results]
        passmanager.PassManager.parse(_LOWERING).run(copy.operation)
        engine = execution_engine.ExecutionEngine(copy, opt_level=2)
        arrays = [*inputs, *(weights[g] for g in used)]
        keep = [_Descriptor.of(np.ascontiguousarray(a)) for a in arrays]
        result, views = _results(types)
        pointers = [ctypes.pointer(s) for s in ([result] if types else []) + [d.struct for d in keep]]
        engine.invoke(name, *(ctypes.pointer(p) for p in pointers))
        return [view() for view in views]


def _symbol(op) -> str:
    attributes = op.operation.attributes
    return ir.StringAttr(attributes["sym_name"]).value if "sym_name" in attributes else ""


def _globals_to_arguments(module: ir.Module, name: str) -> list[str]:
    """Keep one function only and make each global that it reads an argument; gives their names, in order."""
    used: list[str] = []
    for op in list(module.body.operations):
        if _symbol(op) != name:
            op.operation.erase()
    function = module.body.operations[0]
    block = function.regions[0].blocks[0]
    arguments: dict[str, ir.Value] = {}
    for op in [o.operation for o in block.operations]:
        if op.name != "ml_program.global_load_const":
            continue
        symbol = ir.FlatSymbolRefAttr(op.attributes["global"]).value
        if symbol not in arguments:
            used.append(symbol)
            arguments[symbol] = block.add_argument(op.results[0].type, ir.Location.unknown())
        op.results[0].replace_all_uses_with(arguments[symbol])
        op.erase()
    inputs = [argument.type for argument in block.arguments]
    function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, list(function.type.results)))
    for attribute in ("arg_attrs", "res_attrs"):
        if attribute in function.attributes:
            del function.attributes[attribute]
    return used


def _layout(rank: int) -> list[tuple]:
    return [
        ("allocated", ctypes.c_void_p),
        ("aligned", ctypes.c_void_p),
        ("offset", ctypes.c_int64),
        ("sizes", ctypes.c_int64 * rank),
        ("strides", ctypes.c_int64 * rank),
    ]


class _Descriptor:
    """A memref descriptor of a numpy array."""

    def __init__(self, array: np.ndarray):
        self.array = array
        kind = type("Memref", (ctypes.Structure,), {"_fields_": _layout(array.ndim)})
        self.struct = kind(array.ctypes.data, array.ctypes.data, 0)
        self.struct.sizes[:] = array.shape
        self.struct.strides[:] = [stride // array.itemsize for stride in array.strides]

    of = classmethod(lambda cls, array: cls(array))


def _results(types: list[ir.RankedTensorType]):
    """A struct for the results of a function and, for each, what copies it out as an array."""
    members = [type("Memref", (ctypes.Structure,), {"_fields_": _layout(t.rank)}) for t in types]
    both = type("Results", (ctypes.Structure,), {"_fields_": [(f"r{i}", m) for i, m in enumerate(members)]})
    result = both()

    def view(number: int) -> np.ndarray:
        d = getattr(result, f"r{number}")
        dtype = np.dtype(_DTYPES[str(types[number].element_type)])
        sizes, strides = list(d.sizes), list(d.strides)
        last = sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True)) + 1
        if 0 in sizes:
            return np.empty(sizes, dtype)
        raw = (ctypes.c_char * (last * dtype.itemsize)).from_address(d.aligned + d.offset * dtype.itemsize)
        flat = np.frombuffer(raw, dtype)
        steps = [stride * dtype.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(flat, sizes, steps).copy()

    return result, [lambda number=number: view(number) for number in range(len(types))]


def random_weights(module: ir.Module, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays for the external globals of `module` that `@initialize` does not make."""
    random = np.random.default_rng(seed)
    made = set()
    for op in module.body.operations:
        if _symbol(op) == "initialize":
            made = {ir.FlatSymbolRefAttr(a["neo.defines"]).value for a in op.operation.attributes["res_attrs"]}
    arrays = {}
    for op in module.body.operations:
        if op.operation.name == "ml_program.global" and _symbol(op) not in made:
            type_ = ir.RankedTensorType(ir.TypeAttr(op.operation.attributes["type"]).value)
            arrays[_symbol(op)] = random_array(type_, random)
    return arrays


def random_array(type_: ir.RankedTensorType, random: np.random.Generator) -> np.ndarray:
    """Normal numbers scaled by the fan-in (vectors: 0.5 to 1.5, fit for variances); integers 0 or 1; dynamic: 3."""
    sizes = [extent if extent >= 0 else 3 for extent in type_.shape]
    dtype = np.dtype(_DTYPES[str(type_.element_type)])
    if dtype.kind != "f":
        return random.integers(0, 2, sizes).astype(dtype)
    fan = max(math.prod(sizes[1:]), 1)
    if len(sizes) == 1:
        return random.uniform(0.5, 1.5, sizes).astype(dtype)
    return (random.standard_normal(sizes) / fan**0.5).astype(dtype)


def random_inputs(module: ir.Module, seed: int = 1) -> list[np.ndarray]:
    """Arrays for the arguments of `@main`."""
    random = np.random.default_rng(seed)
    main = next(op for op in module.body.operations if _symbol(op) == "main")
    return [random_array(ir.RankedTensorType(t), random) for t in main.type.inputs]
