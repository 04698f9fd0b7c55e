"""Memory plans hold: in random programs every kernel reads what was written for it, byte by byte."""

import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from neomlir.mlir import context, ir
from neomlir.pipeline import Pipeline

SIZES = (1, 7, 16, 100, 333, 1000)
"""Elements of a buffer, of four bytes."""


@dataclass
class Program:
    """Calls of kernels in a row: the values that each reads (0 is the argument) and those that it writes."""

    sizes: list[int]
    calls: list[tuple[list[int], list[int]]] = field(default_factory=list)
    results: list[int] = field(default_factory=list)

    def kernel(self, call: tuple[list[int], list[int]]) -> str:
        """A name for the types of a call."""
        return "k" + "_".join("x".join(str(self.sizes[v]) for v in part) for part in call)

    def text(self) -> str:
        """The module at the level `kernels`; values of an even number of elements are read through two views."""
        lines, kernels = [], {}
        for number, (reads, writes) in enumerate(self.calls):
            kinds = [f"tensor<{self.sizes[v]}xf32>" for v in (*reads, *writes)]
            back = ", ".join(kinds[len(reads) :])
            kernels[self.kernel((reads, writes))] = kinds, back
            names = []
            for place, v in enumerate(reads):
                names.append(f"%v{v}")
                if self.sizes[v] % 2 == 0:
                    wide = f"tensor<2x{self.sizes[v] // 2}xf32>"
                    name = f"%w{number}_{place}"
                    lines.append(
                        f"{name} = tensor.expand_shape %v{v} [[0, 1]] output_shape [2, {self.sizes[v] // 2}] : "
                        f"{kinds[place]} into {wide}\n"
                        f"{name}b = tensor.collapse_shape {name} [[0, 1]] : {wide} into {kinds[place]}"
                    )
                    names[-1] = f"{name}b"
            lines += [f"%e{v} = tensor.empty() : {kind}" for v, kind in zip(writes, kinds[len(reads) :], strict=True)]
            names += [f"%e{v}" for v in writes]
            made = ", ".join(f"%v{v}" for v in writes)
            callee = self.kernel((reads, writes))
            lines.append(f"{made} = call @{callee}({', '.join(names)}) : ({', '.join(kinds)}) -> ({back})")
        types = ", ".join(f"tensor<{self.sizes[v]}xf32>" for v in self.results)
        names = ", ".join(f"%v{v}" for v in self.results)
        outside, inside = [], []
        for name, (kinds, back) in kernels.items():
            outside.append(f"func.func private @{name}({', '.join(kinds)}) -> ({back})")
            buffers = ", ".join(kind.replace("tensor", "memref") for kind in kinds)
            inside.append(f"func.func private @{name}({buffers}, index, index) attributes {{neo.grid = 1 : i64}}")
        body = "\n".join([*lines, f"return {names} : {types}"])
        main = f"func.func @main(%v0: tensor<{self.sizes[0]}xf32>) -> ({types}) {{\n{body}\n}}"
        return "\n".join([*outside, main, "module attributes {neo.kernel} {", *inside, "}"])


def draw(r: random.Random) -> Program:
    """A program whose kernels read recent values mostly, old ones at times, and write one buffer or two."""
    made = Program([r.choice(SIZES)])
    for _ in range(r.randint(3, 30)):
        known = len(made.sizes)
        reads = [max(0, known - 1 - int(r.expovariate(0.5))) for _ in range(r.randint(1, 3))]
        writes = list(range(known, known + r.choice((1, 1, 2))))
        made.sizes += [r.choice(SIZES) for _ in writes]
        made.calls.append((reads, writes))
    made.results = sorted({len(made.sizes) - 1, *r.sample(range(1, len(made.sizes)), r.randint(0, 2))})
    return made


def place(value: ir.Value) -> tuple[ir.Value, int]:
    """The argument that a buffer lies in, and the byte at which it starts."""
    while not isinstance(value.owner, ir.Block):
        op = value.owner
        if op.name == "memref.view":
            return op.operands[0], ir.IntegerAttr(op.operands[1].owner.attributes["value"]).value
        value = op.operands[0]
    return value, 0


@pytest.mark.parametrize("seed", range(30))
def test_every_kernel_reads_what_was_written_for_it(seed):
    program = draw(random.Random(seed))
    with context(allow_unregistered=True):
        module = ir.Module.parse(program.text())
        Pipeline("neo-plan-memory").run(module, isolate=False)
        main = next(op.operation for op in module.body.operations if '"main"' in str(op.attributes["sym_name"]))
        arguments = list(main.regions[0].blocks[0].arguments)
        # Who wrote each byte last; nobody is -1.
        memory = {argument: np.full(4 * max(SIZES), -1) for argument in arguments}
        memory[arguments[0]][:] = 0
        arena = arguments[-2]
        memory[arena] = np.full(ir.IntegerAttr(main.attributes["neo.arena"]).value, -1)

        def part(value: ir.Value, number: int) -> np.ndarray:
            where, first = place(value)
            found = memory[where][first : first + 4 * program.sizes[number]]
            assert found.size == 4 * program.sizes[number], "a buffer ends behind the arena"
            assert where != arena or first % 64 == 0
            return found

        dispatches = [op for op in main.regions[0].blocks[0].operations if op.operation.name == "neo.dispatch"]
        for op, (reads, writes) in zip(dispatches, program.calls, strict=True):
            given = list(op.operands[2].owner.operands)
            for value, number in zip(given, reads, strict=False):
                assert (part(value, number) == number).all()
            for value, number in zip(given[len(reads) :], writes, strict=True):
                part(value, number)[:] = number
            # Two results, or a result and what is read for it, are never in one place.
            for value, number in zip(given[len(reads) :], writes, strict=True):
                assert (part(value, number) == number).all()
            for value, number in zip(given, reads, strict=False):
                assert (part(value, number) == number).all()
        for argument, number in zip(arguments[1:], program.results, strict=False):
            assert (memory[argument][: 4 * program.sizes[number]] == number).all()
