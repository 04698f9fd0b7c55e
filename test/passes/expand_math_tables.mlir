// RUN: neo-opt --neo-expand-math=tables=true --cse %s | FileCheck %s

// Each of five coefficients is picked out of a register by the lane's number; there is no division.
// CHECK-LABEL: func.func @erf
// CHECK-NOT:     arith.divf
// CHECK-COUNT-5: llvm.call_intrinsic "llvm.x86.avx512.permvar.sf.512"({{.*}}) : (vector<16xf32>, vector<16xi32>)
// CHECK-NOT:     llvm.call_intrinsic
// CHECK:         math.copysign
func.func @erf(%x: vector<16xf32>) -> vector<16xf32> {
  %0 = math.erf %x : vector<16xf32>
  return %0 : vector<16xf32>
}

// A longer vector is several registers.
// CHECK-LABEL: func.func @long
// CHECK-COUNT-10: llvm.call_intrinsic "llvm.x86.avx512.permvar.sf.512"
// CHECK-NOT:     llvm.call_intrinsic
// CHECK:         return
func.func @long(%x: vector<32xf32>) -> vector<32xf32> {
  %0 = math.erf %x : vector<32xf32>
  return %0 : vector<32xf32>
}

// One that fills none is a quotient.
// CHECK-LABEL: func.func @short
// CHECK-NOT:     llvm.call_intrinsic
// CHECK:         arith.divf
func.func @short(%x: vector<8xf32>, %y: f32) -> (vector<8xf32>, f32) {
  %0 = math.erf %x : vector<8xf32>
  %1 = math.erf %y : f32
  return %0, %1 : vector<8xf32>, f32
}
