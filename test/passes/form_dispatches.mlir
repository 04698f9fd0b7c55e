// RUN: neo-opt --neo-form-dispatches --split-input-file %s | FileCheck %s

// The outermost forall becomes a loop over a range; the number of its iterations is the grid.
// CHECK-LABEL: func.func @kernel
// CHECK-SAME:    (%[[A:.*]]: memref<64xf32>, %[[O:.*]]: memref<64xf32>, %[[LO:.*]]: index, %[[HI:.*]]: index)
// CHECK-SAME:    neo.grid = 4 : i64
// CHECK:         scf.for %{{.*}} = %[[LO]] to %[[HI]]
// CHECK:         return
// CHECK-NOT:     scf.forall
func.func @kernel(%a: memref<64xf32>, %out: memref<64xf32>) -> memref<64xf32> {
  scf.forall (%i) in (4) {
    %v = memref.load %a[%i] : memref<64xf32>
    memref.store %v, %out[%i] : memref<64xf32>
  }
  return %out : memref<64xf32>
}

// -----

// A grid that depends on shapes has a function of its own.
// CHECK-LABEL: func.func @dynamic
// CHECK-SAME:    neo.grid = @dynamic.grid
// CHECK-LABEL: func.func @dynamic.grid(%{{.*}}: memref<?xf32>, %{{.*}}: memref<?xf32>) -> index
// CHECK:         %[[D:.*]] = memref.dim
// CHECK:         return %[[D]]
func.func @dynamic(%a: memref<?xf32>, %out: memref<?xf32>) -> memref<?xf32> {
  %zero = arith.constant 0 : index
  %n = memref.dim %a, %zero : memref<?xf32>
  scf.forall (%i) in (%n) {
    %v = memref.load %a[%i] : memref<?xf32>
    memref.store %v, %out[%i] : memref<?xf32>
  }
  return %out : memref<?xf32>
}

// -----

// What was not written in place is copied.
// CHECK-LABEL: func.func @copied
// CHECK:         linalg.copy ins(%{{.*}} : memref<8xf32>) outs(%{{.*}} : memref<8xf32>)
// CHECK-NEXT:    return
func.func @copied(%a: memref<8xf32>, %out: memref<8xf32>) -> memref<8xf32> {
  return %a : memref<8xf32>
}

// -----

// A kernel may take numbers beside its buffers.
// CHECK-LABEL: func.func @number
// CHECK-SAME:    (%{{.*}}: index, %{{.*}}: memref<8xf32>, %{{.*}}: index, %{{.*}}: index)
func.func @number(%n: index, %out: memref<8xf32>) -> memref<8xf32> {
  return %out : memref<8xf32>
}
