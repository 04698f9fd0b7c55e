"""What the memory plan says of a host function: its arena, its weights, and the steps that it takes."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.steps import Steps, steps_of


@dataclass
class HostPlan:
    """The attributes that `neo-plan-memory` left on a host function; sizes and offsets in bytes."""

    arena: int
    weights: list[tuple[str, int]]
    weights_size: int
    reads: list[str]
    defines: list[tuple[str, ir.MemRefType]]
    steps: Steps
    allocates: bool = False

    @property
    def layout(self) -> tuple[int, list[tuple[str, int]]]:
        """Where everything lies."""
        return self.arena, self.weights

    @classmethod
    def of(cls, function: ir.Operation) -> HostPlan:
        """What stands on `function`; an empty plan where it has none."""
        attributes = function.attributes
        if "neo.arena" not in attributes:
            return cls(0, [], 0, [], [], Steps([], []))
        arguments = [
            dict((a.name, a.attr) for a in d) if not hasattr(d, "items") else dict(d.items())
            for d in (ir.DictAttr(x) for x in ir.ArrayAttr(attributes["arg_attrs"]))
        ]
        reads = [ir.FlatSymbolRefAttr(a["neo.weight"]).value for a in arguments if "neo.weight" in a]
        names = [ir.FlatSymbolRefAttr(a["neo.defines"]).value for a in arguments if "neo.defines" in a]
        types = [ir.MemRefType(ir.TypeAttr(t).value) for t in ir.ArrayAttr(attributes["neo.outputs"])]
        offsets = [(a.name, ir.IntegerAttr(a.attr).value) for a in ir.DictAttr(attributes["neo.weights"])]
        return cls(
            ir.IntegerAttr(attributes["neo.arena"]).value,
            sorted(offsets, key=lambda pair: pair[1]),
            ir.IntegerAttr(attributes["neo.weights_size"]).value,
            reads,
            list(zip(names, types, strict=True)) if names else [],
            steps_of(function),
            any(_asks_for_memory(op.operation) for op in function.regions[0].blocks[0].operations),
        )


def _asks_for_memory(op: ir.Operation) -> bool:
    return op.name == "func.call" and ir.FlatSymbolRefAttr(op.attributes["callee"]).value.startswith(
        ("neo_alloc", "neo_output")
    )
