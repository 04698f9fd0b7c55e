"""The function that a schedule writes: buffers of the arguments, scheduled code, tensors of the destinations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.builder import GRANULE, Builder, Size
from neomlir.schedules.evaluate import Evaluator
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.memory import Memory, memref


@dataclass(frozen=True)
class Machine:
    """What the schedules ask of a target."""

    vector_bits: int
    """Of a scalable vector: those of a granule."""
    masks: bool
    registers: int
    fma: bool
    l1d: int
    l2: int
    line: int
    scalable: bool
    usual_bits: int
    """Of a vector of the core that the target is for: what register tiles are cut to."""
    ports: int
    """Vectors that are multiplied a cycle, at least one."""
    follows_fetches: bool
    """As of the target's cache."""
    ahead: int
    """As of the target's cache."""
    next_row: bool
    """As of the target's cache."""
    bypass: int
    """As of the target's cache; 0 where no instruction of x86 orders stores, as `bypass.py` has it."""
    saturates: bool
    """Whether vectors are narrowed as `quantised.py` has it, by instructions of x86."""
    loses_nan: bool
    """Whether the instruction for the larger of two numbers gives the second where the first is NaN, as that of x86."""

    @staticmethod
    def of(target) -> Machine:
        """Masked loads are taken to be cheap from 256 bits on (AVX2, AVX-512), and where vectors are scalable."""
        vector = target.vector
        bits = GRANULE if vector.scalable else vector.bits
        masks = vector.scalable or bits >= 256
        cache = target.cache
        ports = vector.fma_ports
        return Machine(
            bits,
            masks,
            vector.registers,
            ports > 0,
            cache.l1d,
            cache.l2,
            cache.line,
            vector.scalable,
            vector.bits,
            max(1, ports),
            cache.follows_fetches,
            cache.ahead,
            cache.next_row,
            cache.bypass if target.architecture == "x86_64" else 0,
            target.architecture == "x86_64",
            target.architecture == "x86_64",
        )

    def lanes(self, bits: int) -> int:
        """Elements of `bits` bits in a vector register, or in a granule of it."""
        return max(1, self.vector_bits // bits)

    def usual_lanes(self, bits: int) -> int:
        """Elements of `bits` bits in a vector register of the core that the target is for."""
        return max(1, self.usual_bits // bits)


class Frame:
    """A new function beside the kernel's; `close` ends it and gives it, `drop` takes it back, `made_by` does the one or
    the other."""

    def __init__(self, kernel: Kernel, target):
        self.kernel = kernel
        self.machine = Machine.of(target)
        old = kernel.func
        attributes = {name: old.attributes[name] for name in old.attributes}
        self.func = ir.Operation.create(
            "func.func", attributes=attributes, regions=1, loc=old.location, ip=ir.InsertionPoint(old)
        )
        types = [a.type for a in kernel.args]
        self.block = self.func.regions[0].blocks.append(*types, arg_locs=[a.location for a in kernel.args])
        buffers = {}
        point = ir.InsertionPoint(self.block)
        written = len(kernel.args) - len(kernel.destinations)
        for i, (old_arg, arg) in enumerate(zip(kernel.args, self.block.arguments, strict=True)):
            if not isinstance(arg.type, ir.RankedTensorType):
                buffers[old_arg] = arg
                continue
            attributes = {} if i >= written else {"read_only": ir.UnitAttr.get(old.context)}
            buffers[old_arg] = ir.Operation.create(
                "bufferization.to_buffer",
                results=[memref(arg.type)],
                operands=[arg],
                attributes=attributes,
                loc=old.location,
                ip=point,
            ).results[0]
        self.b = Builder(self.func, self.machine.scalable)
        self.memory = Memory(self.b, buffers)
        self.evaluator = Evaluator(self.b, kernel, self.memory)

    def destination(self, i: int) -> ir.Value:
        """The buffer of the i-th result."""
        return self.memory.of(self.kernel.destinations[i])

    def sizes(self, value: ir.Value) -> list[Size]:
        """The extents of a tensor, numbers where they are static."""
        return [self.memory.dim(value, d, self.evaluator) for d in range(ir.RankedTensorType(value.type).rank)]

    def is_large(self, value: ir.Value) -> bool:
        """Whether a static tensor takes more than most of the second-level cache."""
        kind = value.type
        if not isinstance(kind, ir.RankedTensorType) or not kind.has_static_shape:
            return False
        return math.prod(kind.shape) * self.kernel.element_bits // 8 > self.machine.l2 * 3 // 4

    def made_by(self, emit: Callable[[Frame], object]) -> ir.Operation:
        """The function with what `emit(frame)` writes; where that raises NotApplicable there is no function."""
        try:
            emit(self)
            return self.close()
        except NotApplicable:
            self.drop()
            raise

    def close(self) -> ir.Operation:
        b, context = self.b, self.func.context
        unit = ir.UnitAttr.get(context)
        results = [
            b.op(
                "bufferization.to_tensor", [r.type], [self.destination(i)], {"restrict": unit, "writable": unit}
            ).results[0]
            for i, r in enumerate(self.kernel.results)
        ]
        b.op("func.return", [], results)
        return self.func

    def drop(self) -> None:
        self.func.erase()


def static_shape(value: ir.Value) -> list[int | None]:
    """The extents of a tensor, None where they are dynamic."""
    kind = ir.RankedTensorType(value.type)
    return [None if kind.is_dynamic_dim(d) else kind.get_dim_size(d) for d in range(kind.rank)]
