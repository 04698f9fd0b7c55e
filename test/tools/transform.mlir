// RUN: neo-opt %s --neo-transform=library=%S/Inputs/library.mlir --cse | FileCheck %s
// RUN: neo-opt %s --pass-pipeline='builtin.module(neo-transform{library=%S/Inputs/library.mlir entry=other},cse)' | FileCheck %s --check-prefix=OTHER
// RUN: not neo-opt %s --neo-transform="library=%S/Inputs/library.mlir entry=none" 2>&1 | FileCheck %s --check-prefix=NONE

// CHECK: func.func @f() attributes {main = 7 : i64}
// CHECK-NOT: transform.
// OTHER: func.func @f() attributes {other = 8 : i64}
// NONE: neo-opt: error: neo-transform: {{.*}} has no named sequence 'none'; it has __transform_main, other
func.func @f() { return }
