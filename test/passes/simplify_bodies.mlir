// RUN: neo-opt --neo-simplify-bodies %s | FileCheck %s

#id = affine_map<(d0) -> (d0)>
#row = affine_map<(d0, d1) -> (d0)>
#all = affine_map<(d0, d1) -> (d0, d1)>

// A clamp is a maximum and a minimum; a division by a constant is a multiplication; a square is a product.
// CHECK-LABEL: func.func @main
// CHECK-DAG: %[[ZERO:.*]] = arith.constant 0.0
// CHECK: ^bb0(%[[IN:.*]]: f32, %{{.*}}: f32):
// CHECK: %[[MAX:.*]] = arith.maximumf %[[IN]], %[[ZERO]]
// CHECK: %[[MIN:.*]] = arith.minimumf %{{.*}}, %[[MAX]]
// CHECK: %[[EIGHTH:.*]] = arith.constant 1.250000e-01 : f32
// CHECK: %[[Q:.*]] = arith.mulf %[[MIN]], %[[EIGHTH]]
// CHECK: %[[P:.*]] = arith.mulf %[[Q]], %[[Q]]
// CHECK: linalg.yield %[[P]]
func.func @main(%x: tensor<8xf32>) -> tensor<8xf32> {
  %zero = arith.constant 0.0 : f32
  %six = arith.constant 6.0 : f32
  %eight = arith.constant 8.0 : f32
  %two = arith.constant 2.0 : f32
  %e = tensor.empty() : tensor<8xf32>
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%x : tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.cmpf ugt, %in, %zero : f32
    %1 = arith.select %0, %in, %zero : f32
    %2 = arith.cmpf olt, %six, %1 : f32
    %3 = arith.select %2, %six, %1 : f32
    %4 = arith.divf %3, %eight : f32
    %5 = math.powf %4, %two : f32
    linalg.yield %5 : f32
  } -> tensor<8xf32>
  return %r : tensor<8xf32>
}

// A maximum whose position nobody reads does not compute it.
// CHECK-LABEL: func.func @maximum
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<4xf32>) {
// CHECK-NEXT: ^bb0(%[[A:.*]]: f32, %[[B:.*]]: f32):
// CHECK-NEXT: arith.maximumf %[[A]], %[[B]]
// CHECK-NEXT: linalg.yield
func.func @maximum(%x: tensor<4x8xf32>, %m: tensor<4xf32>, %p: tensor<4xi64>) -> tensor<4xf32> {
  %r:2 = linalg.generic {indexing_maps = [#all, #row, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<4x8xf32>) outs(%m, %p : tensor<4xf32>, tensor<4xi64>) {
  ^bb0(%in: f32, %best: f32, %at: i64):
    %0 = linalg.index 1 : index
    %1 = arith.index_cast %0 : index to i64
    %2 = arith.maximumf %in, %best : f32
    %3 = arith.cmpf ogt, %in, %best : f32
    %4 = arith.select %3, %1, %at : i64
    linalg.yield %2, %4 : f32, i64
  } -> (tensor<4xf32>, tensor<4xi64>)
  return %r#0 : tensor<4xf32>
}

// A result that stays for what it starts from keeps what it is computed from as well, though nobody reads it.
// CHECK-LABEL: func.func @carried
// CHECK: linalg.generic {{.*}} outs(%{{.*}}, %{{.*}} : tensor<8xf32>, tensor<8xf32>) {
// CHECK-NEXT: ^bb0(%[[X:.*]]: f32, %{{.*}}: f32, %[[OLD:.*]]: f32):
// CHECK: %[[SUM:.*]] = arith.addf %[[X]], %[[OLD]]
// CHECK: %[[DOUBLE:.*]] = arith.mulf %[[SUM]], %{{.*}}
// CHECK: linalg.yield %[[SUM]], %[[DOUBLE]]
func.func @carried(%x: tensor<8xf32>, %a: tensor<8xf32>, %b: tensor<8xf32>, %c: tensor<8xf32>) -> tensor<8xf32> {
  %two = arith.constant 2.0 : f32
  %r:3 = linalg.generic {indexing_maps = [#id, #id, #id, #id], iterator_types = ["parallel"]} ins(%x : tensor<8xf32>) outs(%a, %b, %c : tensor<8xf32>, tensor<8xf32>, tensor<8xf32>) {
  ^bb0(%in: f32, %first: f32, %second: f32, %third: f32):
    %0 = arith.negf %in : f32
    %1 = arith.addf %in, %third : f32
    %2 = arith.mulf %1, %two : f32
    linalg.yield %0, %1, %2 : f32, f32, f32
  } -> (tensor<8xf32>, tensor<8xf32>, tensor<8xf32>)
  return %r#1 : tensor<8xf32>
}

// A selection between a constant and what was compared with another is no clamp.
// CHECK-LABEL: func.func @elu
// CHECK: arith.cmpf olt
// CHECK: arith.select
func.func @elu(%x: tensor<8xf32>) -> tensor<8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8xf32>
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%x : tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = math.expm1 %in : f32
    %1 = arith.cmpf olt, %in, %zero : f32
    %2 = arith.select %1, %0, %in : f32
    linalg.yield %2 : f32
  } -> tensor<8xf32>
  return %r : tensor<8xf32>
}
