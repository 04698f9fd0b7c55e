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

// One that is lost in a constant when it is denormal need not be exact there: its argument ends at -87.5, not at -105.
// CHECK-LABEL: func.func @added
// CHECK-DAG:     arith.constant dense<-8.750000e+01>
// CHECK-NOT:     -1.050000e+02
// CHECK:         arith.divf
func.func @added(%x: vector<8xf32>) -> vector<8xf32> {
  %one = arith.constant dense<1.0> : vector<8xf32>
  %0 = math.exp %x : vector<8xf32>
  %1 = arith.addf %one, %0 : vector<8xf32>
  %2 = arith.divf %one, %1 : vector<8xf32>
  return %2 : vector<8xf32>
}

// CHECK-LABEL: func.func @added_and_read
// CHECK-DAG:     arith.constant dense<-1.050000e+02>
// CHECK:         return
func.func @added_and_read(%x: vector<8xf32>) -> (vector<8xf32>, vector<8xf32>) {
  %one = arith.constant dense<1.0> : vector<8xf32>
  %0 = math.exp %x : vector<8xf32>
  %1 = arith.addf %one, %0 : vector<8xf32>
  return %0, %1 : vector<8xf32>, vector<8xf32>
}
