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
