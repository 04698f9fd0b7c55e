"""Values of the torch dialect as builtin tensors and back, and what its constants hold."""

from __future__ import annotations

import re
from collections.abc import Sequence

from neomlir.mlir import ir
from neomlir.passes import structured as s

_TENSOR = re.compile(r"!torch\.vtensor<\[([^\]]*)\],(\w+)>")
_DYNAMIC = ir.ShapedType.get_dynamic_size()


def builtin(value: ir.Value) -> ir.Value:
    """A `!torch.vtensor` of known rank as a builtin tensor, at the current insertion point."""
    kind = builtin_type(value.type)
    return ir.Operation.create("torch_c.to_builtin_tensor", results=[kind], operands=[value]).results[0]


def builtin_type(kind: ir.Type) -> ir.RankedTensorType:
    """The builtin type of a `!torch.vtensor`; raises ValueError where its rank or its element type is not known."""
    found = _TENSOR.fullmatch(str(kind))
    if not found:
        raise ValueError(f"{kind} has no known rank or element type")
    extents = [_DYNAMIC if n == "?" else int(n) for n in found[1].split(",") if n]
    name = found[2]
    element = ir.Type.parse({"si": "i", "ui": "i"}.get(name[:2], name[:2]) + name[2:])
    return ir.RankedTensorType.get(extents, element)


def give(old: ir.Value, new: ir.Value) -> None:
    """Let a builtin tensor stand for a value of the torch dialect, whose type may know other extents."""
    extents = ",".join("?" if n < 0 else str(n) for n in s.shape(new))
    element = _TENSOR.fullmatch(str(old.type))
    kind = ir.Type.parse(f"!torch.vtensor<[{extents}],{element[2] if element else s.element_type(new)}>")
    made = ir.Operation.create("torch_c.from_builtin_tensor", results=[kind], operands=[new]).results[0]
    if kind != old.type:
        made = ir.Operation.create("torch.tensor_static_info_cast", results=[old.type], operands=[made]).results[0]
    old.replace_all_uses_with(made)


def is_none(value: ir.Value) -> bool:
    """Whether a value is `torch.constant.none`."""
    return str(value.type) == "!torch.none"


def listed(value: ir.Value) -> list[ir.Value]:
    """What a `torch.prim.ListConstruct` puts into a list. Raises ValueError for a list from elsewhere."""
    op = s.maker(value)
    if op is None or op.name != "torch.prim.ListConstruct":
        raise ValueError("a list is not known")
    return list(op.operands)


def literal(value: ir.Value) -> int | bool:
    """The number of a `torch.constant.int` or `.bool`. Raises ValueError for a value that is not constant."""
    op = s.maker(value)
    if op is None or op.name not in ("torch.constant.int", "torch.constant.bool"):
        raise ValueError("a number is not known")
    return op.attributes["value"].value


def literals(values: Sequence[ir.Value]) -> list[int | bool]:
    """`literal` of each."""
    return [literal(value) for value in values]
