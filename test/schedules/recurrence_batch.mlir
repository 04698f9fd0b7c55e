// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s

#all = affine_map<(b, n) -> (b, n)>
#in = affine_map<(b, n, k) -> (b, k)>
#weight = affine_map<(b, n, k) -> (k, n)>
#out = affine_map<(b, n, k) -> (b, n)>

// Of a batch whose extent is not known each row is a work item, which goes through all steps.
// CHECK-LABEL: func.func @rows
// CHECK-SAME:    neo.schedule = "recurrence"
// CHECK:         %[[SUMS:.*]] = memref.alloca() {{.*}} : memref<1x16xf32>
// CHECK:         %[[ROWS:.*]] = memref.dim
// CHECK:         scf.forall (%[[B:.*]]) in (%[[ROWS]])
// CHECK:           scf.for %[[T:.*]] = %c0 to %c7
// CHECK:             vector.load %{{.*}}[%[[T]], %[[B]], %c0] : memref<7x?x16xf32>
// CHECK:             math.tanh
// CHECK:             vector.store %{{.*}}[%[[B]], %c0] : memref<?x16xf32>

// A large one goes by in blocks.
// CHECK-LABEL: func.func @blocks
// CHECK-SAME:    neo.schedule = "recurrence"
// CHECK:         memref.alloca() {{.*}} : memref<16x16xf32>
// CHECK:         scf.forall (%{{.*}}) in (3)
func.func @rows(%x: tensor<7x?x16xf32>, %h: tensor<?x16xf32>, %w: tensor<16x16xf32>, %last: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c7 = arith.constant 7 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %h, %c0 : tensor<?x16xf32>
  %r = scf.for %t = %c0 to %c7 step %c1 iter_args(%old = %h) -> tensor<?x16xf32> {
    %row = tensor.extract_slice %x[%t, 0, 0] [1, %n, 16] [1, 1, 1] : tensor<7x?x16xf32> to tensor<?x16xf32>
    %e = tensor.empty(%n) : tensor<?x16xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x16xf32>) -> tensor<?x16xf32>
    %sum = linalg.generic {indexing_maps = [#in, #weight, #out], iterator_types = ["parallel", "parallel", "reduction"]} ins(%old, %w : tensor<?x16xf32>, tensor<16x16xf32>) outs(%f : tensor<?x16xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %0 = arith.mulf %a, %b : f32
      %1 = arith.addf %o, %0 : f32
      linalg.yield %1 : f32
    } -> tensor<?x16xf32>
    %new = linalg.generic {indexing_maps = [#all, #all, #all], iterator_types = ["parallel", "parallel"]} ins(%row, %sum : tensor<?x16xf32>, tensor<?x16xf32>) outs(%old : tensor<?x16xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %0 = arith.addf %a, %b : f32
      %1 = math.tanh %0 : f32
      linalg.yield %1 : f32
    } -> tensor<?x16xf32>
    scf.yield %new : tensor<?x16xf32>
  }
  %b = bufferization.materialize_in_destination %r in %last : (tensor<?x16xf32>, tensor<?x16xf32>) -> tensor<?x16xf32>
  return %b : tensor<?x16xf32>
}

func.func @blocks(%x: tensor<7x48x16xf32>, %h: tensor<48x16xf32>, %w: tensor<16x16xf32>, %last: tensor<48x16xf32>) -> tensor<48x16xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c7 = arith.constant 7 : index
  %zero = arith.constant 0.0 : f32
  %r = scf.for %t = %c0 to %c7 step %c1 iter_args(%old = %h) -> tensor<48x16xf32> {
    %row = tensor.extract_slice %x[%t, 0, 0] [1, 48, 16] [1, 1, 1] : tensor<7x48x16xf32> to tensor<48x16xf32>
    %e = tensor.empty() : tensor<48x16xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<48x16xf32>) -> tensor<48x16xf32>
    %sum = linalg.generic {indexing_maps = [#in, #weight, #out], iterator_types = ["parallel", "parallel", "reduction"]} ins(%old, %w : tensor<48x16xf32>, tensor<16x16xf32>) outs(%f : tensor<48x16xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %0 = arith.mulf %a, %b : f32
      %1 = arith.addf %o, %0 : f32
      linalg.yield %1 : f32
    } -> tensor<48x16xf32>
    %new = linalg.generic {indexing_maps = [#all, #all, #all], iterator_types = ["parallel", "parallel"]} ins(%row, %sum : tensor<48x16xf32>, tensor<48x16xf32>) outs(%old : tensor<48x16xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %0 = arith.addf %a, %b : f32
      %1 = math.tanh %0 : f32
      linalg.yield %1 : f32
    } -> tensor<48x16xf32>
    scf.yield %new : tensor<48x16xf32>
  }
  %b = bufferization.materialize_in_destination %r in %last : (tensor<48x16xf32>, tensor<48x16xf32>) -> tensor<48x16xf32>
  return %b : tensor<48x16xf32>
}
