// RUN: neo-opt --neo-form-kernels %s | FileCheck %s

#n = affine_map<(i) -> (i)>
#ni = affine_map<(n, k) -> (k)>
#nk = affine_map<(n, k) -> (n, k)>
#no = affine_map<(n, k) -> (n)>

// A loop is a kernel. What it starts from belongs to others; what a step makes of a state is written over the old one,
// which nothing reads any more.
// CHECK-LABEL: func.func @main
// CHECK:         call @loop_{{.*}}(%arg1, %arg0, %arg2, %{{.*}})
// CHECK:       func.func @loop_
// CHECK-SAME:    (%{{[^:]*}}: tensor<8xf32> {bufferization.writable = false}, %{{[^:]*}}: tensor<7x8xf32> {bufferization.writable = false}, %{{[^:]*}}: tensor<8x8xf32> {bufferization.writable = false}, %{{[^:]*}}: tensor<8xf32>)
// CHECK:         scf.for {{.*}} iter_args(%[[OLD:.*]] = %{{.*}})
// CHECK:           %[[SUM:.*]] = linalg.generic {{.*}} ins(%[[OLD]]
// CHECK:           %[[NEW:.*]] = linalg.generic {{.*}} outs(%[[OLD]] : tensor<8xf32>)
// CHECK:           scf.yield %[[NEW]]
func.func @main(%x: tensor<7x8xf32>, %h: tensor<8xf32>, %w: tensor<8x8xf32>) -> tensor<8xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c7 = arith.constant 7 : index
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8xf32>
  %r = scf.for %t = %c0 to %c7 step %c1 iter_args(%old = %h) -> tensor<8xf32> {
    %row = tensor.extract_slice %x[%t, 0] [1, 8] [1, 1] : tensor<7x8xf32> to tensor<8xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8xf32>) -> tensor<8xf32>
    %sum = linalg.generic {indexing_maps = [#ni, #nk, #no], iterator_types = ["parallel", "reduction"]} ins(%old, %w : tensor<8xf32>, tensor<8x8xf32>) outs(%f : tensor<8xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %0 = arith.mulf %a, %b : f32
      %1 = arith.addf %o, %0 : f32
      linalg.yield %1 : f32
    } -> tensor<8xf32>
    %new = linalg.generic {indexing_maps = [#n, #n, #n], iterator_types = ["parallel"]} ins(%row, %sum : tensor<8xf32>, tensor<8xf32>) outs(%e : tensor<8xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %0 = arith.addf %a, %b : f32
      %1 = math.tanh %0 : f32
      linalg.yield %1 : f32
    } -> tensor<8xf32>
    scf.yield %new : tensor<8xf32>
  }
  return %r : tensor<8xf32>
}
