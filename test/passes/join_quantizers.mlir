// RUN: neo-opt --neo-join-quantizers %s | FileCheck %s

#id = affine_map<(d0) -> (d0)>

// What is narrowed to 8 bits and widened again is rounded in f32.
// CHECK-LABEL: func.func @there_and_back
// CHECK:         %[[HIGH:.*]] = arith.addf %{{.*}}, %[[C:.*]] : f32
// CHECK-NOT:     arith.trunci
// CHECK:         %[[WHOLE:.*]] = arith.subf %[[HIGH]], %[[C]] : f32
// CHECK:         linalg.yield %[[WHOLE]]

// A zero point that differs stays as the difference; a range of clamping that leaves 8 bits keeps the conversion.
// CHECK-LABEL: func.func @another_zero
// CHECK:         arith.subf
// CHECK:         arith.addf %{{.*}}, %cst{{.*}} : f32
// CHECK-LABEL: func.func @too_wide
// CHECK:         arith.trunci

// The scale of a sum of dequantised values is multiplied into theirs, but not into those of other numbers.
// CHECK-LABEL: func.func @sum(
// CHECK:         %[[A:.*]] = arith.constant 1.000000e+00 : f32
// CHECK:         %[[X:.*]] = arith.mulf %{{.*}}, %[[A]] fastmath<contract>
// CHECK:         %[[B:.*]] = arith.constant 2.000000e+00 : f32
// CHECK:         %[[Y:.*]] = arith.mulf %{{.*}}, %[[B]] fastmath<contract>
// CHECK:         %[[S:.*]] = arith.addf %[[X]], %[[Y]] fastmath<contract>
// CHECK-NEXT:    linalg.yield %[[S]]
// CHECK-LABEL: func.func @sum_of_floats
// CHECK:         %[[S:.*]] = arith.addf
// CHECK:         arith.mulf %[[S]]
func.func @there_and_back(%x: tensor<8xf32>) -> tensor<8xf32> {
  %low = arith.constant -5.0 : f32
  %high = arith.constant 250.0 : f32
  %magic = arith.constant 0x4B400000 : f32
  %zp = arith.constant 5 : i32
  %e = tensor.empty() : tensor<8xf32>
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%x : tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%in: f32, %o: f32):
    %0 = arith.cmpf ogt, %in, %low : f32
    %1 = arith.select %0, %in, %low : f32
    %2 = arith.cmpf olt, %1, %high : f32
    %3 = arith.select %2, %1, %high : f32
    %4 = arith.addf %3, %magic : f32
    %5 = arith.bitcast %4 : f32 to i32
    %6 = arith.addi %5, %zp : i32
    %7 = arith.trunci %6 : i32 to i8
    %8 = arith.extui %7 : i8 to i32
    %9 = arith.subi %8, %zp : i32
    %10 = arith.sitofp %9 : i32 to f32
    linalg.yield %10 : f32
  } -> tensor<8xf32>
  return %r : tensor<8xf32>
}

func.func @another_zero(%x: tensor<8xf32>) -> tensor<8xf32> {
  %low = arith.constant -5.0 : f32
  %high = arith.constant 250.0 : f32
  %magic = arith.constant 0x4B400000 : f32
  %zp = arith.constant 5 : i32
  %other = arith.constant 7 : i32
  %e = tensor.empty() : tensor<8xf32>
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%x : tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%in: f32, %o: f32):
    %0 = arith.cmpf ogt, %in, %low : f32
    %1 = arith.select %0, %in, %low : f32
    %2 = arith.cmpf olt, %1, %high : f32
    %3 = arith.select %2, %1, %high : f32
    %4 = arith.addf %3, %magic : f32
    %5 = arith.bitcast %4 : f32 to i32
    %6 = arith.addi %5, %zp : i32
    %7 = arith.trunci %6 : i32 to i8
    %8 = arith.extui %7 : i8 to i32
    %9 = arith.subi %8, %other : i32
    %10 = arith.sitofp %9 : i32 to f32
    linalg.yield %10 : f32
  } -> tensor<8xf32>
  return %r : tensor<8xf32>
}

func.func @too_wide(%x: tensor<8xf32>) -> tensor<8xf32> {
  %low = arith.constant -6.0 : f32
  %high = arith.constant 250.0 : f32
  %magic = arith.constant 0x4B400000 : f32
  %zp = arith.constant 5 : i32
  %e = tensor.empty() : tensor<8xf32>
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%x : tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%in: f32, %o: f32):
    %0 = arith.cmpf ogt, %in, %low : f32
    %1 = arith.select %0, %in, %low : f32
    %2 = arith.cmpf olt, %1, %high : f32
    %3 = arith.select %2, %1, %high : f32
    %4 = arith.addf %3, %magic : f32
    %5 = arith.bitcast %4 : f32 to i32
    %6 = arith.addi %5, %zp : i32
    %7 = arith.trunci %6 : i32 to i8
    %8 = arith.extui %7 : i8 to i32
    %9 = arith.subi %8, %zp : i32
    %10 = arith.sitofp %9 : i32 to f32
    linalg.yield %10 : f32
  } -> tensor<8xf32>
  return %r : tensor<8xf32>
}

func.func @sum(%x: tensor<8xi8>, %y: tensor<8xi8>) -> tensor<8xf32> {
  %a = arith.constant 0.25 : f32
  %b = arith.constant 0.5 : f32
  %c = arith.constant 4.0 : f32
  %e = tensor.empty() : tensor<8xf32>
  %r = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]} ins(%x, %y : tensor<8xi8>, tensor<8xi8>) outs(%e : tensor<8xf32>) {
  ^bb0(%l: i8, %r: i8, %o: f32):
    %0 = arith.uitofp %l : i8 to f32
    %1 = arith.mulf %0, %a : f32
    %2 = arith.uitofp %r : i8 to f32
    %3 = arith.mulf %2, %b : f32
    %4 = arith.addf %1, %3 : f32
    %5 = arith.mulf %4, %c : f32
    linalg.yield %5 : f32
  } -> tensor<8xf32>
  return %r : tensor<8xf32>
}

func.func @sum_of_floats(%x: tensor<8xf32>, %y: tensor<8xi8>) -> tensor<8xf32> {
  %a = arith.constant 0.25 : f32
  %c = arith.constant 4.0 : f32
  %e = tensor.empty() : tensor<8xf32>
  %r = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]} ins(%x, %y : tensor<8xf32>, tensor<8xi8>) outs(%e : tensor<8xf32>) {
  ^bb0(%l: f32, %r: i8, %o: f32):
    %1 = arith.mulf %l, %a : f32
    %2 = arith.uitofp %r : i8 to f32
    %3 = arith.mulf %2, %a : f32
    %4 = arith.addf %1, %3 : f32
    %5 = arith.mulf %4, %c : f32
    linalg.yield %5 : f32
  } -> tensor<8xf32>
  return %r : tensor<8xf32>
}
