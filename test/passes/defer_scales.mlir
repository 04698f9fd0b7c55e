// RUN: neo-opt --neo-defer-scales %s | FileCheck %s
// RUN: neo-opt --neo-invert-sums --neo-defer-scales %s | FileCheck %s --check-prefix=INVERSE

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>
#a = affine_map<(d0, d1, d2) -> (d0, d2)>
#b = affine_map<(d0, d1, d2) -> (d2, d1)>
#c = affine_map<(d0, d1, d2) -> (d0, d1)>

// Four results a row are divided, and not eight weights; so is what masked rows are replaced by.
// CHECK-LABEL: func.func @attention
// CHECK: %[[EXP:.*]] = linalg.generic {{.*}}"parallel", "parallel"]}
// CHECK: math.exp
// CHECK: %[[SUM:.*]] = linalg.generic {{.*}} "reduction"]} ins(%[[EXP]] : tensor<6x8xf32>)
// CHECK-NOT: arith.divf
// CHECK: %[[PRODUCT:.*]] = linalg.generic {{.*}} ins(%[[EXP]], %{{.*}} : tensor<6x8xf32>, tensor<8x4xf32>)
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %[[PRODUCT]], %[[SUM]] : tensor<6xi1>, tensor<6x4xf32>, tensor<6xf32>)
// CHECK: arith.divf
// CHECK: arith.select
// INVERSE-LABEL: func.func @attention
// INVERSE: arith.divf
// INVERSE: linalg.generic {{.*}} "reduction"]} ins(%{{.*}} : tensor<6x8xf32>, tensor<8x4xf32>)
// INVERSE: arith.mulf
// INVERSE: arith.mulf
// INVERSE: arith.select
func.func @attention(%x: tensor<6x8xf32>, %masked: tensor<6xi1>, %v: tensor<8x4xf32>) -> tensor<6x4xf32> {
  %low = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %o = tensor.empty() : tensor<6x8xf32>
  %e = tensor.empty() : tensor<6xf32>
  %f = linalg.fill ins(%low : f32) outs(%e : tensor<6xf32>) -> tensor<6xf32>
  %m = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<6x8xf32>) outs(%f : tensor<6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.maximumf %in, %out : f32
    linalg.yield %0 : f32
  } -> tensor<6xf32>
  %ex = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %m : tensor<6x8xf32>, tensor<6xf32>) outs(%o : tensor<6x8xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %0 = arith.subf %a, %b : f32
    %1 = math.exp %0 : f32
    linalg.yield %1 : f32
  } -> tensor<6x8xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<6xf32>) -> tensor<6xf32>
  %s = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%ex : tensor<6x8xf32>) outs(%z : tensor<6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.addf %in, %out : f32
    linalg.yield %0 : f32
  } -> tensor<6xf32>
  %w = linalg.generic {indexing_maps = [#row, #id, #row, #id], iterator_types = ["parallel", "parallel"]} ins(%masked, %ex, %s : tensor<6xi1>, tensor<6x8xf32>, tensor<6xf32>) outs(%o : tensor<6x8xf32>) {
  ^bb0(%k: i1, %a: f32, %b: f32, %out: f32):
    %0 = arith.divf %a, %b : f32
    %1 = arith.select %k, %zero, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<6x8xf32>
  %eo = tensor.empty() : tensor<6x4xf32>
  %g = linalg.fill ins(%zero : f32) outs(%eo : tensor<6x4xf32>) -> tensor<6x4xf32>
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%w, %v : tensor<6x8xf32>, tensor<8x4xf32>) outs(%g : tensor<6x4xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %out, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<6x4xf32>
  return %r : tensor<6x4xf32>
}

// Another sum may be as small as it likes.
// CHECK-LABEL: func.func @stay
// CHECK: arith.divf
// CHECK: arith.addf
// CHECK-NOT: arith.divf
func.func @stay(%x: tensor<6x8xf32>, %s: tensor<6xf32>, %v: tensor<8x4xf32>) -> tensor<6x4xf32> {
  %zero = arith.constant 0.0 : f32
  %o = tensor.empty() : tensor<6x8xf32>
  %w = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %s : tensor<6x8xf32>, tensor<6xf32>) outs(%o : tensor<6x8xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %0 = arith.divf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<6x8xf32>
  %eo = tensor.empty() : tensor<6x4xf32>
  %g = linalg.fill ins(%zero : f32) outs(%eo : tensor<6x4xf32>) -> tensor<6x4xf32>
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%w, %v : tensor<6x8xf32>, tensor<8x4xf32>) outs(%g : tensor<6x4xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %out, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<6x4xf32>
  return %r : tensor<6x4xf32>
}

// As many columns as weights in a row: dividing behind the product saves nothing.
// CHECK-LABEL: func.func @wide
// CHECK: math.exp
// CHECK: arith.divf
// CHECK: arith.mulf
// CHECK-NOT: arith.divf
func.func @wide(%x: tensor<6x8xf32>, %v: tensor<8x8xf32>) -> tensor<6x8xf32> {
  %low = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %o = tensor.empty() : tensor<6x8xf32>
  %e = tensor.empty() : tensor<6xf32>
  %f = linalg.fill ins(%low : f32) outs(%e : tensor<6xf32>) -> tensor<6xf32>
  %m = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<6x8xf32>) outs(%f : tensor<6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.maximumf %in, %out : f32
    linalg.yield %0 : f32
  } -> tensor<6xf32>
  %ex = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %m : tensor<6x8xf32>, tensor<6xf32>) outs(%o : tensor<6x8xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %0 = arith.subf %a, %b : f32
    %1 = math.exp %0 : f32
    linalg.yield %1 : f32
  } -> tensor<6x8xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<6xf32>) -> tensor<6xf32>
  %s = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%ex : tensor<6x8xf32>) outs(%z : tensor<6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.addf %in, %out : f32
    linalg.yield %0 : f32
  } -> tensor<6xf32>
  %w = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]} ins(%ex, %s : tensor<6x8xf32>, tensor<6xf32>) outs(%o : tensor<6x8xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %0 = arith.divf %a, %b : f32
    linalg.yield %0 : f32
  } -> tensor<6x8xf32>
  %g = linalg.fill ins(%zero : f32) outs(%o : tensor<6x8xf32>) -> tensor<6x8xf32>
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%w, %v : tensor<6x8xf32>, tensor<8x8xf32>) outs(%g : tensor<6x8xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %out, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<6x8xf32>
  return %r : tensor<6x8xf32>
}
