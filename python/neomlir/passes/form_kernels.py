"""Outline fused regions into kernels: a host function that only calls, and one nested module a kernel."""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass

from neomlir.errors import PassFailure
from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, count, register
from neomlir.passes.dataflow import CHEAP, Block, is_tensor
from neomlir.passes.destinations import give_destinations
from neomlir.passes.expect import expect_signature, expect_straight_line
from neomlir.passes.functions import defined_functions
from neomlir.passes.fuse_attention import Scores
from neomlir.passes.fusion import form_groups
from neomlir.passes.groups import Groups
from neomlir.passes.kernel_body import KernelBody, destination
from neomlir.passes.loops import write_over_states


@register
@dataclass(frozen=True)
class FormKernels(ModulePass):
    """Group the operations of each function by fusion and outline every group as a kernel in destination style.

    The functions keep views, shape arithmetic and loads of weights, and call one private function a kernel; each kernel
    stands in a nested module of its own, so that kernels are compiled apart. Equal kernels are one, but those that
    `@initialize` calls are its own: they run on the machine that compiles.
    """

    name = "neo-form-kernels"

    max_ops: int = 64
    """No kernel holds more operations than this."""
    scores: int = 0
    """Bytes of the scores of one head, at most, where the products and the softmax of attention are one kernel."""
    borders: bool = False
    """Whether depthwise and Winograd convolutions, and the largest of windows, are one kernel with the border around
    their input if no other writes it."""

    def run(self, module: ir.Module) -> None:
        """Rebuild every function that has a body."""
        for function in defined_functions(module.operation):
            expect_straight_line(function, self.name)
            expect_signature(function, self.name, ir.RankedTensorType, "global")
            write_over_states(function)
        give_destinations(module)
        names = [
            ir.StringAttr(op.attributes["sym_name"]).value
            for op in (o.operation for o in module.body.operations)
            if op.name == "func.func" and len(op.regions[0].blocks)
        ]
        kernels: dict[str, str] = {}
        with ir.Location.unknown(module.context):
            for name in names:
                _outline(module, name, self, kernels)
        count("kernels", len(kernels))


def _outline(module: ir.Module, name: str, options: FormKernels, kernels: dict[str, str]) -> None:
    old = next(
        op.operation
        for op in module.body.operations
        if op.operation.name == "func.func" and ir.StringAttr(op.operation.attributes["sym_name"]).value == name
    )
    block = Block.of(old)
    scores = Scores(options.scores) if options.scores else None
    groups = form_groups(block, options.max_ops, scores, options.borders)
    types = [argument.type for argument in old.regions[0].blocks[0].arguments]
    with ir.Location.unknown():
        new = ir.Operation.create(
            "func.func",
            regions=1,
            attributes={attribute: old.attributes[attribute] for attribute in old.attributes},
            ip=ir.InsertionPoint(old),
        )
        entry = ir.Block.create_at_start(new.regions[0], types)
        values = dict(zip(old.regions[0].blocks[0].arguments, entry.arguments, strict=True))
        at = ir.InsertionPoint(entry)
        for item in _in_order(block, groups):
            members = groups.members[item]
            if not any(map(groups.is_kernel, members)):
                _clone_to_host(block, members[0], values, at)
                continue
            body = KernelBody(block, members, groups.cloned)
            text = body.text()
            # What runs at compile time is code for another machine, which may lack what the target's is best done with.
            key = text + name if name == "initialize" else text
            if key not in kernels:
                # Named after its text: the same kernel has the same name in every model, and so one place in the cache.
                kernels[key] = f"{groups.kind[item]}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"
                _define(module, new, text, kernels[key])
            destinations = [destination(block, value, values, at) for value in body.outputs]
            call = ir.Operation.create(
                "func.call",
                results=[value.type for value in body.outputs],
                operands=[values[value] for value in body.inputs] + destinations,
                attributes={"callee": ir.FlatSymbolRefAttr.get(kernels[key])},
                ip=at,
            )
            values.update(zip(body.outputs, call.results, strict=True))
    old.erase()
    _drop_dead(entry)


def _in_order(block: Block, groups: Groups) -> list[int]:
    """Groups in an order that respects their dependences, else the order of the program."""
    needs = {g: 0 for g in groups.members}
    feeds: dict[int, list[int]] = {g: [] for g in groups.members}
    for number, values in enumerate(block.reads):
        for value in values:
            if value in block.maker:
                before, after = groups.group[block.maker[value]], groups.group[number]
                if before != after:
                    needs[after] += 1
                    feeds[before].append(after)
    last = len(block.ops) - 1  # the return stays last
    ready = [g for g, n in needs.items() if n == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        g = heapq.heappop(ready)
        order.append(g)
        for after in feeds[g]:
            needs[after] -= 1
            if needs[after] == 0:
                heapq.heappush(ready, after)
    order.remove(groups.group[last])
    return [*order, groups.group[last]]


def _clone_to_host(block: Block, number: int, values: dict[ir.Value, ir.Value], at: ir.InsertionPoint) -> None:
    op = block.ops[number]
    if op.name in CHEAP and op.results and is_tensor(op.results[0]):
        return
    if op.name == "tensor.reshape":
        # The new shape is a cheap tensor of scalars; the host keeps it beside the view that it describes.
        shape = block.made_by(op.operands[1])
        if shape is None or shape.name != "tensor.from_elements":
            raise PassFailure("neo-form-kernels: tensor.reshape needs its shape from tensor.from_elements of scalars")
        values[op.operands[1]] = _clone_one(shape, values, at).results[0]
    clone = _clone_one(op, values, at)
    values.update(zip(op.results, clone.results, strict=True))


def _clone_one(op: ir.Operation, values: dict[ir.Value, ir.Value], at: ir.InsertionPoint) -> ir.Operation:
    clone = op.clone(ip=at)
    for i, value in enumerate(op.operands):
        clone.operands[i] = values[value]
    return clone


def _drop_dead(entry: ir.Block) -> None:
    for op in reversed([o.operation for o in entry.operations]):
        if op.results and op.name != "func.call" and not any(True for r in op.results for _ in r.uses):
            op.erase()


def _define(module: ir.Module, before: ir.Operation, text: str, name: str) -> None:
    definition = ir.Operation.parse(text.replace("@__kernel(", f"@{name}("))
    function = definition.operation.regions[0].blocks[0].operations[0].operation
    ir.Operation.create(
        "func.func",
        regions=1,
        attributes={
            "sym_name": ir.StringAttr.get(name),
            "sym_visibility": ir.StringAttr.get("private"),
            "function_type": function.attributes["function_type"],
        },
        ip=ir.InsertionPoint(before),
    )
    ir.InsertionPoint(module.body).insert(definition)
