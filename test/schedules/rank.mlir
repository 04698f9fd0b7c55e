// RUN: neo-opt --neo-schedule=target=x86-64-v3 %s | FileCheck %s

// How many elements come before each: the numbers of the elements are sorted by each byte of what they stand for.
// CHECK-LABEL: func.func @all
// CHECK-SAME:    neo.schedule = "rank"
// CHECK-DAG:     %[[COUNTS:.*]] = memref.alloca() {{.*}} : memref<1024xi32>
// CHECK-DAG:     memref.alloca() {{.*}} : memref<200xi32>
// Four counts of an element:
// CHECK:         scf.for %[[I:.*]] = %c0 to %c200
// CHECK:           %[[KEY:.*]] = memref.load %[[X:.*]][%[[I]]] : memref<200xi32>
// CHECK-COUNT-4:   memref.store {{.*}} %[[COUNTS]]
// A byte that all have in common only copies, else counts become places, and elements go there.
// CHECK:         scf.if
// CHECK:         else
// CHECK:           scf.for {{.*}} = %c0 to %c256 {{.*}} iter_args
// CHECK:           scf.for {{.*}} = %c0 to %c200
// The sign bit counts the other way round.
// CHECK:         arith.xori {{.*}}, %c-2147483648_i32
// CHECK:         memref.store {{.*}} : memref<200xi32>
func.func @all(%x: tensor<200xi32>, %out: tensor<200xi32>) -> tensor<200xi32> {
  %zero = arith.constant 0 : i32
  %s = linalg.fill ins(%zero : i32) outs(%out : tensor<200xi32>) -> tensor<200xi32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i)>],
      iterator_types = ["parallel", "reduction"]}
      ins(%x, %x : tensor<200xi32>, tensor<200xi32>) outs(%s : tensor<200xi32>) {
  ^bb0(%mine: i32, %other: i32, %old: i32):
    %less = arith.cmpi slt, %other, %mine : i32
    %equal = arith.cmpi eq, %other, %mine : i32
    %j = linalg.index 1 : index
    %i = linalg.index 0 : index
    %left = arith.cmpi slt, %j, %i : index
    %both = arith.andi %equal, %left : i1
    %before = arith.ori %less, %both : i1
    %one = arith.extui %before : i1 to i32
    %y = arith.addi %old, %one : i32
    linalg.yield %y : i32
  } -> tensor<200xi32>
  return %r : tensor<200xi32>
}

// Of the first five alone: the highest bits say which elements can be among them, and only those are sorted.
// CHECK-LABEL: func.func @first
// CHECK-SAME:    neo.schedule = "rank"
// CHECK:         scf.for {{.*}} = %c0 to %c4096
// CHECK:           arith.shrui {{.*}}, %c21_i32
// CHECK:         %[[ENOUGH:.*]]:2 = scf.for {{.*}} = %c0 to %c2048
// CHECK:         %[[BEHIND:.*]] = arith.addi %[[ENOUGH]]#1, %c1
// CHECK:         %[[LAST:.*]] = arith.xori {{.*}}, %c-2147483648_i32
// CHECK:         %[[FOUND:.*]] = scf.for %[[I:.*]] = %c0 to %c4096 step %c32 iter_args(%[[OLD:.*]] = %c0)
// CHECK:           %[[KEYS:.*]] = vector.load %{{.*}}[%[[I]]] : memref<4096xi32>, vector<32xi32>
// CHECK:           %[[LOW:.*]] = arith.cmpi sle, %[[KEYS]],
// CHECK:           %[[SOME:.*]] = vector.reduction <or>, %[[LOW]]
// CHECK:           scf.if %[[SOME]]
// CHECK:             scf.for
// CHECK:           else
// CHECK:             scf.yield %[[OLD]]
// CHECK:         scf.for {{.*}} = %c0 to %[[FOUND]]
func.func @first(%x: tensor<4096xi32>, %out: tensor<4096xi32>) -> tensor<4096xi32> {
  %zero = arith.constant 0 : i32
  %five = arith.constant 5 : i32
  %s = linalg.fill ins(%zero : i32) outs(%out : tensor<4096xi32>) -> tensor<4096xi32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i)>],
      iterator_types = ["parallel", "reduction"]}
      ins(%x, %x : tensor<4096xi32>, tensor<4096xi32>) outs(%s : tensor<4096xi32>) {
  ^bb0(%mine: i32, %other: i32, %old: i32):
    %less = arith.cmpi slt, %other, %mine : i32
    %equal = arith.cmpi eq, %other, %mine : i32
    %j = linalg.index 1 : index
    %i = linalg.index 0 : index
    %left = arith.cmpi slt, %j, %i : index
    %both = arith.andi %equal, %left : i1
    %before = arith.ori %less, %both : i1
    %one = arith.extui %before : i1 to i32
    %total = arith.addi %old, %one : i32
    %y = arith.minsi %total, %five : i32
    linalg.yield %y : i32
  } -> tensor<4096xi32>
  return %r : tensor<4096xi32>
}
