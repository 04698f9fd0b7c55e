"""Writing functions of the LLVM dialect that pass buffers on: from pointers and extents to MLIR's flat arguments."""

from __future__ import annotations

from dataclasses import dataclass, field

from neomlir.mlir import ir


def dynamic_extents(type_: ir.MemRefType) -> int:
    """How many extents of a buffer type are known only at run time."""
    return sum(type_.is_dynamic_dim(i) for i in range(type_.rank))


def llvm_type(type_: ir.Type) -> str:
    """The LLVM dialect's type of a scalar argument."""
    return "i64" if isinstance(type_, ir.IndexType) else str(type_)


@dataclass
class Text:
    """Lines of LLVM dialect with fresh names for values."""

    lines: list[str] = field(default_factory=list)
    constants: dict[int, str] = field(default_factory=dict)
    count: int = 0

    def emit(self, expression: str) -> str:
        """Append `%new = expression`; returns the name."""
        name = f"%v{self.count}"
        self.count += 1
        self.lines.append(f"  {name} = {expression}")
        return name

    def constant(self, number: int) -> str:
        """An i64 constant, one a number."""
        if number not in self.constants:
            self.constants[number] = self.emit(f"llvm.mlir.constant({number} : i64) : i64")
        return self.constants[number]

    def load(self, pointer: str, offset: int, type_: str) -> str:
        """Load `type_` at `offset` bytes behind a pointer."""
        where = self.emit(f"llvm.getelementptr {pointer}[{offset}] : (!llvm.ptr) -> !llvm.ptr, i8")
        return self.emit(f"llvm.load {where} : !llvm.ptr -> {type_}")

    def pointer(self, table: str, number: int) -> str:
        """Load a pointer from an array of them, whatever their width is."""
        where = self.emit(f"llvm.getelementptr {table}[{number}] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr")
        return self.emit(f"llvm.load {where} {{alignment = 4 : i64}} : !llvm.ptr -> !llvm.ptr")

    def buffer(self, type_: ir.MemRefType, pointer: str, extents: list[str]) -> list[str]:
        """The flat arguments of a contiguous buffer: both pointers, the offset, sizes and strides."""
        rest = iter(extents)
        sizes = [next(rest) if type_.is_dynamic_dim(i) else self.constant(e) for i, e in enumerate(type_.shape)]
        strides: list[str] = []
        static, step = 1, None
        for i in reversed(range(type_.rank)):
            strides.insert(0, self.constant(static) if step is None else step)
            if step is None and not type_.is_dynamic_dim(i):
                static *= type_.shape[i]
            else:
                factor = self.constant(static) if step is None else step
                step = self.emit(f"llvm.mul {factor}, {sizes[i]} : i64")
        return [pointer, pointer, self.constant(0), *sizes, *strides]


def buffer_types(type_: ir.MemRefType) -> list[str]:
    """The types of those flat arguments."""
    return ["!llvm.ptr", "!llvm.ptr", "i64"] + ["i64"] * (2 * type_.rank)


def insert_function(body: ir.Block, text: str, callee: str) -> None:
    """Parse one function that calls the function declared by `callee`, and append it to the body of a module."""
    parsed = ir.Module.parse(f"{callee}\n{text}")
    list(parsed.body.operations)[-1].operation.clone(ip=ir.InsertionPoint(body))
