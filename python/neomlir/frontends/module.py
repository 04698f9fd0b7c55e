"""What every frontend does to an `input`-level module."""

from __future__ import annotations

from collections.abc import Sequence

from neomlir.mlir import ir

# A weight becomes a symbol of the module, beside these functions.
_RESERVED = frozenset({"main", "initialize"})


def annotate(module: ir.Module, arguments: Sequence[tuple[str, str]], results: Sequence[str]) -> None:
    """Name the arguments and results of `@main`.

    `arguments` are (`neo.weight` or `neo.name`, name) in order.
    """
    main = find_main(module)
    with module.context:
        main.attributes["arg_attrs"] = ir.ArrayAttr.get(
            [ir.DictAttr.get({kind: ir.StringAttr.get(name)}) for kind, name in arguments]
        )
        main.attributes["res_attrs"] = ir.ArrayAttr.get(
            [ir.DictAttr.get({"neo.name": ir.StringAttr.get(name)}) for name in results]
        )


def find_main(module: ir.Module) -> ir.Operation:
    """The function `@main`."""
    for op in module.body.operations:
        attributes = op.operation.attributes
        if "sym_name" in attributes and ir.StringAttr(attributes["sym_name"]).value == "main":
            return op.operation
    raise KeyError("main")


def weight_name(name: str, taken: set[str]) -> str:
    """A name for a weight that no symbol of the module and none of `taken` has; it is added to `taken`."""
    name = name or "weight"
    chosen, number = (f"{name}_weight" if name in _RESERVED else name), 0
    while chosen in taken:
        number += 1
        chosen = f"{name}_{number}"
    taken.add(chosen)
    return chosen
