// RUN: neo-opt --neo-expand-math --cse %s | FileCheck %s
// RUN: neo-opt --neo-expand-math=fused=false --cse %s | FileCheck %s --check-prefix=UNFUSED

// A function of a vector becomes arithmetic on the whole vector; f64 keeps its operation.
// CHECK-LABEL: func.func @exp
// CHECK-NOT:     math.exp
// CHECK:         arith.mulf {{.*}} fastmath<contract> : vector<8xf32>
// A denormal result is rounded by a sum whose product is never seen; without an instruction for that, as integers.
// CHECK-NOT:     arith.subi
// UNFUSED-LABEL: func.func @exp
// UNFUSED:       arith.subi {{.*}} : vector<8xi32>
// CHECK-LABEL: func.func @exp_f64
// CHECK:         math.exp %{{.*}} : f64
func.func @exp(%x: vector<8xf32>) -> vector<8xf32> {
  %0 = math.exp %x : vector<8xf32>
  return %0 : vector<8xf32>
}

func.func @exp_f64(%x: f64) -> f64 {
  %0 = math.exp %x : f64
  return %0 : f64
}
