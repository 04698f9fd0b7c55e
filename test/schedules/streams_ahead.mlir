// RUN: neo-opt --neo-schedule="target=znver2" %s | FileCheck %s
// RUN: neo-opt --neo-schedule="target=x86-64-v4" %s | FileCheck %s --check-prefix=NOT
// RUN: neo-opt --neo-schedule="target=znver4" %s | FileCheck %s --check-prefix=LONG

// Tensors larger than the second-level cache, on a target that says how far ahead: what comes 2 KB later is asked for,
// two lines for four vectors, and written to places as well.
// NOT-NOT: memref.prefetch
// CHECK-LABEL: func.func @exponentials
// CHECK:         scf.for %[[I:.*]] = %{{.*}} to %{{.*}} step %c32
// CHECK:           %[[W:.*]] = arith.addi %[[I]], %c512
// CHECK-NEXT:      memref.prefetch %[[OUT:.*]][%[[W]]], write
// CHECK:           memref.prefetch %[[OUT]][%{{.*}}], write
// CHECK:           memref.prefetch %[[X:.*]][%[[W]]], read
// CHECK:           memref.prefetch %[[X]][%{{.*}}], read
// CHECK:           vector.load %[[X]][%[[I]]] {{.*}} vector<32xf32>
func.func @exponentials(%x: tensor<512x512xf32>, %out: tensor<512x512xf32>) -> tensor<512x512xf32> {
  %r = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%x : tensor<512x512xf32>) outs(%out : tensor<512x512xf32>) {
  ^bb0(%a: f32, %o: f32):
    %e = math.exp %a : f32
    linalg.yield %e : f32
  } -> tensor<512x512xf32>
  return %r : tensor<512x512xf32>
}

// While exponentials are summed: the next row, and the place of this one. On a target that says so of rows, of half a
// page or more, only that.
// LONG-LABEL:  func.func @exponentials
// LONG-NOT:      memref.prefetch
// LONG-LABEL:  func.func @softmax
// LONG:          arith.maximumf
// LONG:          scf.for %[[J:.*]] = %c0 to %c512 step %c64
// LONG:            %[[AFTER:.*]] = arith.addi %[[J]], %c512
// LONG-NEXT:       memref.prefetch %{{.*}}[%{{.*}}, %[[AFTER]]], read
// LONG:            math.exp
// LONG-LABEL:  func.func @short
// LONG-NOT:      memref.prefetch
// CHECK-LABEL: func.func @softmax
// CHECK:         scf.for %[[ROW:.*]] = %{{.*}} to %{{.*}} step %c1
// CHECK:           arith.maximumf
// CHECK:           scf.for %[[K:.*]] = %c0 to %c512 step %c32
// CHECK:             %[[NEXT:.*]] = arith.addi %[[K]], %c512
// CHECK-NEXT:        memref.prefetch %[[X:.*]][%[[ROW]], %[[NEXT]]], read
// CHECK:             memref.prefetch %[[OUT:.*]][%[[ROW]], %[[K]]], write
// CHECK:             math.exp
#at = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i, 0)>
func.func @softmax(%x: tensor<512x512xf32>, %out: tensor<512x512xf32>) -> tensor<512x512xf32> {
  %low = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %small = tensor.empty() : tensor<512x1xf32>
  %large = tensor.empty() : tensor<512x512xf32>
  %l = linalg.fill ins(%low : f32) outs(%small : tensor<512x1xf32>) -> tensor<512x1xf32>
  %z = linalg.fill ins(%zero : f32) outs(%small : tensor<512x1xf32>) -> tensor<512x1xf32>
  %max = linalg.generic {indexing_maps = [#at, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<512x512xf32>) outs(%l : tensor<512x1xf32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.maximumf %o, %a : f32
    linalg.yield %m : f32
  } -> tensor<512x1xf32>
  %exp = linalg.generic {indexing_maps = [#at, #row, #at], iterator_types = ["parallel", "parallel"]} ins(%x, %max : tensor<512x512xf32>, tensor<512x1xf32>) outs(%large : tensor<512x512xf32>) {
  ^bb0(%a: f32, %m: f32, %o: f32):
    %d = arith.subf %a, %m : f32
    %e = math.exp %d : f32
    linalg.yield %e : f32
  } -> tensor<512x512xf32>
  %sum = linalg.generic {indexing_maps = [#at, #row], iterator_types = ["parallel", "reduction"]} ins(%exp : tensor<512x512xf32>) outs(%z : tensor<512x1xf32>) {
  ^bb0(%a: f32, %o: f32):
    %s = arith.addf %o, %a : f32
    linalg.yield %s : f32
  } -> tensor<512x1xf32>
  %r = linalg.generic {indexing_maps = [#at, #row, #at], iterator_types = ["parallel", "parallel"]} ins(%exp, %sum : tensor<512x512xf32>, tensor<512x1xf32>) outs(%out : tensor<512x512xf32>) {
  ^bb0(%a: f32, %s: f32, %o: f32):
    %q = arith.divf %a, %s : f32
    linalg.yield %q : f32
  } -> tensor<512x512xf32>
  return %r : tensor<512x512xf32>
}

// Rows of 512 bytes come by themselves.
func.func @short(%x: tensor<4096x128xf32>, %out: tensor<4096x128xf32>) -> tensor<4096x128xf32> {
  %low = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %small = tensor.empty() : tensor<4096x1xf32>
  %large = tensor.empty() : tensor<4096x128xf32>
  %l = linalg.fill ins(%low : f32) outs(%small : tensor<4096x1xf32>) -> tensor<4096x1xf32>
  %z = linalg.fill ins(%zero : f32) outs(%small : tensor<4096x1xf32>) -> tensor<4096x1xf32>
  %max = linalg.generic {indexing_maps = [#at, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<4096x128xf32>) outs(%l : tensor<4096x1xf32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.maximumf %o, %a : f32
    linalg.yield %m : f32
  } -> tensor<4096x1xf32>
  %exp = linalg.generic {indexing_maps = [#at, #row, #at], iterator_types = ["parallel", "parallel"]} ins(%x, %max : tensor<4096x128xf32>, tensor<4096x1xf32>) outs(%large : tensor<4096x128xf32>) {
  ^bb0(%a: f32, %m: f32, %o: f32):
    %d = arith.subf %a, %m : f32
    %e = math.exp %d : f32
    linalg.yield %e : f32
  } -> tensor<4096x128xf32>
  %sum = linalg.generic {indexing_maps = [#at, #row], iterator_types = ["parallel", "reduction"]} ins(%exp : tensor<4096x128xf32>) outs(%z : tensor<4096x1xf32>) {
  ^bb0(%a: f32, %o: f32):
    %s = arith.addf %o, %a : f32
    linalg.yield %s : f32
  } -> tensor<4096x1xf32>
  %r = linalg.generic {indexing_maps = [#at, #row, #at], iterator_types = ["parallel", "parallel"]} ins(%exp, %sum : tensor<4096x128xf32>, tensor<4096x1xf32>) outs(%out : tensor<4096x128xf32>) {
  ^bb0(%a: f32, %s: f32, %o: f32):
    %q = arith.divf %a, %s : f32
    linalg.yield %q : f32
  } -> tensor<4096x128xf32>
  return %r : tensor<4096x128xf32>
}
