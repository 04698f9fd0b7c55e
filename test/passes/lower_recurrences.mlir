// RUN: neo-opt --neo-lower-recurrences %s | FileCheck %s

// The inputs of all steps are one product before the loop; a batch of one is no dimension in it. A step takes its row,
// adds the product of the state, and puts its output in its place; the cell's state is read where it is written.
// CHECK-LABEL: func.func @lstm
// CHECK:         %[[X:.*]] = tensor.collapse_shape %{{.*}} {{\[\[}}0, 1], [2]] : tensor<7x1x4xf32> into tensor<7x4xf32>
// CHECK:         %[[INPUTS:.*]] = linalg.generic {{.*}} ins(%[[X]], %{{.*}} : tensor<7x4xf32>, tensor<12x4xf32>)
// CHECK:         scf.for %[[T:.*]] = %{{.*}} to %{{.*}} step %{{.*}} iter_args(%[[Y:.*]] = %{{.*}}, %[[H:.*]] = %{{.*}}, %[[C:.*]] = %{{.*}}) -> (tensor<7x3xf32>, tensor<3xf32>, tensor<3xf32>) {
// CHECK:           tensor.extract_slice %[[INPUTS]][%[[T]], 9] [1, 3] [1, 1] : tensor<7x12xf32> to tensor<3xf32>
// CHECK:           linalg.generic {{.*}}"reduction"]} ins(%[[H]], %{{.*}} : tensor<3xf32>, tensor<12x3xf32>)
// CHECK:           %[[NEW:.*]]:2 = linalg.generic {{.*}} outs(%[[H]], %[[C]] : tensor<3xf32>, tensor<3xf32>)
// CHECK:             math.tanh
// CHECK:           %[[PUT:.*]] = tensor.insert_slice %[[NEW]]#0 into %[[Y]][%[[T]], 0] [1, 3] [1, 1]
// CHECK:           scf.yield %[[PUT]], %[[NEW]]#0, %[[NEW]]#1
func.func @lstm(%x: !torch.vtensor<[7,1,4],f32>, %w: !torch.vtensor<[1,12,4],f32>, %r: !torch.vtensor<[1,12,3],f32>) -> !torch.vtensor<[7,1,1,3],f32> {
  %0:3 = torch.operator "onnx.LSTM"(%x, %w, %r) {torch.onnx.hidden_size = 3 : si64} : (!torch.vtensor<[7,1,4],f32>, !torch.vtensor<[1,12,4],f32>, !torch.vtensor<[1,12,3],f32>) -> (!torch.vtensor<[7,1,1,3],f32>, !torch.vtensor<[1,1,3],f32>, !torch.vtensor<[1,1,3],f32>)
  return %0#0 : !torch.vtensor<[7,1,1,3],f32>
}

// In the other direction the last step comes first; rows behind the end of a sequence keep their state and give zero.
// CHECK-LABEL: func.func @reverse
// CHECK:         scf.for %[[STEP:.*]] = {{.*}} iter_args(%{{.*}} = %{{.*}}, %[[H:.*]] = %{{.*}})
// CHECK:           %[[LAST:.*]] = arith.subi
// CHECK:           %[[T:.*]] = arith.subi %[[LAST]], %[[STEP]]
// CHECK:           tensor.extract_slice %{{.*}}[%[[T]], 0, 0] [1, 2, 3] [1, 1, 1]
// CHECK:           %[[N:.*]] = arith.index_cast %[[T]] : index to i32
// CHECK:           linalg.generic {{.*}} outs(%{{.*}}, %[[H]] : tensor<2x3xf32>, tensor<2x3xf32>)
// CHECK:             arith.cmpi slt, %[[N]], %{{.*}}
// CHECK-COUNT-2:     arith.select
func.func @reverse(%x: !torch.vtensor<[7,2,4],f32>, %w: !torch.vtensor<[1,3,4],f32>, %r: !torch.vtensor<[1,3,3],f32>, %lengths: !torch.vtensor<[2],si32>) -> !torch.vtensor<[7,1,2,3],f32> {
  %none = torch.constant.none
  %0:2 = torch.operator "onnx.RNN"(%x, %w, %r, %none, %lengths) {torch.onnx.direction = "reverse", torch.onnx.hidden_size = 3 : si64} : (!torch.vtensor<[7,2,4],f32>, !torch.vtensor<[1,3,4],f32>, !torch.vtensor<[1,3,3],f32>, !torch.none, !torch.vtensor<[2],si32>) -> (!torch.vtensor<[7,1,2,3],f32>, !torch.vtensor<[1,2,3],f32>)
  return %0#0 : !torch.vtensor<[7,1,2,3],f32>
}

// A state that is reset first is multiplied apart from the gates that reset it.
// CHECK-LABEL: func.func @reset_first
// CHECK:         scf.for
// CHECK:           linalg.generic {{.*}}"reduction"]} ins(%{{.*}}, %{{.*}} : tensor<3xf32>, tensor<6x3xf32>)
// CHECK:           linalg.generic {{.*}}"reduction"]} ins(%{{.*}}, %{{.*}} : tensor<3xf32>, tensor<3x3xf32>)
func.func @reset_first(%x: !torch.vtensor<[7,1,4],f32>, %w: !torch.vtensor<[1,9,4],f32>, %r: !torch.vtensor<[1,9,3],f32>) -> !torch.vtensor<[1,1,3],f32> {
  %0:2 = torch.operator "onnx.GRU"(%x, %w, %r) {torch.onnx.hidden_size = 3 : si64} : (!torch.vtensor<[7,1,4],f32>, !torch.vtensor<[1,9,4],f32>, !torch.vtensor<[1,9,3],f32>) -> (!torch.vtensor<[7,1,1,3],f32>, !torch.vtensor<[1,1,3],f32>)
  return %0#1 : !torch.vtensor<[1,1,3],f32>
}

// PyTorch's layers: directions are concatenated, the batch is moved back where it came first.
// CHECK-LABEL: func.func @torch
// CHECK-COUNT-2: scf.for
// CHECK:         tensor.concat dim(2) {{.*}} -> tensor<2x7x6xf32>
// CHECK:         tensor.concat dim(0) {{.*}} -> tensor<2x2x3xf32>
// CHECK-NOT:     aten.gru
func.func @torch(%x: !torch.vtensor<[2,7,4],f32>, %h: !torch.vtensor<[2,2,3],f32>, %w: !torch.vtensor<[9,4],f32>, %r: !torch.vtensor<[9,3],f32>, %v: !torch.vtensor<[9,4],f32>, %s: !torch.vtensor<[9,3],f32>) -> (!torch.vtensor<[2,7,6],f32>, !torch.vtensor<[2,2,3],f32>) {
  %weights = torch.prim.ListConstruct %w, %r, %v, %s : (!torch.vtensor<[9,4],f32>, !torch.vtensor<[9,3],f32>, !torch.vtensor<[9,4],f32>, !torch.vtensor<[9,3],f32>) -> !torch.list<vtensor>
  %false = torch.constant.bool false
  %true = torch.constant.bool true
  %one = torch.constant.int 1
  %zero = torch.constant.float 0.0
  %0:2 = torch.operator "torch.aten.gru.input"(%x, %h, %weights, %false, %one, %zero, %false, %true, %true) : (!torch.vtensor<[2,7,4],f32>, !torch.vtensor<[2,2,3],f32>, !torch.list<vtensor>, !torch.bool, !torch.int, !torch.float, !torch.bool, !torch.bool, !torch.bool) -> (!torch.vtensor<[2,7,6],f32>, !torch.vtensor<[2,2,3],f32>)
  return %0#0, %0#1 : !torch.vtensor<[2,7,6],f32>, !torch.vtensor<[2,2,3],f32>
}
