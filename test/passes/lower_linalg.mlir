// RUN: neo-opt --neo-lower-linalg=lanes=4 --split-input-file %s | FileCheck %s

// CHECK-LABEL: func.func @affine
// CHECK:         affine.for %{{.*}} = 0 to 64 step 4
// CHECK:         vector.transfer_read
func.func @affine(%a: memref<64xf32>, %out: memref<64xf32>) attributes {neo.schedule = "affine"} {
  linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%a : memref<64xf32>) outs(%out : memref<64xf32>) {
  ^bb0(%x: f32, %acc: f32):
    %0 = arith.addf %x, %x : f32
    linalg.yield %0 : f32
  }
  return
}

// -----

// CHECK-LABEL: func.func @scalar
// CHECK:         scf.for
// CHECK:         memref.load
func.func @scalar(%a: memref<64xf32>, %out: memref<64xf32>) attributes {neo.schedule = "scalar"} {
  linalg.copy ins(%a : memref<64xf32>) outs(%out : memref<64xf32>)
  return
}
