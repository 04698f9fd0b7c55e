// RUN: neo-opt --neo-schedule="target=znver4" %s | FileCheck %s
// RUN: neo-opt --neo-schedule="target=znver2" %s | FileCheck %s --check-prefix=HALF
// RUN: neo-opt --neo-schedule="target=x86-64-v4" %s | FileCheck %s --check-prefix=NOT

// A result of 16 MB on a target that says from which size on caches are passed by: where it starts at a line, whole
// lines are written past them, and ordered at the end; else it is written as ever. No other target does either.
// CHECK-LABEL: func.func @large
// CHECK:         %[[AT:.*]] = memref.extract_aligned_pointer_as_index %[[OUT:.*]] :
// CHECK:         %[[LOW:.*]] = arith.andi %[[AT]], %c63
// CHECK:         %[[LINED:.*]] = arith.cmpi eq, %[[LOW]], %c0
// CHECK:         scf.forall
// CHECK:           scf.if %[[LINED]]
// CHECK:             vector.store {{.*}} {alignment = 64 : i64, nontemporal = true} {{.*}} vector<16xf32>
// CHECK:           } else {
// CHECK-NOT:         nontemporal
// CHECK:             vector.store
// CHECK-NOT:         nontemporal
// CHECK:         call @llvm.x86.sse.sfence()
// CHECK-NEXT:    bufferization.to_tensor
// NOT-NOT:       nontemporal
// NOT-NOT:       sfence
// Where a vector is half a line, two are written together.
// HALF-LABEL: func.func @large
// HALF:          vector.store {{.*}} {alignment = 64 : i64, nontemporal = true} {{.*}} vector<16xf32>
// HALF:        call @llvm.x86.sse.sfence()
#at = affine_map<(i, j) -> (i, j)>
#turned = affine_map<(i, j) -> (j, i)>
func.func @large(%x: tensor<4096x1024xf32>, %out: tensor<4096x1024xf32>) -> tensor<4096x1024xf32> {
  %r = linalg.generic {indexing_maps = [#at, #at], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<4096x1024xf32>) outs(%out : tensor<4096x1024xf32>) {
  ^bb0(%a: f32, %o: f32):
    %e = arith.negf %a : f32
    linalg.yield %e : f32
  } -> tensor<4096x1024xf32>
  return %r : tensor<4096x1024xf32>
}

// A transpose into rows that start at lines fills these, one row after the other.
// CHECK-LABEL: func.func @turned
// CHECK-COUNT-16:  vector.store {{.*}} {alignment = 64 : i64, nontemporal = true} {{.*}} vector<16xf32>
// Of two squares of 8 x 8 that are transposed in registers come the halves of 8 lines.
// HALF-LABEL: func.func @turned
// HALF-COUNT-16:   vector.load {{.*}} vector<8xf32>
// HALF-NOT:        vector.load
// HALF-COUNT-8:    vector.store {{.*}} {alignment = 64 : i64, nontemporal = true} {{.*}} vector<16xf32>
// HALF:            vector.load {{.*}} vector<8xf32>
func.func @turned(%x: tensor<4096x1024xf32>, %out: tensor<1024x4096xf32>) -> tensor<1024x4096xf32> {
  %r = linalg.generic {indexing_maps = [#turned, #at], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<4096x1024xf32>) outs(%out : tensor<1024x4096xf32>) {
  ^bb0(%a: f32, %o: f32):
    linalg.yield %a : f32
  } -> tensor<1024x4096xf32>
  return %r : tensor<1024x4096xf32>
}

// Rows of 4003 do not start at lines: what would be written so is never taken.
// CHECK-LABEL: func.func @odd
// CHECK:         %[[NEVER:.*]] = arith.constant false
// CHECK-NOT:     nontemporal
// CHECK:         scf.if %[[NEVER]]
// CHECK-NOT:     nontemporal
// CHECK-NOT:     call @llvm.x86.sse.sfence
func.func @odd(%x: tensor<1024x4003xf32>, %row: tensor<4003xf32>, %out: tensor<1024x4003xf32>) -> tensor<1024x4003xf32> {
  %r = linalg.generic {indexing_maps = [#at, affine_map<(i, j) -> (j)>, #at], iterator_types = ["parallel", "parallel"]}
      ins(%x, %row : tensor<1024x4003xf32>, tensor<4003xf32>) outs(%out : tensor<1024x4003xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<1024x4003xf32>
  return %r : tensor<1024x4003xf32>
}

// A megabyte is still in a cache when it is read.
// CHECK-LABEL: func.func @small
// CHECK-NOT:     nontemporal
// CHECK-NOT:     call @llvm.x86.sse.sfence
func.func @small(%x: tensor<256x1024xf32>, %out: tensor<256x1024xf32>) -> tensor<256x1024xf32> {
  %r = linalg.generic {indexing_maps = [#at, #at], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<256x1024xf32>) outs(%out : tensor<256x1024xf32>) {
  ^bb0(%a: f32, %o: f32):
    %e = arith.negf %a : f32
    linalg.yield %e : f32
  } -> tensor<256x1024xf32>
  return %r : tensor<256x1024xf32>
}

// Two inputs and a result of 10 MB are as much as an input and a result of 15; of 8 MB, less. Where more is read, a
// result of half as much is enough, but not a smaller one.
// CHECK-LABEL: func.func @sum_of_10
// CHECK:         nontemporal
// NOT-LABEL: func.func @sum_of_10
// NOT-NOT:       nontemporal
func.func @sum_of_10(%x: tensor<2560x1024xf32>, %y: tensor<2560x1024xf32>, %out: tensor<2560x1024xf32>) -> tensor<2560x1024xf32> {
  %r = linalg.generic {indexing_maps = [#at, #at, #at], iterator_types = ["parallel", "parallel"]}
      ins(%x, %y : tensor<2560x1024xf32>, tensor<2560x1024xf32>) outs(%out : tensor<2560x1024xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %e = arith.addf %a, %b : f32
    linalg.yield %e : f32
  } -> tensor<2560x1024xf32>
  return %r : tensor<2560x1024xf32>
}

// CHECK-LABEL: func.func @sum_of_8
// CHECK-NOT:     nontemporal
func.func @sum_of_8(%x: tensor<2048x1024xf32>, %y: tensor<2048x1024xf32>, %out: tensor<2048x1024xf32>) -> tensor<2048x1024xf32> {
  %r = linalg.generic {indexing_maps = [#at, #at, #at], iterator_types = ["parallel", "parallel"]}
      ins(%x, %y : tensor<2048x1024xf32>, tensor<2048x1024xf32>) outs(%out : tensor<2048x1024xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %e = arith.addf %a, %b : f32
    linalg.yield %e : f32
  } -> tensor<2048x1024xf32>
  return %r : tensor<2048x1024xf32>
}

// CHECK-LABEL: func.func @small_of_large
// CHECK-NOT:     nontemporal
func.func @small_of_large(%x: tensor<8x1024x1024xf32>, %out: tensor<1024x1024xf32>) -> tensor<1024x1024xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (3, i, j)>, #at], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<8x1024x1024xf32>) outs(%out : tensor<1024x1024xf32>) {
  ^bb0(%a: f32, %o: f32):
    %e = arith.negf %a : f32
    linalg.yield %e : f32
  } -> tensor<1024x1024xf32>
  return %r : tensor<1024x1024xf32>
}

// Few rows of a transposed result are far from each other: lines of each in turn take as long to write past the caches.
// CHECK-LABEL: func.func @few_rows
// HALF-LABEL: func.func @few_rows
// HALF-NOT:      nontemporal
func.func @few_rows(%x: tensor<65536x64xf32>, %out: tensor<64x65536xf32>) -> tensor<64x65536xf32> {
  %r = linalg.generic {indexing_maps = [#turned, #at], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<65536x64xf32>) outs(%out : tensor<64x65536xf32>) {
  ^bb0(%a: f32, %o: f32):
    linalg.yield %a : f32
  } -> tensor<64x65536xf32>
  return %r : tensor<64x65536xf32>
}
