// RUN: neo-opt --neo-fold-quantization %s | FileCheck %s
// RUN: neo-opt --neo-fold-quantization=signed=true %s | FileCheck %s --check-prefix=SIGNED

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>
#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#bt = affine_map<(d0, d1, d2) -> (d1, d2)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>
#x = affine_map<(d0, d1, d2) -> (d0, d1 + d2)>
#w = affine_map<(d0, d1, d2) -> (d2)>
#y = affine_map<(d0, d1, d2) -> (d0, d1)>
#vec = affine_map<(d0) -> (d0)>

ml_program.global private @w(#ml_program.extern) : tensor<16x8xi8>
ml_program.global private @s(#ml_program.extern) : tensor<16xf32>
ml_program.global private @k(#ml_program.extern) : tensor<3xi8>

// The product is one of integers; the zero point of x times the sums of the weights, and the scales, follow it.
// CHECK-LABEL: func.func @product
// CHECK-SAME:    %[[X:.*]]: tensor<4x8xi8>
// CHECK-DAG:     %[[W:.*]] = ml_program.global_load_const @w
// CHECK-DAG:     %[[S:.*]] = ml_program.global_load_const @s
// CHECK:         %[[ACC:.*]] = linalg.generic {{.*}} ins(%[[X]], %[[W]] : tensor<4x8xi8>, tensor<16x8xi8>) outs({{.*}} : tensor<4x16xi32>)
// CHECK:           arith.extui
// CHECK:           arith.extsi
// CHECK:         %[[SUM:.*]] = linalg.generic {{.*}} ins(%[[W]] : tensor<16x8xi8>) outs({{.*}} : tensor<16xi32>)
// CHECK:         %[[CORR:.*]] = linalg.generic {{.*}} ins(%[[SUM]]
// CHECK:           arith.muli %{{.*}}, %c-3_i32
// CHECK:         %[[SCALE:.*]] = linalg.generic {{.*}} ins(%[[S]]
// CHECK:           arith.mulf %{{.*}}, %cst
// CHECK:         linalg.generic {{.*}} ins(%[[ACC]], %[[CORR]], %[[SCALE]]
// CHECK:           arith.addi
// CHECK:           arith.sitofp
// CHECK:           arith.mulf
// With signed factors x moves by 128, and so does its zero point.
// SIGNED-LABEL: func.func @product
// SIGNED:         arith.addi %{{.*}}, %c-128_i8
// SIGNED:         arith.muli %{{.*}}, %c125_i32
func.func @product(%x: tensor<4x8xi8>) -> tensor<4x16xf32> {
  %w = ml_program.global_load_const @w : tensor<16x8xi8>
  %s = ml_program.global_load_const @s : tensor<16xf32>
  %three = arith.constant 3 : i64
  %step = arith.constant 0.5 : f32
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<4x8xf32>
  %e1 = tensor.empty() : tensor<16x8xf32>
  %e2 = tensor.empty() : tensor<4x16xf32>
  %xf = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<4x8xi8>) outs(%e0 : tensor<4x8xf32>) {
  ^bb0(%in: i8, %o: f32):
    %0 = arith.extui %in : i8 to i64
    %1 = arith.subi %0, %three : i64
    %2 = arith.sitofp %1 : i64 to f32
    %3 = arith.mulf %2, %step : f32
    linalg.yield %3 : f32
  } -> tensor<4x8xf32>
  %wf = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]} ins(%w, %s : tensor<16x8xi8>, tensor<16xf32>) outs(%e1 : tensor<16x8xf32>) {
  ^bb0(%in: i8, %scale: f32, %o: f32):
    %0 = arith.sitofp %in : i8 to f32
    %1 = arith.mulf %0, %scale : f32
    linalg.yield %1 : f32
  } -> tensor<16x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e2 : tensor<4x16xf32>) -> tensor<4x16xf32>
  %r = linalg.generic {indexing_maps = [#a, #bt, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%xf, %wf : tensor<4x8xf32>, tensor<16x8xf32>) outs(%f : tensor<4x16xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %0 = arith.mulf %p, %q : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<4x16xf32>
  return %r : tensor<4x16xf32>
}

// A border of zeros is one of zero points.
// CHECK-LABEL: func.func @padded
// CHECK:         tensor.pad %{{.*}} low[0, 1] high[0, 1]
// CHECK:           tensor.yield %c7_i8
// CHECK:         : tensor<2x6xi8> to tensor<2x8xi8>
func.func @padded(%x: tensor<2x6xi8>) -> tensor<2x6xf32> {
  %k = ml_program.global_load_const @k : tensor<3xi8>
  %seven = arith.constant 7 : i32
  %step = arith.constant 0.5 : f32
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<2x6xf32>
  %e1 = tensor.empty() : tensor<3xf32>
  %xf = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<2x6xi8>) outs(%e0 : tensor<2x6xf32>) {
  ^bb0(%in: i8, %o: f32):
    %0 = arith.extui %in : i8 to i32
    %1 = arith.subi %0, %seven : i32
    %2 = arith.sitofp %1 : i32 to f32
    linalg.yield %2 : f32
  } -> tensor<2x6xf32>
  %p = tensor.pad %xf low[0, 1] high[0, 1] {
  ^bb0(%i: index, %j: index):
    tensor.yield %zero : f32
  } : tensor<2x6xf32> to tensor<2x8xf32>
  %kf = linalg.generic {indexing_maps = [#vec, #vec], iterator_types = ["parallel"]} ins(%k : tensor<3xi8>) outs(%e1 : tensor<3xf32>) {
  ^bb0(%in: i8, %o: f32):
    %0 = arith.sitofp %in : i8 to f32
    %1 = arith.mulf %0, %step : f32
    linalg.yield %1 : f32
  } -> tensor<3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e0 : tensor<2x6xf32>) -> tensor<2x6xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "reduction"]} ins(%p, %kf : tensor<2x8xf32>, tensor<3xf32>) outs(%f : tensor<2x6xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<2x6xf32>
  return %r : tensor<2x6xf32>
}

// A signed tensor between a quantiser and its inverse is unsigned, and is rounded by an addition.
// CHECK-LABEL: func.func @between
// CHECK:         arith.cmpf ogt
// CHECK:         arith.cmpf olt
// CHECK:         arith.addf %{{.*}}, %cst
// CHECK:         arith.bitcast
// CHECK:         arith.addi %{{.*}}, %c133_i32
// Where both factors are to be signed it stays so.
// SIGNED-LABEL: func.func @between
// SIGNED:         arith.addi %{{.*}}, %c5_i32
// SIGNED:         arith.trunci %{{.*}} : i32 to i8
// SIGNED:         arith.extsi
// CHECK:         arith.trunci %{{.*}} : i32 to i8
// CHECK:         arith.extui
func.func @between(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %five = arith.constant 5.0 : f32
  %zp = arith.constant 5 : i32
  %low = arith.constant -128.0 : f32
  %high = arith.constant 127.0 : f32
  %e = tensor.empty() : tensor<4x8xi8>
  %e0 = tensor.empty() : tensor<4x8xf32>
  %q = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<4x8xf32>) outs(%e : tensor<4x8xi8>) {
  ^bb0(%in: f32, %o: i8):
    %0 = math.roundeven %in : f32
    %1 = arith.addf %0, %five : f32
    %2 = arith.maximumf %1, %low : f32
    %3 = arith.minimumf %2, %high : f32
    %4 = arith.fptosi %3 : f32 to i8
    linalg.yield %4 : i8
  } -> tensor<4x8xi8>
  %d = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%q : tensor<4x8xi8>) outs(%e0 : tensor<4x8xf32>) {
  ^bb0(%in: i8, %o: f32):
    %0 = arith.extsi %in : i8 to i32
    %1 = arith.subi %0, %zp : i32
    %2 = arith.sitofp %1 : i32 to f32
    linalg.yield %2 : f32
  } -> tensor<4x8xf32>
  return %d : tensor<4x8xf32>
}

// Three channels are made four, which is what dot-product instructions take; the border is padded at once.
// CHECK-LABEL: func.func @three_channels
// CHECK:         tensor.pad %{{.*}} low[0, 1] high[1, 1]
// CHECK:           tensor.yield %c7_i8
// CHECK:         : tensor<3x6xi8> to tensor<4x8xi8>
// CHECK:         tensor.pad %{{.*}} low[0, 0, 0] high[0, 1, 0]
// CHECK:         : tensor<5x3x3xi8> to tensor<5x4x3xi8>
#xc = affine_map<(d0, d1, d2, d3) -> (d2, d1 + d3)>
#wc = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>
#yc = affine_map<(d0, d1, d2, d3) -> (d0, d1)>
#cube = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
ml_program.global private @kc(#ml_program.extern) : tensor<5x3x3xi8>
func.func @three_channels(%x: tensor<3x6xi8>) -> tensor<5x6xf32> {
  %k = ml_program.global_load_const @kc : tensor<5x3x3xi8>
  %seven = arith.constant 7 : i32
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<3x6xf32>
  %e1 = tensor.empty() : tensor<5x3x3xf32>
  %e2 = tensor.empty() : tensor<5x6xf32>
  %xf = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<3x6xi8>) outs(%e0 : tensor<3x6xf32>) {
  ^bb0(%in: i8, %o: f32):
    %0 = arith.extui %in : i8 to i32
    %1 = arith.subi %0, %seven : i32
    %2 = arith.sitofp %1 : i32 to f32
    linalg.yield %2 : f32
  } -> tensor<3x6xf32>
  %p = tensor.pad %xf low[0, 1] high[0, 1] {
  ^bb0(%i: index, %j: index):
    tensor.yield %zero : f32
  } : tensor<3x6xf32> to tensor<3x8xf32>
  %kf = linalg.generic {indexing_maps = [#cube, #cube], iterator_types = ["parallel", "parallel", "parallel"]} ins(%k : tensor<5x3x3xi8>) outs(%e1 : tensor<5x3x3xf32>) {
  ^bb0(%in: i8, %o: f32):
    %0 = arith.sitofp %in : i8 to f32
    linalg.yield %0 : f32
  } -> tensor<5x3x3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e2 : tensor<5x6xf32>) -> tensor<5x6xf32>
  %r = linalg.generic {indexing_maps = [#xc, #wc, #yc], iterator_types = ["parallel", "parallel", "reduction", "reduction"]} ins(%p, %kf : tensor<3x8xf32>, tensor<5x3x3xf32>) outs(%f : tensor<5x6xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<5x6xf32>
  return %r : tensor<5x6xf32>
}
