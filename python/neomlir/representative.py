"""How large the arguments of kernels with dynamic extents are when they are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neomlir.errors import TuningError
from neomlir.mlir import ir
from neomlir.passes.functions import main_of
from neomlir.passes.relate_extents import related_extents
from neomlir.run_costs import run_arguments

BATCH, OPEN = 1, 128
"""An open first extent, which is mostly a batch; any other open one."""
_FREE = -1
"""An extent of `related_extents` that hangs on no other."""
Sizes = Mapping[str, Sequence[int]]


def call_sizes(module: ir.Module, sizes: Sizes) -> dict[str, list[Any]]:
    """What the arguments of each kernel are at its first call by `main`, whose inputs have these sizes.

    `module` is of level `kernels`; the form is that of `run_arguments`. Raises TuningError for sizes that do not fit.
    """
    main = main_of(module.operation)
    found: dict[str, list[Any]] = {}
    for kernel, arguments in run_arguments(module, [extents or () for extents in kernel_sizes(main, sizes)]):
        found.setdefault(kernel, arguments)
    return found


def kernel_sizes(function: ir.Operation, sizes: Sizes) -> list[Any]:
    """The extents of each argument of a function; None for what is no tensor.

    Open ones are those of `sizes`, by `neo.name` or the number of the argument, or else what other arguments need, a
    batch of one, or 128. Raises TuningError.
    """
    arguments = list(function.regions[0].blocks[0].arguments)
    names = _names(function, len(arguments))
    if unknown := [name for name in sizes if name not in names]:
        raise TuningError(f"there is no input {unknown[0]!r} to be given a size; the inputs are {', '.join(names)}")
    types = [ir.RankedTensorType(a.type) if isinstance(a.type, ir.RankedTensorType) else None for a in arguments]
    told = related_extents(function) or [[-1] * (0 if type_ is None else type_.rank) for type_ in types]
    known: dict[int, tuple[int, str]] = {}
    for name, type_, extents in zip(names, types, told, strict=True):
        if name in sizes:
            _note(name, type_, sizes[name], extents, known)
    found: list[Any] = []
    for name, type_, extents in zip(names, types, told, strict=True):
        found.append(None if type_ is None else tuple(sizes[name]) if name in sizes else _filled(type_, extents, known))
    return found


def _names(function: ir.Operation, count: int) -> list[str]:
    if "arg_attrs" not in function.attributes:
        return [str(number) for number in range(count)]
    told = [ir.DictAttr(attributes) for attributes in ir.ArrayAttr(function.attributes["arg_attrs"])]
    return [
        ir.StringAttr(attributes["neo.name"]).value if "neo.name" in attributes else str(number)
        for number, attributes in enumerate(told)
    ]


def _note(
    name: str, type_: ir.RankedTensorType | None, given: Sequence[int], told: list[int], known: dict[int, Any]
) -> None:
    """Learn what a size that was given says about those of other inputs. Raises TuningError where it does not fit."""
    own = [] if type_ is None else extents_of(type_)
    if len(given) != len(own) or any(n is not None and n != m for n, m in zip(own, given, strict=True)):
        shape = "x".join("?" if n is None else str(n) for n in own)
        raise TuningError(f"input {name!r} is {shape or 'a number'}, of which {'x'.join(map(str, given))} is no size")
    for d, (extent, number) in enumerate(zip(given, told, strict=True)):
        place = f"dimension {d} of {name!r}"
        right, who = (number, "the model") if number >= 0 else known.setdefault(number, (extent, place))
        if number != _FREE and right != extent:
            raise TuningError(f"{place} is given as {extent}, but must be the {right} of {who}")


def _filled(type_: ir.RankedTensorType, told: list[int], known: dict[int, Any]) -> tuple[int, ...]:
    """What nobody gave."""
    found = []
    for d, (extent, number) in enumerate(zip(extents_of(type_), told, strict=True)):
        usual = BATCH if d == 0 and type_.rank > 1 else OPEN
        if extent is None:
            extent = number if number >= 0 else usual if number == _FREE else known.setdefault(number, (usual, ""))[0]
        found.append(extent)
    return tuple(found)


def extents_of(type_: ir.RankedTensorType) -> list[int | None]:
    """The extents of a type; None for a dynamic one."""
    return [None if type_.is_dynamic_dim(d) else type_.get_dim_size(d) for d in range(type_.rank)]
