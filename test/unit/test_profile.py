"""Profiles: what is read off a program, what is made of measurements, and the report."""

from __future__ import annotations

from neomlir.dialects import context
from neomlir.mlir import ir
from neomlir.passes.functions import defined_functions
from neomlir.steps import steps_of

HOST = """
func.func @main(%x: memref<8xf32>, %y: memref<8xf32>,
    %weights: memref<?xi8>, %arena: memref<?xi8>, %runtime: !llvm.ptr) {
  %one = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %w = memref.view %weights[%c64][] : memref<?xi8> to memref<8xf32>
  %a = memref.view %arena[%c64][] : memref<?xi8> to memref<8xf32>
  %b = memref.view %arena[%c0][] : memref<?xi8> to memref<2xi1>
  %1 = builtin.unrealized_conversion_cast %x, %w, %a : memref<8xf32>, memref<8xf32>, memref<8xf32>
    to tuple<memref<8xf32>, memref<8xf32>, memref<8xf32>>
  "neo.dispatch"(%runtime, %one, %1) {kernel = @first}
    : (!llvm.ptr, index, tuple<memref<8xf32>, memref<8xf32>, memref<8xf32>>) -> ()
  %v = memref.expand_shape %a [[0, 1]] output_shape [2, 4] : memref<8xf32> into memref<2x4xf32>
  %2 = builtin.unrealized_conversion_cast %x, %b : memref<8xf32>, memref<2xi1> to tuple<memref<8xf32>, memref<2xi1>>
  "neo.dispatch"(%runtime, %one, %2) {kernel = @second} : (!llvm.ptr, index, tuple<memref<8xf32>, memref<2xi1>>) -> ()
  %3 = builtin.unrealized_conversion_cast %v, %y : memref<2x4xf32>, memref<8xf32>
    to tuple<memref<2x4xf32>, memref<8xf32>>
  "neo.dispatch"(%runtime, %one, %3) {kernel = @first}
    : (!llvm.ptr, index, tuple<memref<2x4xf32>, memref<8xf32>>) -> ()
  return
}
"""


def test_steps_and_lives_of_buffers():
    """A view of a view lives as long as what it looks at; weights, inputs and outputs are no intermediates."""
    with context():
        module = ir.Module.parse(HOST)
        steps = steps_of(next(iter(defined_functions(module.operation))))
    assert steps.kernels == ["first", "second", "first"]
    assert sorted(steps.buffers) == [(0, 2, 1, 1), (64, 32, 0, 2)]
