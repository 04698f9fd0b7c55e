// A crash of a pass is one message and exit code 1; there is no output, and the reproducer crashes again.
// RUN: rm -rf %t && mkdir %t
// RUN: not neo-opt %s --load-pass=%S/Inputs/crash.py --cse --test-crash --canonicalize -o %t/out \
// RUN:   --mlir-pass-pipeline-crash-reproducer=%t/again.mlir 2>&1 | FileCheck %s --check-prefix=MESSAGE
// RUN: not ls %t/out %t/again.mlir.pending
// RUN: FileCheck %s < %t/again.mlir
// RUN: not neo-opt %t/again.mlir --load-pass=%S/Inputs/crash.py --run-reproducer 2>&1 | FileCheck %s --check-prefix=AGAIN

// MESSAGE: neo-opt: error: MLIR crashed (SIGABRT) in pass 'test-crash'
// MESSAGE-NEXT: neo-opt: note: `neo-opt --run-reproducer {{.*}}again.mlir` repeats it
// AGAIN: neo-opt: error: MLIR crashed (SIGABRT) in pass 'test-crash'

// CHECK: func.func @f
// CHECK: pipeline: "builtin.module(test-crash,canonicalize)"
func.func @f() { return }
