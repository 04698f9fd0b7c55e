// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s
// RUN: neo-opt --neo-schedule="target=x86-64-v4 ladder=window,reduction" %s | FileCheck %s --check-prefix=LADDER
// RUN: neo-opt --neo-schedule="target=x86-64-v4 ladder=affine" %s | FileCheck %s --check-prefix=AFFINE

// A module may refuse a schedule; a kernel that none takes keeps its body and says what is left to it.
module attributes {neo.refuse = ["elementwise"]} {
  // CHECK:      func.func @negate
  // CHECK-SAME:   neo.schedule = "affine"
  // CHECK:      linalg.generic
  // LADDER:     neo.schedule = "affine"
  // AFFINE:     neo.schedule = "affine"
  func.func @negate(%a: tensor<64xf32>, %out: tensor<64xf32>) -> tensor<64xf32> {
    %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
        ins(%a : tensor<64xf32>) outs(%out : tensor<64xf32>) {
    ^bb0(%x: f32, %o: f32):
      %y = arith.negf %x : f32
      linalg.yield %y : f32
    } -> tensor<64xf32>
    return %r : tensor<64xf32>
  }
}
