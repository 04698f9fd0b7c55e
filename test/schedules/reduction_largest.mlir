// RUN: neo-opt --neo-schedule=target=x86-64-v4 %s | FileCheck %s
// RUN: neo-opt --neo-schedule=target=cortex-a72 %s | FileCheck %s --check-prefix=NEON

// Lanes are compared without regard to NaN, for which all of them are asked at once; the fill adds nothing to that. An
// instruction of NEON hands NaN on itself.
// CHECK-LABEL: func.func @largest
// CHECK:         %[[ODD:.*]] = arith.cmpf uno, %[[LANES:.*]], %[[LANES]] : vector<16xf32>
// CHECK:         %[[ANY:.*]] = vector.reduction <or>, %[[ODD]] : vector<16xi1> into i1
// CHECK:         %[[MAX:.*]] = vector.reduction <maxnumf>, %[[LANES]] fastmath<nnan,nsz> : vector<16xf32> into f32
// CHECK:         %[[FOUND:.*]] = arith.select %[[ANY]], %{{.*}}, %[[MAX]] : f32
// CHECK-NOT:     arith.maximumf
// CHECK:         memref.store %[[FOUND]]
// NEON-LABEL: func.func @largest
// NEON:         vector.reduction <maximumf>
func.func @largest(%x: tensor<8x64xf32>, %out: tensor<8xf32>) -> tensor<8xf32> {
  %low = arith.constant 0xFF800000 : f32
  %f = linalg.fill ins(%low : f32) outs(%out : tensor<8xf32>) -> tensor<8xf32>
  %max = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<8x64xf32>) outs(%f : tensor<8xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.maximumf %a, %acc : f32
    linalg.yield %0 : f32
  } -> tensor<8xf32>
  return %max : tensor<8xf32>
}

// What passes over NaN is an instruction of x86 where what is held is none, and no lane is asked for it.
// CHECK-LABEL: func.func @largest_number
// CHECK:         %[[X:.*]] = vector.load
// CHECK-NEXT:    %[[MORE:.*]] = arith.cmpf ogt, %[[X]], %[[HELD:.*]] : vector<16xf32>
// CHECK-NEXT:    arith.select %[[MORE]], %[[X]], %[[HELD]]
// CHECK-NOT:     arith.cmpf uno
// CHECK-NOT:     arith.maxnumf
// CHECK:         %[[MAX:.*]] = vector.reduction <maxnumf>, %{{.*}} fastmath<nnan,nsz> : vector<16xf32> into f32
// CHECK-NEXT:    memref.store %[[MAX]]
// NEON-LABEL: func.func @largest_number
// NEON:         arith.maxnumf
// NEON:         vector.reduction <maxnumf>, %{{.*}} : vector<4xf32>
func.func @largest_number(%x: tensor<8x64xf32>, %out: tensor<8xf32>) -> tensor<8xf32> {
  %low = arith.constant 0xFF800000 : f32
  %f = linalg.fill ins(%low : f32) outs(%out : tensor<8xf32>) -> tensor<8xf32>
  %max = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<8x64xf32>) outs(%f : tensor<8xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %0 = arith.maxnumf %a, %acc : f32
    linalg.yield %0 : f32
  } -> tensor<8xf32>
  return %max : tensor<8xf32>
}
