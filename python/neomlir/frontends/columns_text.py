"""Matrices of columns (`columns.py`) as a function of linalg operations, as text."""

from __future__ import annotations

import numpy as np

from neomlir.frontends import row_sums
from neomlir.frontends.columns import Each, Join, Lookup, Matrix, Norm, Product, Rows
from neomlir.mlir import ir

_WHOLE, _ROW, _COLUMN = (f"affine_map<(d0, d1) -> ({d})>" for d in ("d0, d1", "d0", "d1"))
_CUBE = [f"affine_map<(d0, d1, d2) -> ({d})>" for d in ("d0, d1", "d1, d2", "d1, d2", "d0, d1")]
_VECTOR = "affine_map<(d0) -> (d0)>"
_MOST_ADDED = 256
"""Columns whose sum is written out at most."""
_ELEMENTS = {"float32": "f32", "float64": "f64", "int64": "i64"}


class ColumnsText:
    """A function `(rows, weights…) -> matrix`; `weights` are its arrays by name, in order. Needs an active context."""

    def __init__(self, matrix: Matrix, rows: int | None, width: int, kind: str, result_kind: str) -> None:
        """Rows are `rows` (None: dynamic) of `width` numbers of dtype `kind`; the result is rounded to `result_kind`.

        Raises ValueError for a matrix that reads columns which are not there.
        """
        self.rows, self.kind, self.element = rows, kind, _ELEMENTS[kind]
        self.weights: dict[str, np.ndarray] = {}
        self.lines: list[str] = []
        self.count = 0
        self.done: dict[int, str] = {}
        self.input = self._type(width)
        if rows is None:
            self.lines += ["%zero = arith.constant 0 : index", f"%count = tensor.dim %x, %zero : {self.input}"]
        self.result = self._type(matrix.width, _ELEMENTS[result_kind])
        if result_kind != kind:
            matrix = matrix if isinstance(matrix, Each) else Each(matrix, np.arange(matrix.width))
            value = self._each(matrix, _ELEMENTS[result_kind])
        else:
            value = self._emit(matrix)
        self.lines.append(f"return {value} : {self.result}")

    def text(self) -> str:
        """The function."""
        arguments = [f"%x: {self.input}"]
        for name, array in self.weights.items():
            shape = "x".join(map(str, array.shape))
            arguments.append(f"%{name}: tensor<{shape}x{_ELEMENTS[array.dtype.name]}>")
        return "\n".join([f"func.func @columns({', '.join(arguments)}) -> {self.result} {{", *self.lines, "}"])

    def _type(self, width: int | None, element: str | None = None) -> str:
        rows = "?" if self.rows is None else self.rows
        return f"tensor<{rows}{'' if width is None else f'x{width}'}x{element or self.element}>"

    def _fresh(self) -> str:
        self.count += 1
        return f"%m{self.count}"

    def _line(self, text: str) -> str:
        name = self._fresh()
        self.lines.append(f"{name} = {text}")
        return name

    def _empty(self, kind: str) -> str:
        return self._line(f"tensor.empty({'%count' if self.rows is None else ''}) : {kind}")

    def _weight(self, array: np.ndarray) -> tuple[str, str]:
        """(the name, the type) of a new weight."""
        array = np.ascontiguousarray(array)
        name = f"columns_{len(self.weights)}"
        self.weights[name] = array
        shape = "x".join(map(str, array.shape))
        return f"%{name}", f"tensor<{shape}x{_ELEMENTS[array.dtype.name]}>"

    def _constant(self, number: float) -> str:
        return self._line(f"arith.constant {ir.FloatAttr.get(ir.Type.parse(self.element), float(number))}")

    def _generic(
        self, inputs: list[tuple[str, str, str]], out: tuple[str, str, str], loops: str, body: list[str]
    ) -> str:
        """`inputs` and `out` are (value, type, map); the block's arguments are `%i0` …, and `%o`; `body` yields."""
        elements = [kind.rpartition("x")[2].rstrip(">") for _, kind, _ in inputs]
        result = out[1].rpartition("x")[2].rstrip(">")
        names = [f"%i{n}: {e}" for n, e in enumerate(elements)]
        iterators = ", ".join(f'"{"parallel" if loop == "p" else "reduction"}"' for loop in loops)
        given = ", ".join(v for v, _, _ in inputs), ", ".join(k for _, k, _ in inputs)
        name, maps = self._fresh(), ", ".join(m for *_, m in [*inputs, out])
        self.lines.append(f"{name} = linalg.generic {{indexing_maps = [{maps}], iterator_types = [{iterators}]}}")
        if inputs:
            self.lines.append(f"  ins({given[0]} : {given[1]})")
        self.lines += [f"  outs({out[0]} : {out[1]}) {{", f"^bb0({', '.join([*names, f'%o: {result}'])}):", *body]
        self.lines.append(f"}} -> {out[1]}")
        return name

    def _emit(self, matrix: Matrix) -> str:
        if isinstance(matrix, Rows):
            return "%x"
        # A matrix that several read is made once.
        if id(matrix) not in self.done:
            self.done[id(matrix)] = _WAYS[type(matrix)](self, matrix)
        return self.done[id(matrix)]

    def _each(self, matrix: Each, element: str | None = None) -> str:
        base, e = self._emit(matrix.base), self.element
        kind, result = self._type(matrix.base.width), self._type(matrix.width, element)
        if len(matrix.source) and not 0 <= matrix.source.min() <= matrix.source.max() < matrix.base.width:
            raise ValueError(f"column {matrix.source.max()} of {matrix.base.width}")
        inputs, lines = [], []
        body = _Body(self, e, lines)
        if np.array_equal(matrix.source, np.arange(matrix.base.width)):
            inputs.append((base, kind, _WHOLE))
        else:
            inputs.append((*self._weight(matrix.source), _COLUMN))
            lines.append("%r = linalg.index 0 : index")
            lines.append("%s = arith.index_cast %i0 : i64 to index")
            lines.append(f"%e = tensor.extract {base}[%r, %s] : {kind}")
        value = "%e" if lines else "%i0"
        for name, vectors in matrix.steps:
            given = []
            for vector in vectors:
                vector = np.asarray(vector, self.kind)
                if vector.size and (vector.view(f"i{vector.itemsize}") == vector.view(f"i{vector.itemsize}")[0]).all():
                    given.append((self._constant(vector[0]), float(vector[0])))
                else:
                    given.append((f"%i{len(inputs)}", None))
                    inputs.append((*self._weight(vector), _COLUMN))
            value = body.step(name, value, given)
        if element not in (None, e):
            value = body.line(f"arith.truncf {value} : {e} to {element}")
        lines.append(f"linalg.yield {value} : {element or e}")
        return self._generic(inputs, (self._empty(result), result, _WHOLE), "pp", lines)

    def _product(self, matrix: Product) -> str:
        base, e = self._emit(matrix.base), self.element
        kind, result = self._type(matrix.base.width), self._type(matrix.width)
        if not matrix.sources.max(initial=-1) < matrix.base.width:
            raise ValueError(f"column {matrix.sources.max()} of {matrix.base.width}")
        inputs = [(*self._weight(source), _COLUMN) for source in matrix.sources]
        one, none, first = self._constant(1.0), self._line("arith.constant 0 : i64"), "%r"
        lines, value = ["%r = linalg.index 0 : index"], None
        body = _Body(self, e, lines)
        for number in reversed(range(len(matrix.sources))):
            source = f"%i{number}"
            there = body.line(f"arith.cmpi sge, {source}, {none} : i64")
            at = body.line(f"arith.index_cast {body.line(f'arith.maxsi {source}, {none} : i64')} : i64 to index")
            x = body.line(f"tensor.extract {base}[{first}, {at}] : {kind}")
            x = body.line(f"arith.select {there}, {x}, {one} : {e}")
            value = x if value is None else body.line(f"arith.mulf {x}, {value} : {e}")
        lines.append(f"linalg.yield {value} : {e}")
        return self._generic(inputs, (self._empty(result), result, _WHOLE), "pp", lines)

    def _lookup(self, matrix: Lookup) -> str:
        base, e, kind = self._emit(matrix.base), self.element, self._type(matrix.width)
        keys, codes, missing, unknown = (
            self._weight(np.asarray(a, self.kind)) for a in (matrix.keys, matrix.codes, matrix.missing, matrix.unknown)
        )
        lines = [f"%n = arith.cmpf uno, %i0, %i0 : {e}", f"%y = arith.select %n, %i1, %i2 : {e}"]
        lines.append(f"linalg.yield %y : {e}")
        inputs = [(base, kind, _WHOLE), (*missing, _COLUMN), (*unknown, _COLUMN)]
        start = self._generic(inputs, (self._empty(kind), kind, _WHOLE), "pp", lines)
        lines = [f"%n = arith.cmpf oeq, %i0, %i1 : {e}", f"%y = arith.select %n, %i2, %o : {e}"]
        lines.append(f"linalg.yield %y : {e}")
        inputs = [(base, kind, _CUBE[0]), (*keys, _CUBE[1]), (*codes, _CUBE[2])]
        return self._generic(inputs, (start, kind, _CUBE[3]), "ppr", lines)

    def _norm(self, matrix: Norm) -> str:
        base, e, kind, root = self._emit(matrix.base), self.element, self._type(matrix.width), matrix.norm == "l2"
        share = root and matrix.by == "onnxruntime"
        vector, one, least = self._type(None), self._constant(1.0), self._constant(matrix.least)
        size = "arith.mulf {0}, {0}" if root else "math.absf {0}"
        if matrix.norm != "max" and 0 < matrix.width <= _MOST_ADDED:
            norm = self._added(matrix, base, size)
        else:
            zero = self._constant(0.0)
            start = self._line(f"linalg.fill ins({zero} : {e}) outs({self._empty(vector)} : {vector}) -> {vector}")
            lines = [f"%a = {size.format('%i0')} : {e}"]
            lines.append(f"%y = {'arith.maximumf' if matrix.norm == 'max' else 'arith.addf'} %a, %o : {e}")
            lines.append(f"linalg.yield %y : {e}")
            norm = self._generic([(base, kind, _WHOLE)], (start, vector, _ROW), "pr", lines)
        lines = [f"%q = math.sqrt %i1 : {e}"] if root and not share else []
        lines.append(f"%n = arith.cmpf ole, {'%q' if lines else '%i1'}, {least} : {e}")
        lines.append(f"%d = arith.select %n, {one}, {'%q' if len(lines) > 1 else '%i1'} : {e}")
        if share:
            lines += [f"%s = arith.mulf %i0, %i0 : {e}", f"%r = arith.divf %s, %d : {e}", f"%q = math.sqrt %r : {e}"]
            lines += [f"%m = arith.negf %q : {e}", f"%b = arith.cmpf olt, %i0, {self._constant(0.0)} : {e}"]
            lines += [f"%w = arith.select %b, %m, %q : {e}", f"%y = arith.select %n, %i0, %w : {e}"]
        else:
            lines.append(f"%y = arith.divf %i0, %d : {e}")
        lines.append(f"linalg.yield %y : {e}")
        inputs = [(base, kind, _WHOLE), (norm, vector, _ROW)]
        return self._generic(inputs, (self._empty(kind), kind, _WHOLE), "pp", lines)

    def _added(self, matrix: Norm, base: str, size: str) -> str:
        """The sum of a row's sizes in the order of the framework, written out."""
        e, kind, vector = self.element, self._type(matrix.width), self._type(None)
        body = _Body(self, e, ["%r = linalg.index 0 : index"])
        sizes = []
        for c in range(matrix.width):
            place = body.line(f"arith.constant {c} : index")
            number = body.line(f"tensor.extract {base}[%r, {place}] : {kind}")
            sizes.append(body.line(f"{size.format(number)} : {e}"))

        def add(a: str, b: str) -> str:
            return body.line(f"arith.addf {a}, {b} : {e}")

        if matrix.by == "onnxruntime":
            total = row_sums.in_order(sizes, add)
        else:
            l2 = matrix.norm == "l2"
            total = row_sums.lanes(sizes, add, int(e[1:])) if l2 else row_sums.pairwise(sizes, add)
        body.lines.append(f"linalg.yield {total} : {e}")
        return self._generic([], (self._empty(vector), vector, _VECTOR), "p", body.lines)

    def _join(self, matrix: Join) -> str:
        values = [self._emit(part) for part in matrix.parts]
        kinds = [self._type(part.width) for part in matrix.parts]
        return self._line(
            f"tensor.concat dim(1) {', '.join(values)} : ({', '.join(kinds)}) -> {self._type(matrix.width)}"
        )


class _Body:
    """Operations on one number."""

    def __init__(self, text: ColumnsText, element: str, lines: list[str]) -> None:
        self.fresh, self.element, self.lines, self.constant = text._fresh, element, lines, text._constant

    def line(self, text: str) -> str:
        name = self.fresh()
        self.lines.append(f"{name} = {text}")
        return name

    def step(self, name: str, x: str, given: list[tuple[str, float | None]]) -> str:
        """What a step makes of `x`; `given` are the parameters, with the number where it is known."""
        e, numbers = self.element, [value for value, _ in given]
        if name in ("subf", "addf", "mulf", "divf", "maximumf", "minimumf"):
            return self.line(f"arith.{name} {x}, {numbers[0]} : {e}")
        if name == "fill":
            missing = self.line(f"arith.cmpf uno, {x}, {x} : {e}")
            return self.line(f"arith.select {missing}, {numbers[0]}, {x} : {e}")
        if name == "replace":
            marked = self.line(f"arith.cmpf oeq, {x}, {numbers[0]} : {e}")
            return self.line(f"arith.select {marked}, {numbers[1]}, {x} : {e}")
        if name == "trunc":
            made = self.line(f"math.trunc {x} : {e}")
        elif name == "above":
            made = self._one_or_zero(self.line(f"arith.cmpf ogt, {x}, {numbers[0]} : {e}"))
        else:
            hit = self.line(f"arith.cmpf oeq, {x}, {numbers[0]} : {e}")
            if given[1][1] != 0.0:
                missing = self.line(f"arith.cmpf uno, {x}, {x} : {e}")
                wanted = self.line(f"arith.cmpf one, {numbers[1]}, {self.constant(0.0)} : {e}")
                hit = self.line(f"arith.ori {hit}, {self.line(f'arith.andi {missing}, {wanted} : i1')} : i1")
            made = self._one_or_zero(hit)
        if given[-1][1] is not None and given[-1][1] != 0.0:
            return made
        on = self.line(f"arith.cmpf one, {numbers[-1]}, {self.constant(0.0)} : {e}")
        return self.line(f"arith.select {on}, {made}, {x} : {e}")

    def _one_or_zero(self, condition: str) -> str:
        one, zero = self.constant(1.0), self.constant(0.0)
        return self.line(f"arith.select {condition}, {one}, {zero} : {self.element}")


_WAYS = {
    Each: ColumnsText._each, Product: ColumnsText._product, Lookup: ColumnsText._lookup, Norm: ColumnsText._norm,
    Join: ColumnsText._join,
}  # fmt: skip
