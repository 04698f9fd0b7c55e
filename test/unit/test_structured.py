"""Lists of operations that are walked while passes erase some of them."""

from __future__ import annotations

import pytest
from neomlir import mlir
from neomlir.mlir import ir
from neomlir.passes import structured as s

TEXT = """
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %a = arith.negf %x : tensor<4xf32>
  %b = arith.negf %a : tensor<4xf32>
  %c = math.exp %b : tensor<4xf32>
  return %c : tensor<4xf32>
}
"""


@pytest.mark.parametrize("walk", [iter, reversed])
def test_erased_operations_are_not_met(walk):
    """A handle of one that is gone reads memory that may be another's, which has ended processes."""
    with mlir.context():
        module = ir.Module.parse(TEXT)
        (function,) = s.straight_line(module)
        ops, other = s.operations(function), s.operations(function)
        met = []
        for op in walk(ops):
            if not met:
                first, second = ops[:2]
                s.replace(second, list(second.operands))
                s.replace(first, list(first.operands))
            met.append(op)
        # The one that the walk stands at is met, whatever becomes of it.
        left = [op for op in other if op.name in ("math.exp", "func.return")]
        assert len(left) == 2 and [*other] == left
        assert len(met) == (3 if walk is iter else 2)
