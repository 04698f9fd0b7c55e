"""The dot-product units of targets: instructions that multiply short groups of narrow numbers and sum them wide.

A unit takes `group` neighbouring numbers of the reduction from each operand for every sum; one, where it only widens.
Which a target has is read off the features that its file says it needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir

BF16, F16, S8, U8 = "bf16", "f16", "s8", "u8"
ROW_BYTES = 64
"""Bytes of a row of a tile, at most."""
_WIDE, _NARROW = 25, 26
"""What a column costs in panels of three and of two vectors of blocks, in proportion."""


@dataclass(frozen=True)
class Unit:
    """`intrinsic` is LLVM's; `tiles` are matrices of 16 rows of 64 bytes (AMX), else vectors of `bits` bits.

    `flip` says that the unit takes rows without sign only: signed ones are moved up by 128, and what that adds to the
    sums is taken off again.
    """

    feature: str
    intrinsic: str
    rows: str
    """The type of an element of the row operand."""
    columns: str
    """The type of an element of the column operand, which lies in panels."""
    bits: int = 0
    flip: bool = False
    words: bool = False
    """Operands are widened to words of 16 bits first; the products of two pairs are added, but not to a sum."""
    group_bits: int = 32
    """What a row and a column lend to a sum at a time: 64 bits where sums are square, 16 where nothing is added up, or
    where that is widened."""

    @property
    def square(self) -> bool:
        """Whether a vector of sums is a block of two rows and two columns; `intrinsic` is upstream's operation then."""
        return self.group_bits == 64

    @property
    def tiles(self) -> bool:
        return not self.bits

    @property
    def element_bytes(self) -> int:
        return 2 if self.rows in (BF16, F16) else 1

    @property
    def group(self) -> int:
        return self.group_bits // 8 // self.element_bytes

    @property
    def lanes(self) -> int:
        """Accumulators of 32 bits in a vector, or in a row of a tile."""
        return self.bits // 32 or ROW_BYTES // 4

    @property
    def most(self) -> int:
        """Elements of the reduction in one product of tiles, at most."""
        return ROW_BYTES // self.element_bytes

    def step(self, depth: int) -> int:
        """Elements of the reduction in one product of tiles, where `depth` of them are whole groups: of equal steps."""
        return max(n for n in range(self.group, self.most + 1, self.group) if depth % n == 0)

    def panel(self, extent: int) -> int:
        """The columns of a panel of `extent` columns in all: of two vectors or tiles, or of one for few columns.

        Three vectors of blocks serve eight rows with the loads of a tile that is nearly square; they are taken where
        they pad little.
        """
        narrow = self.lanes if extent <= self.lanes and self.group > 1 else 2 * self.lanes
        wide = 3 * self.lanes
        if not self.square or extent <= narrow:
            return narrow
        return min((wide, narrow), key=lambda r: -(-extent // r) * r * (_NARROW if r == narrow else _WIDE))


_STEP = 32
"""Sums in a step of a loop are over a multiple of this: whole steps of tiles of 16-bit numbers."""
_TILE_RATE = 16
"""Products that a tile unit sums while two ports do one each in f32: 16 x 32 a cycle."""
WORDS = {
    512: ("avx512bw", "llvm.x86.avx512.pmaddw.d.512"),
    256: ("avx2", "llvm.x86.avx2.pmadd.wd"),
    128: ("sse4.2", "llvm.x86.sse2.pmadd.wd"),
}
"""The feature and the intrinsic that multiply words and add pairs of products, by the bits of a vector."""
_UNITS = (
    Unit("amx-bf16", "llvm.x86.tdpbf16ps", BF16, BF16),
    Unit("amx-fp16", "llvm.x86.tdpfp16ps", F16, F16),
    Unit("amx-int8", "llvm.x86.tdpbssd", S8, S8),
    Unit("amx-int8", "llvm.x86.tdpbsud", S8, U8),
    Unit("amx-int8", "llvm.x86.tdpbusd", U8, S8),
    Unit("amx-int8", "llvm.x86.tdpbuud", U8, U8),
    Unit("avx512bf16", "llvm.x86.avx512bf16.dpbf16ps.512", BF16, BF16, 512),
    Unit("avx512vnni", "llvm.x86.avx512.vpdpbusd.512", U8, S8, 512),
    Unit("avx512vnni", "llvm.x86.avx512.vpdpbusd.512", S8, S8, 512, flip=True),
    Unit("avxvnni", "llvm.x86.avx512.vpdpbusd.256", U8, S8, 256),
    Unit("avxvnni", "llvm.x86.avx512.vpdpbusd.256", S8, S8, 256, flip=True),
    Unit("bf16", "arm_neon.intr.bfmmla", BF16, BF16, 128, group_bits=64),
    Unit("i8mm", "arm_neon.intr.smmla", S8, S8, 128, group_bits=64),
    Unit("i8mm", "arm_neon.intr.ummla", U8, U8, 128, group_bits=64),
    Unit("i8mm", "arm_neon.intr.usmmla", U8, S8, 128, group_bits=64),
    Unit("bf16", "llvm.aarch64.neon.bfdot.v4f32.v8bf16", BF16, BF16, 128),
    Unit("fp16fml", "llvm.aarch64.neon.fmlal", F16, F16, 128, group_bits=16),
    Unit("dotprod", "llvm.aarch64.neon.sdot.v4i32.v16i8", S8, S8, 128),
    Unit("dotprod", "llvm.aarch64.neon.udot.v4i32.v16i8", U8, U8, 128),
    Unit("i8mm", "llvm.aarch64.neon.usdot.v4i32.v16i8", U8, S8, 128),
    *(
        Unit(feature, intrinsic, rows, columns, bits, words=True, group_bits=16)
        for bits, (feature, intrinsic) in WORDS.items()
        for rows in (U8, S8)
        for columns in (S8, U8)
    ),
)


def units_of(target, rows: str, columns: str) -> list[Unit]:
    """The units of `target` for operands of these types: tiles, blocks, then rows; if there are none, of words."""
    found = [u for u in _UNITS if target.has(u.feature) and (u.rows, u.columns) == (rows, columns)]
    return [u for u in found if not u.words] or found


def unit_of(target, rows: str, columns: str, channels: int, padded: bool) -> Unit | None:
    """The unit with the fewest instructions for sums over `channels`, and if equal with the least padding of them.

    Channels are made whole groups by zeros if they may be `padded`. None where there is no unit.
    """
    units = [u for u in units_of(target, rows, columns) if padded or channels % u.group == 0]
    return min(units, key=lambda u: (-(-channels // u.group), -channels % u.group), default=None)


def step_unit(target, rows: str, columns: str, channels: int) -> Unit | None:
    """The unit for sums over `channels` in a step of a loop, which reads its rows as they are; None: multiply-adds."""
    unit = unit_of(target, rows, columns, channels, padded=False)
    takes = unit is not None and (unit.tiles or unit.group_bits == 32) and unit.element_bytes == 2
    return unit if takes and channels % _STEP == 0 else None


def rate_of(target, type_: str) -> int:
    """How many products of two numbers of `type_` the best unit of `target` sums while it does one in f32; 0: no unit.

    An instruction on vectors counts as long as a multiply-add of f32, one on tiles as a cycle a row.
    """
    units = units_of(target, type_, type_)
    return max((_TILE_RATE if unit.tiles else unit.group for unit in units), default=0)


def has_tiles(target) -> bool:
    """Whether `target` has a unit of matrix tiles."""
    return any(unit.tiles and target.has(unit.feature) for unit in _UNITS)


def vector_bits_of(target, rows: str, columns: str, intrinsic: str) -> int:
    """The widest vectors on which `target` has units for these operands whose names start so; 0 where it has none."""
    units = units_of(target, rows, columns)
    return max((unit.bits for unit in units if unit.intrinsic.startswith(intrinsic)), default=0)


_EXTENSIONS = {"arith.extf": "", "arith.extsi": "s", "arith.extui": "u"}
_SUMS = {"arith.addf": "arith.mulf", "arith.addi": "arith.muli"}


def factor_types(op: ir.Operation) -> tuple[str, str] | None:
    """The types of the inputs of a `linalg.generic` that sums products of widened numbers in 32 bits, else None."""
    block = op.regions[0].blocks[0]
    arguments = list(block.arguments)
    if len(arguments) != 3:
        return None
    total = list(block.operations)[-1].operands[0].owner
    if isinstance(total, ir.Block) or total.name not in _SUMS or arguments[2] not in list(total.operands):
        return None
    product = next((o.owner for o in total.operands if o != arguments[2]), None)
    if product is None or isinstance(product, ir.Block) or product.name != _SUMS[total.name]:
        return None
    found = {}
    for factor in product.operands:
        if isinstance(factor.owner, ir.Block) or factor.owner.name not in _EXTENSIONS:
            return None
        narrow, sign = factor.owner.operands[0], _EXTENSIONS[factor.owner.name]
        if narrow not in arguments[:2] or str(factor.type) != ("i32" if sign else "f32"):
            return None
        found[arguments.index(narrow)] = f"{sign}{narrow.type.width}" if sign else str(narrow.type)
    return (found[0], found[1]) if len(found) == 2 else None
