// RUN: neo-opt --neo-expand-math --cse %s | FileCheck %s

// A function of a vector becomes arithmetic on the whole vector; f64 keeps its operation.
// CHECK-LABEL: func.func @exp
// CHECK-NOT:     math.exp
// CHECK:         arith.mulf {{.*}} fastmath<contract> : vector<8xf32>
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
