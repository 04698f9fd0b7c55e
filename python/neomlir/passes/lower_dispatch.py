"""Lower `neo.dispatch` to calls of the runtime's `parallel_for`, and its memory calls to the runtime's callbacks."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, register
from neomlir.passes.emit_thunks import slots
from neomlir.passes.expect import fail
from neomlir.passes.functions import defined_functions, functions, name_of
from neomlir.passes.places import type_bytes

# Fields of `struct neo_call`, all of them pointers, see docs/levels.md.
RUNTIME, PARALLEL_FOR, ALLOC, FREE, OUTPUT = range(5, 10)

_FIELD = """  %at_{name} = llvm.getelementptr %call[{number}] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
  %{name} = llvm.load %at_{name} {{alignment = 4 : i64}} : !llvm.ptr -> !llvm.ptr
"""
_STRUCT = "!llvm.struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)>"
_AS_MEMREF = f"""  %zero = llvm.mlir.constant(0 : i64) : i64
  %one = llvm.mlir.constant(1 : i64) : i64
  %huge = llvm.mlir.constant(9223372036854775807 : i64) : i64
  %u = llvm.mlir.poison : {_STRUCT}
  %s0 = llvm.insertvalue %p, %u[0] : {_STRUCT}
  %s1 = llvm.insertvalue %p, %s0[1] : {_STRUCT}
  %s2 = llvm.insertvalue %zero, %s1[2] : {_STRUCT}
  %s3 = llvm.insertvalue %huge, %s2[3, 0] : {_STRUCT}
  %s4 = llvm.insertvalue %one, %s3[4, 0] : {_STRUCT}
  %m = builtin.unrealized_conversion_cast %s4 : {_STRUCT} to memref<?xi8>
  return %m : memref<?xi8>
}}"""


def _field(name: str, number: int) -> str:
    return _FIELD.format(name=name, number=number)


@register
@dataclass(frozen=True)
class LowerDispatch(ModulePass):
    """Lower each `neo.dispatch` of the host to a call of the runtime.

    The arguments go to an array of 8-byte slots on the stack, shared by all dispatches of a function. A dispatch of one
    item calls the runtime too, which so sees every kernel of a run, in order. `@neo_alloc`, `@neo_free` and
    `@neo_output_RANK` get bodies that call back through `struct neo_call`.
    """

    name = "neo-lower-dispatch"

    def run(self, module: ir.Module) -> None:
        """Rewrite the host functions."""
        with ir.Location.unknown(module.context):
            for function in defined_functions(module.operation):
                _lower(module, function)
            for function in functions(module.operation):
                _define_callback(function)
            ir.InsertionPoint.at_block_begin(module.body).insert(ir.Operation.parse(_parallel_for()))


def _lower(module: ir.Module, function: ir.Operation) -> None:
    entry = function.regions[0].blocks[0]
    dispatches = [op.operation for op in entry.operations if op.operation.name == "neo.dispatch"]
    if not dispatches:
        return
    size = max(sum(slots(v.type) for v in _arguments(op)) for op in dispatches)
    i64 = ir.IntegerType.get_signless(64)
    pointer = ir.Type.parse("!llvm.ptr")
    at = ir.InsertionPoint.at_block_begin(entry)
    slots_type = ir.MemRefType.get([size], i64)
    payload = ir.Operation.create(
        "memref.alloca",
        results=[slots_type],
        attributes={"operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, 0])},
        ip=at,
    ).results[0]
    data = _pointer_of(payload, pointer, at)
    for op in dispatches:
        emit = _Emitter(module, ir.InsertionPoint(op), i64)
        slot = 0
        for value in _arguments(op):
            for word in emit.words(value):
                emit.store(word, payload, slot)
                slot += 1
        emit.run(op, data, pointer)
        packed = op.operands[2].owner
        op.erase()
        packed.erase()


def _arguments(op: ir.Operation) -> list[ir.Value]:
    """What a dispatch passes to its kernel."""
    packed = op.operands[2].owner
    if isinstance(packed, ir.Block) or packed.operation.name != "builtin.unrealized_conversion_cast":
        fail(op, f"{LowerDispatch.name}: the arguments of a dispatch come from a builtin.unrealized_conversion_cast")
    return list(op.operands[2].owner.operands)


def _pointer_of(buffer: ir.Value, pointer: ir.Type, at: ir.InsertionPoint) -> ir.Value:
    address = ir.Operation.create(
        "memref.extract_aligned_pointer_as_index", results=[ir.IndexType.get()], operands=[buffer], ip=at
    ).results[0]
    number = ir.Operation.create(
        "arith.index_cast", results=[ir.IntegerType.get_signless(64)], operands=[address], ip=at
    ).results[0]
    return ir.Operation.create("llvm.inttoptr", results=[pointer], operands=[number], ip=at).results[0]


@dataclass
class _Emitter:
    module: ir.Module
    at: ir.InsertionPoint
    i64: ir.Type

    def create(self, name: str, types: list[ir.Type], operands: list[ir.Value], **attributes: ir.Attribute) -> ir.Value:
        op = ir.Operation.create(name, results=types, operands=operands, attributes=attributes, ip=self.at)
        return op.results[0] if types else op

    def index(self, number: int) -> ir.Value:
        type_ = ir.IndexType.get()
        return self.create("arith.constant", [type_], [], value=ir.IntegerAttr.get(type_, number))

    def words(self, value: ir.Value) -> list[ir.Value]:
        """The 8-byte words that pass `value` to a thunk."""
        index, type_ = ir.IndexType.get(), value.type
        if isinstance(type_, ir.MemRefType):
            address = self.create("memref.extract_aligned_pointer_as_index", [index], [value])
            before = type_.get_strides_and_offset()[1] * type_bytes(type_.element_type)
            if before:
                none = ir.Attribute.parse("#arith.overflow<none>")
                address = self.create("arith.addi", [index], [address, self.index(before)], overflowFlags=none)
            extents = [
                self.create("memref.dim", [index], [value, self.index(i)])
                for i in range(type_.rank)
                if type_.is_dynamic_dim(i)
            ]
            return [self.create("arith.index_cast", [self.i64], [word]) for word in (address, *extents)]
        if isinstance(type_, ir.IndexType):
            return [self.create("arith.index_cast", [self.i64], [value])]
        if not isinstance(type_, ir.IntegerType):
            type_ = ir.IntegerType.get_signless(type_.width)
            value = self.create("arith.bitcast", [type_], [value])
        return [value if type_.width == 64 else self.create("arith.extui", [self.i64], [value])]

    def store(self, word: ir.Value, payload: ir.Value, slot: int) -> None:
        self.create("memref.store", [], [word, payload, self.index(slot)])

    def run(self, op: ir.Operation, data: ir.Value, pointer: ir.Type) -> None:
        kernel = ir.FlatSymbolRefAttr(op.attributes["kernel"]).value
        thunk = f"{kernel}.run"
        if not any(
            o.operation.name == "llvm.func" and name_of(o.operation) == thunk for o in self.module.body.operations
        ):
            declaration = ir.Operation.parse(f'llvm.func @"{thunk}"(i64, i64, !llvm.ptr)')
            ir.InsertionPoint.at_block_begin(self.module.body).insert(declaration)
        items = self.create("arith.index_cast", [self.i64], [op.operands[1]])
        symbol = ir.FlatSymbolRefAttr.get(thunk)
        body = self.create("llvm.mlir.addressof", [pointer], [], global_name=symbol)
        self._call("llvm.call", ir.FlatSymbolRefAttr.get("neo_parallel_for"), [op.operands[0], items, body, data])

    def _call(self, name: str, callee: ir.Attribute, operands: list[ir.Value]) -> None:
        segments = ir.DenseI32ArrayAttr.get([len(operands), 0])
        self.create(
            name,
            [],
            operands,
            callee=callee,
            operandSegmentSizes=segments,
            op_bundle_sizes=ir.DenseI32ArrayAttr.get([]),
        )


def _parallel_for() -> str:
    return (
        "llvm.func internal @neo_parallel_for(%call: !llvm.ptr, %items: i64, %body: !llvm.ptr, %data: !llvm.ptr) {\n"
        + _field("runtime", RUNTIME)
        + _field("callback", PARALLEL_FOR)
        + "  llvm.call %callback(%runtime, %items, %body, %data)"
        + " : !llvm.ptr, (!llvm.ptr, i64, !llvm.ptr, !llvm.ptr) -> ()\n"
        + "  llvm.return\n}"
    )


def _define_callback(function: ir.Operation) -> None:
    """Replace the declaration of a memory function by its definition."""
    name = name_of(function)
    start = f"func.func private @{name}(%call: !llvm.ptr, "
    if name == "neo_alloc":
        text = start + "%bytes: index) -> memref<?xi8> {\n" + _field("runtime", RUNTIME) + _field("callback", ALLOC)
        text += "  %n = arith.index_cast %bytes : index to i64\n"
        text += "  %p = llvm.call %callback(%runtime, %n) : !llvm.ptr, (!llvm.ptr, i64) -> !llvm.ptr\n" + _AS_MEMREF
    elif name == "neo_free":
        text = start + "%buffer: memref<?xi8>) {\n" + _field("runtime", RUNTIME) + _field("callback", FREE)
        text += "  %a = memref.extract_aligned_pointer_as_index %buffer : memref<?xi8> -> index\n"
        text += "  %i = arith.index_cast %a : index to i64\n  %p = llvm.inttoptr %i : i64 to !llvm.ptr\n"
        text += "  llvm.call %callback(%runtime, %p) : !llvm.ptr, (!llvm.ptr, !llvm.ptr) -> ()\n  return\n}"
    elif name.startswith("neo_output_"):
        rank = int(name.rsplit("_", 1)[1])
        extents = "".join(f", %d{i}: index" for i in range(rank))
        text = start + f"%number: index{extents}) -> memref<?xi8> {{\n" + _field("runtime", RUNTIME)
        text += _field("callback", OUTPUT) + "  %n = arith.index_cast %number : index to i64\n"
        text += (
            f"  %r = llvm.mlir.constant({rank} : i64) : i64\n  %size = llvm.mlir.constant({max(rank, 1)} : i64) : i64\n"
        )
        text += "  %dims = llvm.alloca %size x i64 : (i64) -> !llvm.ptr\n"
        for i in range(rank):
            text += f"  %x{i} = arith.index_cast %d{i} : index to i64\n"
            text += f"  %at{i} = llvm.getelementptr %dims[{i}] : (!llvm.ptr) -> !llvm.ptr, i64\n"
            text += f"  llvm.store %x{i}, %at{i} : i64, !llvm.ptr\n"
        text += "  %p = llvm.call %callback(%runtime, %n, %r, %dims)"
        text += " : !llvm.ptr, (!llvm.ptr, i64, i64, !llvm.ptr) -> !llvm.ptr\n"
        text += _AS_MEMREF
    else:
        return
    definition = ir.Operation.parse(text)
    # In a static program they stand beside the runtime's own functions, or a user's.
    definition.attributes["llvm.linkage"] = ir.Attribute.parse("#llvm.linkage<internal>")
    ir.InsertionPoint(function).insert(definition)
    function.erase()
