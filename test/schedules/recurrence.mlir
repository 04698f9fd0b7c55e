// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

#n = affine_map<(i) -> (i)>
#in = affine_map<(n, k) -> (k)>
#weight = affine_map<(n, k) -> (k, n)>
#out = affine_map<(n, k) -> (n)>

// The state lies in the result that it ends as, from its first value on; a product waits in scratch memory; then the
// output of the step and the new state are written, in one loop over steps and one kernel.
// CHECK-LABEL: func.func @one
// CHECK-SAME:    neo.schedule = "recurrence"
// CHECK:         %[[SUMS:.*]] = memref.alloca() {{.*}} : memref<64xf32>
// CHECK:         %[[X:.*]] = bufferization.to_buffer %arg0 read_only
// CHECK:         %[[Y:.*]] = bufferization.to_buffer %arg3 :
// CHECK:         %[[H:.*]] = bufferization.to_buffer %arg4 :
// CHECK:         vector.store %{{.*}}, %[[H]]
// CHECK:         scf.for %[[T:.*]] = %c0 to %c7 step %c1
// CHECK:           memref.load %[[H]]
// CHECK:           math.fma
// CHECK:           vector.store %{{.*}}, %[[SUMS]]
// CHECK:           %[[ROW:.*]] = vector.load %[[X]][%[[T]],
// CHECK:           %[[NEW:.*]] = math.tanh
// CHECK-DAG:       vector.store %[[NEW]], %[[Y]][%[[T]],
// CHECK-DAG:       vector.store %[[NEW]], %[[H]]
func.func @one(%x: tensor<7x64xf32>, %h: tensor<64xf32>, %w: tensor<64x64xf32>, %y: tensor<7x64xf32>, %last: tensor<64xf32>) -> (tensor<7x64xf32>, tensor<64xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c7 = arith.constant 7 : index
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64xf32>
  %all = tensor.empty() : tensor<7x64xf32>
  %r:2 = scf.for %t = %c0 to %c7 step %c1 iter_args(%outputs = %all, %old = %h) -> (tensor<7x64xf32>, tensor<64xf32>) {
    %row = tensor.extract_slice %x[%t, 0] [1, 64] [1, 1] : tensor<7x64xf32> to tensor<64xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<64xf32>) -> tensor<64xf32>
    %sum = linalg.generic {indexing_maps = [#in, #weight, #out], iterator_types = ["parallel", "reduction"]} ins(%old, %w : tensor<64xf32>, tensor<64x64xf32>) outs(%f : tensor<64xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %0 = arith.mulf %a, %b : f32
      %1 = arith.addf %o, %0 : f32
      linalg.yield %1 : f32
    } -> tensor<64xf32>
    %new = linalg.generic {indexing_maps = [#n, #n, #n], iterator_types = ["parallel"]} ins(%row, %sum : tensor<64xf32>, tensor<64xf32>) outs(%old : tensor<64xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %0 = arith.addf %a, %b : f32
      %1 = math.tanh %0 : f32
      linalg.yield %1 : f32
    } -> tensor<64xf32>
    %put = tensor.insert_slice %new into %outputs[%t, 0] [1, 64] [1, 1] : tensor<64xf32> into tensor<7x64xf32>
    scf.yield %put, %new : tensor<7x64xf32>, tensor<64xf32>
  }
  %a = bufferization.materialize_in_destination %r#0 in %y : (tensor<7x64xf32>, tensor<7x64xf32>) -> tensor<7x64xf32>
  %b = bufferization.materialize_in_destination %r#1 in %last : (tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
  return %a, %b : tensor<7x64xf32>, tensor<64xf32>
}
