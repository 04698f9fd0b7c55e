// RUN: neo-opt --neo-schedule="target=x86-64-v3" %s | FileCheck %s
// RUN: neo-opt --neo-schedule="target=neoverse-n1" %s | FileCheck %s --check-prefix=ARM

// What loses against every number is in no memory: a place outside is the nearest inside, in rows and at the ends of
// them. On x86 pairs of elements are asked for NaN, and a window has one selection of it.
// CHECK-LABEL: func.func @pool
// CHECK-SAME:    neo.schedule = "window"
// CHECK-NOT:     1x34x34x64
// CHECK:         arith.maxsi
// CHECK:         vector.load %[[X:.*]][%c0, %{{.*}}, %c0, %{{.*}}] : memref<1x32x32x64xf32>
// CHECK:         arith.cmpf ogt
// CHECK-NEXT:    arith.select
// CHECK:         arith.cmpf uno
// CHECK:         arith.ori
// ARM-LABEL:   func.func @pool
// ARM-SAME:      neo.schedule = "window"
// ARM-NOT:       arith.cmpf
// ARM:           arith.maximumf {{.*}} fastmath<nsz>
// ARM-NOT:       arith.cmpf
func.func @pool(%x: tensor<1x32x32x64xf32>, %out: tensor<1x16x16x64xf32>) -> tensor<1x16x16x64xf32> {
  %low = arith.constant 0xFF800000 : f32
  %p = tensor.pad %x low[0, 1, 1, 0] high[0, 1, 1, 0] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %low : f32
  } : tensor<1x32x32x64xf32> to tensor<1x34x34x64xf32>
  %w = tensor.empty() : tensor<3x3xf32>
  %f = linalg.fill ins(%low : f32) outs(%out : tensor<1x16x16x64xf32>) -> tensor<1x16x16x64xf32>
  %r = linalg.generic {
    indexing_maps = [affine_map<(n, h, v, c, a, b) -> (n, h * 2 + a, v * 2 + b, c)>, affine_map<(n, h, v, c, a, b) -> (a, b)>, affine_map<(n, h, v, c, a, b) -> (n, h, v, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction"]
  } ins(%p, %w : tensor<1x34x34x64xf32>, tensor<3x3xf32>) outs(%f : tensor<1x16x16x64xf32>) {
  ^bb0(%a: f32, %q: f32, %acc: f32):
    %s = arith.maximumf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<1x16x16x64xf32>
  return %r : tensor<1x16x16x64xf32>
}
