// A pass that is given IR of another level says so at its place.
// RUN: neo-opt %s --split-input-file --verify-diagnostics --neo-form-kernels
// RUN: not neo-opt %s --split-input-file --neo-plan-memory 2>&1 | FileCheck %s --check-prefix=PLAN
// RUN: not neo-opt %s --split-input-file --neo-form-dispatches 2>&1 | FileCheck %s --check-prefix=DISPATCH
// RUN: not neo-opt %s --split-input-file --neo-lower-dispatch 2>&1 | FileCheck %s --check-prefix=LOWER
// RUN: not neo-opt %s --split-input-file --neo-weights-to-globals 2>&1 | FileCheck %s --check-prefix=WEIGHT

// PLAN: wrong_level.mlir:[[#@LINE+4]]:1: error: neo-plan-memory works at level `kernels`, where functions take and give ranked tensors: argument 0 of @memrefs is memref<4xf32>
// PLAN: error: neo-plan-memory works on straight-line code: @branches has 3 blocks
// DISPATCH: error: neo-form-dispatches works at level `memref`, where functions take and give memrefs and scalars: argument 0 of @tensors is tensor<4xf32>
// expected-error @+1 {{neo-form-kernels works at level `global`, where functions take and give ranked tensors: argument 0 of @memrefs is memref<4xf32>}}
func.func @memrefs(%a: memref<4xf32>) {
  %c0 = arith.constant 0 : index
  %0 = memref.load %a[%c0] : memref<4xf32>
  return
}

// -----

// expected-error @+1 {{result 0 of @scalar is f32}}
func.func @scalar(%a: tensor<f32>) -> f32 {
  %0 = tensor.extract %a[] : tensor<f32>
  return %0 : f32
}

// -----

// expected-error @+1 {{neo-form-kernels works on straight-line code: @branches has 3 blocks}}
func.func @branches(%a: tensor<4xf32>, %p: tensor<i1>) -> tensor<4xf32> {
  %0 = tensor.extract %p[] : tensor<i1>
  cf.cond_br %0, ^bb1, ^bb2
^bb1:
  %1 = arith.addf %a, %a : tensor<4xf32>
  return %1 : tensor<4xf32>
^bb2:
  return %a : tensor<4xf32>
}

// -----

// LOWER: :[[#@LINE+4]]:3: error: neo-lower-dispatch: the arguments of a dispatch come from a builtin.unrealized_conversion_cast
// WEIGHT: :[[#@LINE+2]]:1: error: argument 0 of @tensors: neo.weight is the name of a weight, not 3 : i32
// expected-error @+1 {{argument 1 of @tensors is !llvm.ptr}}
func.func @tensors(%a: tensor<4xf32> {neo.weight = 3 : i32}, %r: !llvm.ptr, %n: index, %t: tuple<memref<8xf32>>) {
  "neo.dispatch"(%r, %n, %t) {kernel = @k} : (!llvm.ptr, index, tuple<memref<8xf32>>) -> ()
  %0 = arith.addf %a, %a : tensor<4xf32>
  return
}
