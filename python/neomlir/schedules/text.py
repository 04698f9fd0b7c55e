"""Scheduled code written as text: for kernels that are loops and scalars more than tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable


class Code:
    """A new function of one kernel that is a single operation on its arguments; `function` parses it.

    Every method emits at the current place and gives the name of the value.
    """

    def __init__(self, func: ir.Operation, dialect: str):
        """Read the kernel `func`. Raises NotApplicable where its body is not one operation of `dialect`."""
        block = func.regions[0].blocks[0]
        ops = [op.operation for op in block.operations]
        if len(ops) != 2 or not ops[0].name.startswith(f"{dialect}.") or list(ops[1].operands) != list(ops[0].results):
            raise NotApplicable(f"the kernel is not one operation of {dialect}")
        self.func, self.op = func, ops[0]
        self.lines: list[str] = []
        self.top: list[str] = []
        self.count = 0
        self._constants: dict[tuple[str, str], str] = {}
        numbers = {argument: i for i, argument in enumerate(block.arguments)}
        if any(value not in numbers for value in self.op.operands):
            raise NotApplicable("an operand is not an argument of the kernel")
        self.buffers, self.types = [], []
        arguments = list(block.arguments)
        for i, argument in enumerate(arguments):
            kind = ir.RankedTensorType(argument.type)
            self.types.append(_memref(kind))
            read = "" if i == len(arguments) - 1 else "read_only "
            self.top.append(f"%b{i} = bufferization.to_buffer %a{i} {read}: {kind} to {self.types[-1]}")
            self.buffers.append(f"%b{i}")
        self._operand = [numbers[value] for value in self.op.operands]

    def operand(self, number: int) -> Table:
        """An operand of the operation as a buffer."""
        place = self._operand[number]
        return Table(self, self.buffers[place], self.types[place])

    # Values.

    def fresh(self) -> str:
        self.count += 1
        return f"%v{self.count}"

    def line(self, text: str) -> None:
        self.lines.append(text)

    def emit(self, text: str) -> str:
        """`%v = text`; the name."""
        name = self.fresh()
        self.lines.append(f"{name} = {text}")
        return name

    def constant(self, value: object, kind: str) -> str:
        """A constant of type `kind`, above everything else. Vectors are splats."""
        if isinstance(value, float):
            element = kind.rpartition("x")[2].rstrip(">")
            value = str(ir.FloatAttr.get(ir.Type.parse(element), value)).partition(" :")[0]
        key = (str(value), kind)
        if key not in self._constants:
            name = self.fresh()
            self._constants[key] = name
            text = f"dense<{value}>" if kind.startswith("vector") else value
            self.top.append(f"{name} = arith.constant {text}{'' if kind == 'i1' else f' : {kind}'}")
        return self._constants[key]

    def index(self, number: int) -> str:
        return self.constant(number, "index")

    def binary(self, name: str, a: str, b: str, kind: str = "index") -> str:
        return self.emit(f"arith.{name} {a}, {b} : {kind}")

    def compare(self, predicate: str, a: str, b: str, kind: str) -> str:
        floats = kind.rpartition("x")[2].startswith("f")
        return self.emit(f"arith.cmp{'f' if floats else 'i'} {predicate}, {a}, {b} : {kind}")

    def select(self, condition: str, a: str, b: str, kind: str) -> str:
        if kind.startswith("vector"):
            mask = f"{kind[: kind.rindex('x') + 1]}i1>"
            return self.emit(f"arith.select {condition}, {a}, {b} : {mask}, {kind}")
        return self.emit(f"arith.select {condition}, {a}, {b} : {kind}")

    def to_index(self, value: str, kind: str, *, signed: bool = True) -> str:
        return self.emit(f"arith.index_cast{'' if signed else 'ui'} {value} : {kind} to index")

    # Control.

    def loop(
        self,
        low: str,
        high: str,
        step: str,
        carried: Sequence[tuple[str, str]],
        body: Callable[[str, list[str]], Sequence[str]],
    ) -> list[str]:
        """`scf.for` that carries (value, type)s; `body(i, values)` gives the next ones."""
        i, inside = self.fresh(), [self.fresh() for _ in carried]
        name = self.fresh()
        kinds = ", ".join(kind for _, kind in carried)
        given = ", ".join(f"{n} = {v}" for n, (v, _) in zip(inside, carried, strict=True))
        head = f"scf.for {i} = {low} to {high} step {step}"
        if carried:
            head = f"{name}{f':{len(carried)}' if len(carried) > 1 else ''} = {head} iter_args({given}) -> ({kinds})"
        self.line(head + " {")
        results = list(body(i, inside))
        if carried:
            self.line(f"scf.yield {', '.join(results)} : {kinds}")
        self.line("}")
        return [name] if len(carried) == 1 else [f"{name}#{n}" for n in range(len(carried))]

    def when(
        self,
        condition: str,
        kinds: Sequence[str],
        then: Callable[[], Sequence[str]],
        otherwise: Callable[[], Sequence[str]] | None = None,
    ) -> list[str]:
        """`scf.if` with results of `kinds`."""
        name, all_kinds = self.fresh(), ", ".join(kinds)
        many = f":{len(kinds)}" if len(kinds) > 1 else ""
        self.line(f"{name}{many} = scf.if {condition} -> ({all_kinds}) {{" if kinds else f"scf.if {condition} {{")
        for number, branch in enumerate((then, otherwise)):
            if branch is None:
                continue
            if number:
                self.line("} else {")
            results = branch()
            if kinds:
                self.line(f"scf.yield {', '.join(results)} : {all_kinds}")
        self.line("}")
        return [name] if len(kinds) == 1 else [f"{name}#{n}" for n in range(len(kinds))]

    def repeat(self, start: str, kind: str, goes_on: Callable[[str], str], step: Callable[[str], str]) -> str:
        """`scf.while`: from `start`, `step` as long as `goes_on`."""
        name, before, after = self.fresh(), self.fresh(), self.fresh()
        self.line(f"{name} = scf.while ({before} = {start}) : ({kind}) -> {kind} {{")
        self.line(f"scf.condition({goes_on(before)}) {before} : {kind}")
        self.line("} do {")
        self.line(f"^bb0({after}: {kind}):")
        self.line(f"scf.yield {step(after)} : {kind}")
        self.line("}")
        return name

    def items(self, count: str | int, body: Callable[[str], None]) -> None:
        """One work item a number below `count`."""
        if count == 1:
            body(self.index(0))
            return
        i = self.fresh()
        self.line(f"scf.forall ({i}) in ({count}) {{")
        body(i)
        self.line("}")

    def scratch(self, shape: Sequence[int], element: str) -> Table:
        """Memory of whoever runs a range of work items."""
        kind, name = f"memref<{'x'.join(map(str, (*shape, element)))}>", self.fresh()
        self.top.append(f"{name} = memref.alloca() {{alignment = 64 : i64}} : {kind}")
        return Table(self, name, ir.MemRefType(ir.Type.parse(kind)))

    def function(self) -> ir.Operation:
        """The function, beside the one that it stands for."""
        function_type = ir.FunctionType(ir.TypeAttr(self.func.attributes["function_type"]).value)
        name = ir.StringAttr(self.func.attributes["sym_name"]).value
        arguments = ", ".join(f"%a{i}: {kind}" for i, kind in enumerate(function_type.inputs))
        result, out = function_type.results[0], len(function_type.inputs) - 1
        text = "\n".join(
            [
                f'func.func @"{name}"({arguments}) -> {result} {{',
                *self.top,
                *self.lines,
                f"%result = bufferization.to_tensor %b{out} restrict writable : {self.types[out]} to {result}",
                f"return %result : {result}",
                "}",
            ]
        )
        made = ir.Operation.parse(text).operation
        for key in self.func.attributes:
            made.attributes[key] = self.func.attributes[key]
        ir.InsertionPoint(self.func).insert(made)
        return made


class Table:
    """A buffer in the text."""

    def __init__(self, code: Code, name: str, kind: ir.MemRefType):
        self.code, self.name, self.kind = code, name, kind
        self.element = str(kind.element_type)
        self.shape = list(kind.shape)

    def at(self, *places: str) -> str:
        """Load one element."""
        return self.code.emit(f"memref.load {self.name}[{', '.join(places)}] : {self.kind}")

    def put(self, value: str, *places: str) -> None:
        """Store one element."""
        self.code.line(f"memref.store {value}, {self.name}[{', '.join(places)}] : {self.kind}")

    def vector(self, width: int, *places: str) -> str:
        """Load `width` neighbours."""
        kind = f"vector<{width}x{self.element}>"
        return self.code.emit(f"vector.load {self.name}[{', '.join(places)}] : {self.kind}, {kind}")

    def put_vector(self, value: str, width: int, *places: str) -> None:
        """Store `width` neighbours."""
        kind = f"vector<{width}x{self.element}>"
        self.code.line(f"vector.store {value}, {self.name}[{', '.join(places)}] : {self.kind}, {kind}")

    def gather(self, width: int, offsets: str, *places: str, offset_type: str = "i32") -> str:
        """Load element `places` + offset for each of a vector of offsets (along the last dimension)."""
        code = self.code
        mask = code.constant("true", f"vector<{width}xi1>")
        kind = f"vector<{width}x{self.element}>"
        zero = code.constant(0.0 if self.element[0] == "f" else 0, kind)
        return code.emit(
            f"vector.gather {self.name}[{', '.join(places)}] [{offsets}], {mask}, {zero} : {self.kind}, "
            f"vector<{width}x{offset_type}>, vector<{width}xi1>, {kind} into {kind}"
        )

    def dim(self, number: int) -> str:
        """The extent of a dimension, as an index."""
        if self.shape[number] >= 0:
            return self.code.index(self.shape[number])
        return self.code.emit(f"memref.dim {self.name}, {self.code.index(number)} : {self.kind}")


def _memref(kind: ir.RankedTensorType) -> ir.MemRefType:
    return ir.MemRefType.get(kind.shape, kind.element_type, loc=ir.Location.unknown(kind.context))
