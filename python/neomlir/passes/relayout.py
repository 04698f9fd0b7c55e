"""Rewriting a function in place once the layouts of its values are chosen."""

from __future__ import annotations

from neomlir.mlir import ir, linalg, tensor
from neomlir.passes import layouts as lay
from neomlir.passes import structured as s
from neomlir.passes.dataflow import captured_values, indexing_maps, iterators
from neomlir.passes.layouts import Layout


class Relayout:
    """Let each value of `function` stand in memory as `layouts` says, and every operation agree with that."""

    def __init__(self, function: ir.Operation, layouts: dict[ir.Value, tuple[int, ...]]):
        self.function = function
        self.layouts = layouts
        self.made: dict[tuple[ir.Value, Layout], ir.Value] = {}

    def run(self) -> None:
        """Rewrite every operation of the function, in order."""
        for op in s.operations(self.function):
            if op.name == "linalg.generic":
                self._generic(op)
            elif op.name in lay.RESHAPES and lay.groups_of(op):
                self._reshape(op)
            elif lay.is_uniform(op):
                self._uniform(op)
            elif op.name == "tensor.dim" and self.layouts.get(op.operands[0]):
                self._dim(op)
            elif op.name not in lay.FLUID:
                self._plain(op)

    def want(self, value: ir.Value, layout: Layout, user: ir.Operation) -> ir.Value:
        """`value` in `layout`: itself, made again, or transposed before `user`."""
        has = self.layouts.get(value)
        if has == layout:
            return value
        known = self.made.get((value, layout))
        if known is not None:
            return known
        with ir.InsertionPoint(user), user.location:
            maker = s.maker(value)
            if maker is not None and maker.name in lay.FLUID:
                moved = self._fluid(maker, layout, user)
            else:
                back = s.inverse(lay.order_of(has, lay.rank_of(value)))
                moved = lay.transpose(value, [back[d] for d in lay.order_of(layout, lay.rank_of(value))])
        self.made[value, layout] = moved
        return moved

    def _fluid(self, maker: ir.Operation, layout: tuple[int, ...], user: ir.Operation) -> ir.Value:
        value = maker.results[0]
        if maker.name == "linalg.fill":
            out = self.want(maker.operands[1], layout, user)
            return linalg.fill(maker.operands[0], outs=[out])
        dynamic = dict(zip((d for d, e in enumerate(s.shape(value)) if e < 0), maker.operands, strict=True))
        return ir.Operation.create(
            "tensor.empty",
            results=[lay.permuted_type(value, layout)],
            operands=[dynamic[d] for d in layout if d in dynamic],
        ).results[0]

    def _settle(self, op: ir.Operation) -> None:
        """Give the results of `op` the types of their layouts."""
        for result in op.results:
            layout = self.layouts.get(result)
            if layout:
                result.set_type(lay.permuted_type(result, layout))

    def _generic(self, op: ir.Operation) -> None:
        maps = indexing_maps(op)
        first = len(op.operands) - len(op.results)
        for number, result in enumerate(op.results):
            op.operands[first + number] = self.want(op.operands[first + number], self.layouts.get(result), op)
        for number, value in enumerate(op.operands):
            layout = self.layouts.get(op.results[number - first]) if number >= first else self.layouts.get(value)
            if layout:
                results = s.permuted(list(maps[number].results), layout)
                maps[number] = ir.AffineMap.get(maps[number].n_dims, 0, results)
        self._captured(op)
        self._settle(op)
        order_loops(op, maps)

    def _captured(self, op: ir.Operation) -> None:
        """Coordinates of `tensor.extract` inside a body follow the layout of the tensor."""
        outside = [v for v in captured_values(op) if v not in list(op.operands) and self.layouts.get(v)]
        if not outside:
            return
        extracts = [
            inner.operation
            for inner in op.regions[0].blocks[0].operations
            if inner.operation.name == "tensor.extract" and inner.operation.operands[0] in outside
        ]
        for extract in extracts:
            indices = list(extract.operands)[1:]
            for number, value in enumerate(s.permuted(indices, self.layouts[extract.operands[0]])):
                extract.operands[number + 1] = value
        direct = {id_ for e in extracts for id_ in [e.operands[0]]}
        for value in outside:
            uses = [u.owner.operation for u in value.uses]
            if value in direct and all(u.name == "tensor.extract" or u.parent == op.parent for u in uses):
                continue
            others = {value: self.want(value, None, op)}
            for inner in op.regions[0].blocks[0].operations:
                if inner.operation not in extracts:
                    s.retarget(inner.operation, others)

    def _reshape(self, op: ir.Operation) -> None:
        source, result = op.operands[0], op.results[0]
        layout = self.layouts.get(result)
        if op.name == "tensor.expand_shape":
            collapsed, groups = lay.collapse_layout(op, layout)
            op.operands[0] = self.want(source, collapsed, op)
            if layout:
                lay.permute_mixed(op, "static_output_shape", 1, layout)
        else:
            expanded = self.layouts.get(source)
            # The source was given the type of its layout already.
            extents = s.permuted(s.shape(source), s.inverse(lay.order_of(expanded, lay.rank_of(source))))
            found = lay.collapse_layout(op, expanded, extents)
            if found is None or found[0] != layout:
                expanded = lay.expand_layout(op, layout)
                found = lay.collapse_layout(op, expanded, extents)
            groups = found[1]
            op.operands[0] = self.want(source, expanded, op)
        index = ir.IntegerType.get_signless(64)
        op.attributes["reassociation"] = ir.ArrayAttr.get(
            [ir.ArrayAttr.get([ir.IntegerAttr.get(index, d) for d in group]) for group in groups]
        )
        self._settle(op)

    def _uniform(self, op: ir.Operation) -> None:
        layout = self.layouts.get(op.results[0])
        for number, value in enumerate(op.operands):
            if lay.rank_of(value) == lay.rank_of(op.results[0]):
                op.operands[number] = self.want(value, layout, op)
        lay.permute_uniform(op, layout)
        self._settle(op)

    def _dim(self, op: ir.Operation) -> None:
        constant = s.constant_of(op.operands[1])
        layout = self.layouts[op.operands[0]]
        if constant is None:
            self._plain(op)
            return
        with ir.InsertionPoint(op), op.location:
            at = layout.index(ir.IntegerAttr(constant).value)
            s.replace(op, [tensor.DimOp(op.operands[0], lay.index_constant(at)).result])

    def _plain(self, op: ir.Operation) -> None:
        mapping = {v: self.want(v, None, op) for v in captured_values(op) if self.layouts.get(v)}
        if mapping:
            s.retarget(op, mapping)


def order_loops(op: ir.Operation, maps: list[ir.AffineMap]) -> None:
    """Give a generic its maps with the loops in order: the output's, then the reductions as the inputs have them."""
    kinds = iterators(op)
    order: dict[int, None] = {}
    for expr in maps[-1].results:
        for loop in sorted(s.uses_of(expr)):
            order.setdefault(loop)
    for loop, kind in enumerate(kinds):
        if kind == s.PARALLEL:
            order.setdefault(loop)
    for map_ in maps:
        for expr in map_.results:
            for loop in sorted(s.uses_of(expr)):
                order.setdefault(loop)
    for loop in range(len(kinds)):
        order.setdefault(loop)
    sequence = list(order)
    if sequence != list(range(len(kinds))):
        place = s.inverse(sequence)
        maps = [s.substitute(m, s.dims(place), len(kinds)) for m in maps]
        s.set_iterators(op, s.permuted(kinds, sequence))
        _renumber(op, place)
    s.set_maps(op, maps)


def _renumber(op: ir.Operation, place: list[int]) -> None:
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                inner = inner.operation
                if inner.name == "linalg.index":
                    old = ir.IntegerAttr(inner.attributes["dim"])
                    inner.attributes["dim"] = ir.IntegerAttr.get(old.type, place[old.value])
                _renumber(inner, place)
