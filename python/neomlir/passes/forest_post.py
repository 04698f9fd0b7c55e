"""Write what follows the sum of an ensemble (the link function of its objective) as linalg."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomlir.mlir import ir
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.trees import parse_post

# Rounded as ONNX Runtime's constants are.
_PROBIT = float(np.float32(2.0) / (np.float32(3.14159) * np.float32(0.147)))
_INVERSE = float(np.float32(1.0) / np.float32(0.147))
_ROW = "affine_map<(d0, d1) -> (d0)>"


@register
@dataclass(frozen=True)
class ForestPost(ModulePass):
    """Rewrite each `forest.ensemble` with post-transforms as one without, and linalg operations behind it.

    Steps on single numbers are one `linalg.generic`; those on rows (`softmax`, `normalise`, `argmax`) are reductions.
    """

    name = "neo-forest-post"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                for op in [o for o in s.operations(function) if o.name == "forest.ensemble"]:
                    if len(op.attributes["post"]):
                        _expand(op)


def _expand(op: ir.Operation) -> None:
    steps = [parse_post(a.value) for a in op.attributes["post"]]
    outputs = ir.RankedTensorType(op.attributes["base"].type).shape[0]
    kind = ir.RankedTensorType(op.results[0].type)
    rows = ir.RankedTensorType(op.operands[0].type).shape[0]
    raw_shape = [rows] if outputs == 1 else [rows, outputs]
    raw = ir.RankedTensorType.get(raw_shape, kind.element_type)
    op.attributes["post"] = ir.ArrayAttr.get([])
    attributes = {name: op.attributes[name] for name in op.attributes}
    with ir.InsertionPoint(op), op.location:
        bare = ir.Operation.create(op.name, results=[raw], operands=list(op.operands), attributes=attributes)
    text = Text(raw, op.operands[0].type).steps(steps).end(kind)
    template = ir.Module.parse(text)
    function = template.body.operations[0].operation
    block = function.regions[0].blocks[0]
    mapping = dict(zip(block.arguments, [bare.results[0], op.operands[0]], strict=True))
    inner = s.operations(function)
    s.clone_into(inner[:-1], mapping, ir.InsertionPoint(op))
    result = mapping[inner[-1].operands[0]]
    s.replace(op, [result])


class Text:
    """A function `(raw, x) -> result` as text; `rows` and `columns` are those of the value at hand."""

    def __init__(self, raw: ir.RankedTensorType, x: ir.Type):
        self.element = str(raw.element_type)
        self.rows = raw.shape[0]
        self.columns = raw.shape[1] if raw.rank == 2 else None
        self.value, self.count = "%raw", 0
        self.lines = [f"func.func @post(%raw: {raw}, %x: {x}) -> RESULT {{"]
        self.lines += ["%zero = arith.constant 0 : index", f"%rows = tensor.dim %x, %zero : {x}"]

    def tensor(self, columns: int | None, element: str | None = None) -> str:
        rows = "?" if self.rows < 0 else self.rows
        return f"tensor<{rows}{'' if columns is None else f'x{columns}'}x{element or self.element}>"

    def fresh(self) -> str:
        self.count += 1
        return f"%t{self.count}"

    def empty(self, kind: str) -> str:
        name = self.fresh()
        self.lines.append(f"{name} = tensor.empty({'%rows' if '?' in kind else ''}) : {kind}")
        return name

    def constant(self, number: float, element: str | None = None) -> str:
        name, element = self.fresh(), element or self.element
        attribute = (
            ir.FloatAttr.get(ir.Type.parse(element), number) if element[0] == "f" else f"{int(number)} : {element}"
        )
        self.lines.append(f"{name} = arith.constant {attribute}")
        return name

    def fill(self, number: float, kind: str, element: str | None = None) -> str:
        scalar, empty, name = self.constant(number, element), self.empty(kind), self.fresh()
        self.lines.append(
            f"{name} = linalg.fill ins({scalar} : {element or self.element}) outs({empty} : {kind}) -> {kind}"
        )
        return name

    def generic(
        self, maps: list[str], loops: list[str], inputs: list[tuple[str, str]], outs: list[tuple[str, str]], body
    ):
        """`body(names of the block's arguments)` gives (lines, yielded names); the names of the results."""
        every = [*inputs, *outs]
        arguments = [self.fresh() for _ in every]
        lines, yields = body(*arguments)
        elements = [kind.rpartition("x")[2].rstrip(">") for _, kind in every]
        out_kinds = [kind for _, kind in outs]
        name = self.fresh()
        iterators = ", ".join(f'"{loop}"' for loop in loops)
        out_elements = elements[len(inputs) :]
        self.lines += [
            f"{name}{f':{len(outs)}' if len(outs) > 1 else ''} = linalg.generic {{indexing_maps = [{', '.join(maps)}],"
            f" iterator_types = [{iterators}]}}",
            *([f"  ins({', '.join(v for v, _ in inputs)} : {', '.join(k for _, k in inputs)})"] if inputs else []),
            f"  outs({', '.join(v for v, _ in outs)} : {', '.join(out_kinds)}) {{",
            f"^bb0({', '.join(f'{a}: {e}' for a, e in zip(arguments, elements, strict=True))}):",
            *lines,
            f"linalg.yield {', '.join(yields)} : {', '.join(out_elements)}",
            f"}} -> {'(' if len(outs) > 1 else ''}{', '.join(out_kinds)}{')' if len(outs) > 1 else ''}",
        ]
        return name if len(outs) == 1 else [f"{name}#{i}" for i in range(len(outs))]

    def steps(self, steps) -> Text:
        """Emit the steps in order, neighbours on single numbers together."""
        waiting: list[tuple[str, float | None]] = []
        for name, number in steps:
            if name in ("softmax", "softmax_zero", "normalise", "argmax", "pair"):
                self._elementwise(waiting)
                waiting = []
                getattr(self, f"_{name}")()
            else:
                waiting.append((name, number))
        self._elementwise(waiting)
        return self

    def end(self, kind: ir.RankedTensorType) -> str:
        """The text, its value as `kind` (a column is a vector or a matrix)."""
        mine, wanted = self.tensor(self.columns), str(kind)
        if mine != wanted:
            name = self.fresh()
            if self.columns is None:
                rows = "%rows" if self.rows < 0 else self.rows
                shape = f" output_shape [{rows}, 1]"
                self.lines.append(f"{name} = tensor.expand_shape {self.value} [[0, 1]]{shape} : {mine} into {wanted}")
            else:
                self.lines.append(f"{name} = tensor.collapse_shape {self.value} [[0, 1]] : {mine} into {wanted}")
            self.value = name
        self.lines.append(f"return {self.value} : {wanted}\n}}")
        return "\n".join(self.lines).replace("RESULT", wanted, 1)

    @property
    def _identity(self) -> tuple[str, list[str]]:
        if self.columns is None:
            return "affine_map<(d0) -> (d0)>", ["parallel"]
        return "affine_map<(d0, d1) -> (d0, d1)>", ["parallel", "parallel"]

    def _elementwise(self, steps: list[tuple[str, float | None]]) -> None:
        if not steps:
            return
        kind, (identity, loops) = self.tensor(self.columns), self._identity

        def body(x, _):
            lines: list[str] = []
            for name, number in steps:
                x = _scalar(lines, self.fresh, self.element, name, number, x)
            return lines, [x]

        self.value = self.generic([identity, identity], loops, [(self.value, kind)], [(self.empty(kind), kind)], body)

    def _reduce(self, value: str, op: str, start: float) -> str:
        vector, kind = self.tensor(None), self.tensor(self.columns)
        identity, _ = self._identity

        def body(x, a):
            name = self.fresh()
            return [f"{name} = {op} {x}, {a} : {self.element}"], [name]

        return self.generic(
            [identity, _ROW], ["parallel", "reduction"], [(value, kind)], [(self.fill(start, vector), vector)], body
        )

    def _with_row(self, value: str, row: str, op: str, then: str | None = None) -> str:
        kind, vector, (identity, loops) = self.tensor(self.columns), self.tensor(None), self._identity

        def body(x, r, _):
            name = self.fresh()
            lines = [f"{name} = {op} {x}, {r} : {self.element}"]
            if then:
                lines.append(f"{name}e = {then} {name} : {self.element}")
                return lines, [f"{name}e"]
            return lines, [name]

        return self.generic(
            [identity, _ROW, identity], loops, [(value, kind), (row, vector)], [(self.empty(kind), kind)], body
        )

    def _softmax(self) -> None:
        if self.columns is None:
            self.value = self.fill(1.0, self.tensor(None))
            return
        largest = self._reduce(self.value, "arith.maximumf", float("-inf"))
        powers = self._with_row(self.value, largest, "arith.subf", "math.exp")
        self.value = self._with_row(powers, self._reduce(powers, "arith.addf", 0.0), "arith.divf")

    def _softmax_zero(self) -> None:
        if self.columns is None:
            self.value = self.fill(1.0, self.tensor(None))
            return
        kind, vector, (identity, loops) = self.tensor(self.columns), self.tensor(None), self._identity
        largest = self._reduce(self.value, "arith.maximumf", float("-inf"))
        zero, near = self.constant(0.0), self.constant(1e-7)

        def body(x, m, _power, _share):
            n = self.fresh()
            # What is near zero keeps its share of the power and is not counted.
            return [
                f"{n}a = math.absf {x} : {self.element}",
                f"{n}c = arith.cmpf ogt, {n}a, {near} : {self.element}",
                f"{n}d = arith.subf {x}, {m} : {self.element}",
                f"{n}m = arith.negf {m} : {self.element}",
                f"{n}s = arith.select {n}c, {n}d, {n}m : {self.element}",
                f"{n}e = math.exp {n}s : {self.element}",
                f"{n}z = arith.mulf {x}, {n}e : {self.element}",
                f"{n} = arith.select {n}c, {n}e, {n}z : {self.element}",
                f"{n}p = arith.select {n}c, {n}e, {zero} : {self.element}",
            ], [n, f"{n}p"]

        outs = [(self.empty(kind), kind), (self.empty(kind), kind)]
        powers, counted = self.generic(
            [identity, _ROW, identity, identity], loops, [(self.value, kind), (largest, vector)], outs, body
        )
        self.value = self._with_row(powers, self._reduce(counted, "arith.addf", 0.0), "arith.divf")

    def _normalise(self) -> None:
        if self.columns is None:
            self.value = self.fill(1.0, self.tensor(None))
            return
        self.value = self._with_row(self.value, self._reduce(self.value, "arith.addf", 0.0), "arith.divf")

    def _argmax(self) -> None:
        if self.columns is None:
            self.value = self.fill(0.0, self.tensor(None))
            return
        kind, vector, indices = self.tensor(self.columns), self.tensor(None), self.tensor(None, "i64")
        identity, _ = self._identity

        def body(x, best, place):
            n = self.fresh()
            return [
                f"{n}i = linalg.index 1 : index",
                f"{n}n = arith.index_cast {n}i : index to i64",
                f"{n}c = arith.cmpf ogt, {x}, {best} : {self.element}",
                f"{n}x = arith.select {n}c, {x}, {best} : {self.element}",
                f"{n}p = arith.select {n}c, {n}n, {place} : i64",
            ], [f"{n}x", f"{n}p"]

        outs = [(self.fill(float("-inf"), vector), vector), (self.fill(0, indices, "i64"), indices)]
        _, place = self.generic([identity, _ROW, _ROW], ["parallel", "reduction"], [(self.value, kind)], outs, body)

        def number(i, _):
            n = self.fresh()
            return [f"{n} = arith.sitofp {i} : i64 to {self.element}"], [n]

        one = "affine_map<(d0) -> (d0)>"
        self.value = self.generic([one, one], ["parallel"], [(place, indices)], [(self.empty(vector), vector)], number)
        self.columns = None

    def _pair(self) -> None:
        if self.columns == 1:
            vector = self.tensor(None)
            name = self.fresh()
            self.lines.append(f"{name} = tensor.collapse_shape {self.value} [[0, 1]] : {self.tensor(1)} into {vector}")
            self.value = name
        vector, kind = self.tensor(None), self.tensor(2)
        identity = "affine_map<(d0, d1) -> (d0, d1)>"

        def body(x, _):
            n = self.fresh()
            return [
                f"{n}i = linalg.index 1 : index",
                f"{n}z = arith.constant 0 : index",
                f"{n}o = arith.constant 1.0 : {self.element}",
                f"{n}c = arith.cmpi eq, {n}i, {n}z : index",
                f"{n}d = arith.subf {n}o, {x} : {self.element}",
                f"{n} = arith.select {n}c, {n}d, {x} : {self.element}",
            ], [n]

        self.value = self.generic(
            [_ROW, identity], ["parallel", "parallel"], [(self.value, vector)], [(self.empty(kind), kind)], body
        )
        self.columns = 2


def _scalar(lines: list[str], fresh, element: str, name: str, number: float | None, x: str) -> str:
    """Append the operations of one step on the scalar `x`; the name of its result."""

    def constant(value: float) -> str:
        n = fresh()
        lines.append(f"{n} = arith.constant {ir.FloatAttr.get(ir.Type.parse(element), value)}")
        return n

    def op(text: str, *operands: str) -> str:
        n = fresh()
        lines.append(f"{n} = {text} {', '.join(operands)} : {element}")
        return n

    match name:
        case "divide":
            return op("arith.divf", x, constant(number))
        case "add":
            return op("arith.addf", x, constant(number))
        case "sigmoid":
            power = op("math.exp", op("arith.mulf", x, constant(-number)))
            return op("arith.divf", constant(1.0), op("arith.addf", constant(1.0), power))
        case "exp":
            return op("math.exp", x)
        case "exp2":
            return op("math.exp2", x)
        case "negate":
            return op("arith.negf", x)
        case "step":
            n = fresh()
            lines.append(f"{n} = arith.cmpf ogt, {x}, {constant(0.0)} : {element}")
            return op("arith.select", n, constant(1.0), constant(0.0))
        case "softplus":
            return op("math.log1p", op("math.exp", x))
        case "signed_square":
            return op("arith.mulf", x, op("math.absf", x))
        case "probit":
            return _probit(constant, op, lines, fresh, element, x)
    raise ValueError(name)


def _probit(constant, op, lines: list[str], fresh, element: str, x: str) -> str:
    """The quantile of the normal distribution as ONNX Runtime approximates it (Winitzki 2008, a = 0.147)."""
    y = op("arith.subf", op("arith.mulf", constant(2.0), x), constant(1.0))
    log = op("math.log", op("arith.mulf", op("arith.subf", constant(1.0), y), op("arith.addf", constant(1.0), y)))
    v = op("arith.addf", constant(_PROBIT), op("arith.mulf", constant(0.5), log))
    w = op("arith.mulf", constant(_INVERSE), log)
    root = op("math.sqrt", op("arith.subf", op("arith.mulf", v, v), w))
    size = op("math.sqrt", op("arith.subf", root, v))
    return op("arith.mulf", constant(1.41421356), op("math.copysign", size, y))
