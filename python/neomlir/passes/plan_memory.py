"""Bufferise the host functions: every intermediate at an offset of one arena, every weight at one of the weights."""

from __future__ import annotations

from dataclasses import dataclass, field

from neomlir.errors import PassFailure
from neomlir.mlir import ir
from neomlir.passes.arena import Buffer, align, assign_offsets
from neomlir.passes.base import ModulePass, count, register
from neomlir.passes.dataflow import Block
from neomlir.passes.expect import expect_signature, expect_straight_line
from neomlir.passes.functions import defined_functions, functions, kernels, name_of
from neomlir.passes.in_place import PARTS
from neomlir.passes.places import VIEWS, Places, buffer_type, tensor_bytes, type_bytes, without_offset
from neomlir.passes.relate_extents import ATTRIBUTE as EXTENTS

_LOAD = "ml_program.global_load_const"


@register
@dataclass(frozen=True)
class PlanMemory(ModulePass):
    """Bufferise the host functions and plan their memory.

    Expects the functions of level `kernels` and kernels of level `memref` (declarations suffice). Static intermediates
    become views of the arena, reused by liveness; slices, and the operands of concatenations, become views of the
    memory of the larger tensor, which is why they have to lie in it from end to end; results are written straight to
    the caller's buffers; weights become views of the weights at 64-byte aligned offsets (`neo.weights` on the function;
    arguments of their own where the function defines weights). Buffers of dynamic size come from the runtime and go
    back after their last use. Calls become `neo.dispatch`.
    """

    name = "neo-plan-memory"

    def run(self, module: ir.Module) -> None:
        """Rebuild every host function and drop the kernels' tensor declarations."""
        known = kernels(module.operation)
        with ir.Location.unknown(module.context):
            for function in defined_functions(module.operation):
                if name_of(function) not in ("neo_alloc", "neo_free", "neo_output"):
                    expect_straight_line(function, self.name)
                    expect_signature(function, self.name, ir.RankedTensorType, "kernels")
                    _Host(module, function, known).rebuild()
            for function in functions(module.operation):
                declared = not len(function.regions[0].blocks) and name_of(function) in known
                if declared and not name_of(function).endswith(".grid"):
                    function.erase()


def _symbol(load: ir.Operation) -> str:
    """The name of the global that is loaded."""
    return str(load.attributes["global"])[1:].strip('"')


@dataclass
class _Host:
    module: ir.Module
    old: ir.Operation
    kernels: dict[str, ir.Operation]
    values: dict[ir.Value, ir.Value] = field(default_factory=dict)
    scalars: dict[ir.Value, list[ir.Value]] = field(default_factory=dict)
    allocated: dict[ir.Value, ir.Value] = field(default_factory=dict)

    def rebuild(self) -> None:
        self.block = Block.of(self.old)
        self.index = ir.IndexType.get()
        self.bytes_type = ir.Type.parse("memref<?xi8>")
        self.places = Places.of(self.old, self.block)
        self.output = self.places.outputs
        self._find_lifetimes()
        self._make_function()
        for number, op in enumerate(self.block.ops[:-1]):
            self._convert(number, op)
            self._release(number)
        ir.Operation.create("func.return", ip=self.at)
        self.old.erase()

    # How long what shares memory lives.

    def _find_lifetimes(self) -> None:
        self.lifetime: dict[ir.Value, Buffer] = {}
        for number, op in enumerate(self.block.ops):
            for value in self.block.reads[number]:
                if op.name == "func.call" or op.name == "tensor.extract":
                    root, _ = self.places.place(value)
                    if not self.places.is_held(root) or root in self.output:
                        continue
                    size = tensor_bytes(root.type) if ir.RankedTensorType(root.type).has_static_shape else 0
                    buffer = self.lifetime.setdefault(root, Buffer(size, number, number))
                    buffer.last = number
        static = {v: b for v, b in self.lifetime.items() if ir.RankedTensorType(v.type).has_static_shape}
        self.arena_bytes = assign_offsets(list(static.values()))
        count("arena bytes", self.arena_bytes)
        count("buffers in the arena", len(static))
        self.offsets = {v: b.offset for v, b in static.items()}
        self.free_after: dict[int, list[ir.Value]] = {}
        for value, buffer in self.lifetime.items():
            if value not in static:
                self.free_after.setdefault(buffer.last, []).append(value)

    # The new function.

    def _make_function(self) -> None:
        old = self.old
        arguments = list(old.regions[0].blocks[0].arguments)
        returned = list(self.block.ops[-1].operands)
        self.defines_weights = "res_attrs" in old.attributes and "neo.defines" in str(old.attributes["res_attrs"])
        loads = {}
        for op in self.block.ops:
            if op.name == _LOAD:
                loads.setdefault(_symbol(op), op)
        types = [buffer_type(a.type) for a in arguments]
        attributes = [self._attributes(old, "arg_attrs", i) for i in range(len(arguments))]
        if self.defines_weights:
            for symbol, op in loads.items():
                types.append(buffer_type(op.results[0].type))
                attributes.append(ir.DictAttr.get({"neo.weight": ir.FlatSymbolRefAttr.get(symbol)}))
        static = [v for v in returned if ir.RankedTensorType(v.type).has_static_shape]
        for number, value in enumerate(returned):
            types.append(buffer_type(value.type) if value in static else self.bytes_type)
            attributes.append(self._attributes(old, "res_attrs", number))
        pointer = ir.Type.parse("!llvm.ptr")
        empty = ir.DictAttr.get({})
        types += [self.bytes_type, self.bytes_type, pointer]
        attributes += [empty, empty, empty]
        offset, offsets = 0, {}
        if not self.defines_weights:
            for symbol, op in loads.items():
                offsets[symbol] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), offset)
                offset = align(offset + tensor_bytes(op.results[0].type))
        i64 = ir.IntegerType.get_signless(64)
        kept = {name: old.attributes[name] for name in (EXTENTS,) if name in old.attributes}
        new = ir.Operation.create(
            "func.func",
            regions=1,
            attributes={
                **kept,
                "sym_name": old.attributes["sym_name"],
                "function_type": ir.TypeAttr.get(ir.FunctionType.get(types, [])),
                "arg_attrs": ir.ArrayAttr.get(attributes),
                "neo.signature": ir.TypeAttr.get(ir.FunctionType.get(types, [])),
                "neo.arena": ir.IntegerAttr.get(i64, self.arena_bytes),
                "neo.weights": ir.DictAttr.get(offsets),
                "neo.weights_size": ir.IntegerAttr.get(i64, offset),
                "neo.outputs": ir.ArrayAttr.get([ir.TypeAttr.get(buffer_type(v.type)) for v in returned]),
            },
            ip=ir.InsertionPoint(old),
        )
        entry = ir.Block.create_at_start(new.regions[0], types)
        self.at = ir.InsertionPoint(entry)
        given = list(entry.arguments)
        self.weights, self.arena, self.runtime = given[-3:]
        self.values.update(zip(arguments, given, strict=False))
        self.offset_of = {name: attribute.value for name, attribute in offsets.items()}
        first = len(arguments)
        if self.defines_weights:
            self.loaded = dict(zip(loads, given[first:], strict=False))
            first += len(loads)
        self.results = given[first : first + len(returned)]
        self.constants: dict[int, ir.Value] = {}

    @staticmethod
    def _attributes(function: ir.Operation, kind: str, position: int) -> ir.Attribute:
        if kind not in function.attributes:
            return ir.DictAttr.get({})
        return function.attributes[kind][position]

    def _create(
        self, name: str, types: list[ir.Type], operands: list[ir.Value], **attributes: ir.Attribute
    ) -> ir.Value:
        op = ir.Operation.create(name, results=types, operands=operands, attributes=attributes, ip=self.at)
        return op.results[0] if types else op

    def _constant(self, number: int) -> ir.Value:
        return self._create("arith.constant", [self.index], [], value=ir.IntegerAttr.get(self.index, number))

    def _view(self, bytes_: ir.Value, offset: int, type_: ir.Type, extents: list[ir.Value] = ()) -> ir.Value:
        return self._create("memref.view", [type_], [bytes_, self._constant(offset), *extents])

    def _convert(self, number: int, op: ir.Operation) -> None:
        if op.name in PARTS or (op.name == "tensor.empty" and op.results[0] in self.places.parent):
            self.values[op.results[0]] = self._placed(op.results[0])
            return
        if (op.name in VIEWS or op.name == "tensor.reshape") and self.places.place(op.results[0])[1]:
            if any(not ir.RankedTensorType(v.type).has_static_shape for v in (op.operands[0], op.results[0])):
                raise PassFailure(f"{name_of(self.old)}: a {op.name} of a part of a tensor needs static extents")
            self.values[op.results[0]] = self._placed(op.results[0])
            return
        match op.name:
            case "ml_program.global_load_const":
                symbol = _symbol(op)
                type_ = buffer_type(op.results[0].type)
                self.values[op.results[0]] = (
                    self.loaded[symbol]
                    if self.defines_weights
                    else self._view(self.weights, self.offset_of[symbol], type_)
                )
            case "tensor.empty":
                self.values[op.results[0]] = self._buffer(op)
            case "tensor.expand_shape" | "tensor.collapse_shape" | "tensor.cast":
                attributes = {k: op.attributes[k] for k in op.attributes}
                self.values[op.results[0]] = self._create(
                    VIEWS[op.name],
                    [buffer_type(op.results[0].type)],
                    [self.values[v] for v in op.operands],
                    **attributes,
                )
            case "tensor.from_elements":
                self.scalars[op.results[0]] = [self.values[v] for v in op.operands]
            case "tensor.reshape":
                self.values[op.results[0]] = self._reshape(op)
            case "tensor.dim":
                self.values[op.results[0]] = self._create(
                    "memref.dim", [self.index], [self.values[v] for v in op.operands]
                )
            case "tensor.extract":
                self.values[op.results[0]] = self._create(
                    "memref.load", [op.results[0].type], [self.values[v] for v in op.operands]
                )
            case "func.call":
                self._dispatch(op)
            case _:
                clone = op.clone(ip=self.at)
                for i, value in enumerate(op.operands):
                    clone.operands[i] = self.values[value]
                self.values.update(zip(op.results, clone.results, strict=True))

    def _placed(self, value: ir.Value) -> ir.Value:
        """The buffer of a tensor of static extents that lies in the memory of another, or of several."""
        (root, before), type_ = self.places.place(value), buffer_type(value.type)
        if root in self.offsets:
            return self._view(self.arena, self.offsets[root] + before, type_)
        maker = self.block.made_by(root)
        if maker is not None and maker.name == _LOAD and not self.defines_weights:
            return self._view(self.weights, self.offset_of[_symbol(maker)] + before, type_)
        written = root in self.output and ir.RankedTensorType(root.type).has_static_shape
        buffer = self.results[self.output[root]] if written else self.values[root]
        return self._recast(buffer, type_, before // type_bytes(type_.element_type))

    def _reshape(self, op: ir.Operation) -> ir.Value:
        """A view of a contiguous buffer in extents that the host computed."""
        type_ = buffer_type(op.results[0].type)
        extents = []
        for scalar in self.scalars[op.operands[1]]:
            is_index = isinstance(scalar.type, ir.IndexType)
            extents.append(scalar if is_index else self._create("arith.index_cast", [self.index], [scalar]))
        extents = [e if type_.is_dynamic_dim(i) else self._constant(type_.shape[i]) for i, e in enumerate(extents)]
        strides = [self._constant(1)]
        for extent in reversed(extents[1:]):
            strides.insert(0, self._multiply(strides[0], extent))
        dynamic = ir.ShapedType.get_dynamic_stride_or_offset()
        rank = type_.rank
        spread = ir.Type.parse(
            f"memref<{''.join('?x' if type_.is_dynamic_dim(i) else f'{e}x' for i, e in enumerate(type_.shape))}"
            f"{type_.element_type}, strided<[{', '.join(['?'] * rank)}]>>"
        )
        view = ir.Operation.create(
            "memref.reinterpret_cast",
            results=[spread],
            operands=[
                self.values[op.operands[0]],
                *[e for i, e in enumerate(extents) if type_.is_dynamic_dim(i)],
                *strides[:rank],
            ],
            attributes={
                "static_offsets": ir.DenseI64ArrayAttr.get([0]),
                "static_sizes": ir.DenseI64ArrayAttr.get(list(type_.shape)),
                "static_strides": ir.DenseI64ArrayAttr.get([dynamic] * rank),
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get(
                    [1, 0, sum(type_.is_dynamic_dim(i) for i in range(rank)), rank]
                ),
            },
            ip=self.at,
        ).results[0]
        return self._create("memref.cast", [type_], [view])

    def _multiply(self, a: ir.Value, b: ir.Value) -> ir.Value:
        none = ir.Attribute.parse("#arith.overflow<none>")
        return self._create("arith.muli", [self.index], [a, b], overflowFlags=none)

    def _buffer(self, op: ir.Operation) -> ir.Value:
        """Memory for a `tensor.empty`: the caller's, the arena's, or the runtime's."""
        value = op.results[0]
        type_ = buffer_type(value.type)
        extents = [self.values[v] for v in op.operands]
        if value in self.output:
            number = self.output[value]
            given = self.results[number]
            if ir.RankedTensorType(value.type).has_static_shape:
                return self._recast(given, type_)
            return self._view(self._output(number, type_, extents), 0, type_, extents)
        if value in self.offsets:
            return self._view(self.arena, self.offsets[value], type_)
        if value not in self.lifetime:
            return self._view(self.arena, 0, type_, extents)
        size = self._constant(type_bytes(type_.element_type))
        for i, extent in enumerate(type_.shape):
            factor = (
                extents[sum(type_.is_dynamic_dim(j) for j in range(i))]
                if type_.is_dynamic_dim(i)
                else self._constant(extent)
            )
            size = self._multiply(size, factor)
        self._declare("neo_alloc", [self.runtime.type, self.index], [self.bytes_type])
        memory = self._create(
            "func.call", [self.bytes_type], [self.runtime, size], callee=ir.FlatSymbolRefAttr.get("neo_alloc")
        )
        self.allocated[value] = memory
        return self._view(memory, 0, type_, extents)

    def _output(self, number: int, type_: ir.MemRefType, dynamic: list[ir.Value]) -> ir.Value:
        rest = iter(dynamic)
        extents = [next(rest) if type_.is_dynamic_dim(i) else self._constant(e) for i, e in enumerate(type_.shape)]
        name = f"neo_output_{len(extents)}"
        self._declare(name, [self.runtime.type] + [self.index] * (1 + len(extents)), [self.bytes_type])
        return self._create(
            "func.call",
            [self.bytes_type],
            [self.runtime, self._constant(number), *extents],
            callee=ir.FlatSymbolRefAttr.get(name),
        )

    def _recast(self, given: ir.Value, type_: ir.MemRefType, before: int = 0) -> ir.Value:
        """A buffer seen in another shape, from `before` of its elements on."""
        strides, step = [], 1
        for extent in reversed(type_.shape):
            strides.insert(0, step)
            step *= extent
        if given.type == type_ and not before:
            return given
        layout = ir.StridedLayoutAttr.get(before, strides) if before else None
        return ir.Operation.create(
            "memref.reinterpret_cast",
            results=[ir.MemRefType.get(type_.shape, type_.element_type, layout)],
            operands=[given],
            attributes={
                "static_offsets": ir.DenseI64ArrayAttr.get([before]),
                "static_sizes": ir.DenseI64ArrayAttr.get(list(type_.shape)),
                "static_strides": ir.DenseI64ArrayAttr.get(strides),
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 0, 0]),
            },
            ip=self.at,
        ).results[0]

    def _declare(self, name: str, arguments: list[ir.Type], results: list[ir.Type]) -> None:
        if any(name_of(f) == name for f in functions(self.module.operation)):
            return
        ir.Operation.create(
            "func.func",
            regions=1,
            attributes={
                "sym_name": ir.StringAttr.get(name),
                "sym_visibility": ir.StringAttr.get("private"),
                "function_type": ir.TypeAttr.get(ir.FunctionType.get(arguments, results)),
            },
            ip=ir.InsertionPoint(functions(self.module.operation)[0]),
        )

    def _dispatch(self, op: ir.Operation) -> None:
        callee = op.attributes["callee"]
        kernel = self.kernels[ir.FlatSymbolRefAttr(callee).value]
        operands = [self.values[v] for v in op.operands]
        grid = kernel.attributes["neo.grid"]
        if isinstance(grid, ir.IntegerAttr):
            items = self._constant(grid.value)
        else:
            # Only extents are asked for, so a part of a tensor may be any of them.
            given = [
                self._recast(v, without_offset(v.type)) if v.type != without_offset(v.type) else v for v in operands
            ]
            self._declare(ir.FlatSymbolRefAttr(grid).value, [v.type for v in given], [self.index])
            items = self._create("func.call", [self.index], given, callee=grid)
        types = ir.TupleType.get_tuple([v.type for v in operands])
        arguments = self._create("builtin.unrealized_conversion_cast", [types], operands)
        self._create("neo.dispatch", [], [self.runtime, items, arguments], kernel=callee)
        for result, destination in zip(op.results, list(op.operands)[-len(op.results) :], strict=True):
            self.values[result] = self.values[destination]

    def _release(self, number: int) -> None:
        for value in self.free_after.get(number, []):
            self._declare("neo_free", [self.runtime.type, self.bytes_type], [])
            self._create(
                "func.call", [], [self.runtime, self.allocated[value]], callee=ir.FlatSymbolRefAttr.get("neo_free")
            )
