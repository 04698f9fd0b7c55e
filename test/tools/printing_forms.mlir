// RUN: neo-opt %s --mlir-print-op-generic | FileCheck %s --check-prefix=GENERIC
// RUN: neo-opt %s --mlir-print-debuginfo | FileCheck %s --check-prefix=LOC
// RUN: neo-opt %s --mlir-elide-elementsattrs-if-larger=2 | FileCheck %s --check-prefix=ELIDED
// RUN: neo-opt %s --mlir-elide-elementsattrs-if-larger 4 | FileCheck %s
// RUN: not neo-opt %s --mlir-elide-elementsattrs-if-larger=few 2>&1 | FileCheck %s --check-prefix=NUMBER

// GENERIC: "func.func"()
// LOC: loc({{.*}}:[[#@LINE+6]]:
// ELIDED: __elided__
// ELIDED-NOT: [1, 2, 3, 4]
// CHECK: dense<[1, 2, 3, 4]>
// NUMBER: neo-opt: error: --mlir-elide-elementsattrs-if-larger takes a number, not 'few'
func.func @f() -> tensor<4xi32> {
  %0 = arith.constant dense<[1, 2, 3, 4]> : tensor<4xi32>
  return %0 : tensor<4xi32>
}
