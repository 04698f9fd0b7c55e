// RUN: neo-opt --show-dialects | FileCheck %s --check-prefix=DIALECTS
// RUN: neo-opt --list-passes | FileCheck %s --check-prefix=PASSES
// RUN: neo-opt %s --dump-pass-pipeline --inline='max-iterations=2 inlining-threshold=4' --neo-drop-asserts -o %t 2>&1 | FileCheck %s --check-prefix=DUMP
// RUN: neo-opt %s --dump-pass-pipeline --pipeline cpu --target x86-64-v3 -o %t 2>&1 | FileCheck %s --check-prefix=NAMED
// RUN: not neo-opt %s --pipeline gone 2>&1 | FileCheck %s --check-prefix=GONE
// RUN: not neo-opt %s --pipeline cpu --target gone 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not neo-opt %s --gone 2>&1 | FileCheck %s --check-prefix=PASS
// RUN: not neo-opt %s --mlir-print-generic 2>&1 | FileCheck %s --check-prefix=NEAR
// RUN: not neo-opt %s --neo-drop-assert 2>&1 | FileCheck %s --check-prefix=OWN
// RUN: not neo-opt %s.gone 2>&1 | FileCheck %s --check-prefix=FILE

// DIALECTS: Available Dialects: acc,affine,
// DIALECTS-NOT: {{unregistered|loaded}}
// DIALECTS-SAME: ,neo,{{.*}},tm_tensor,torch,
// PASSES: neo-form-kernels
// PASSES: neo-transform
// DUMP: builtin.module(inline{max-iterations=2 inlining-threshold=4},neo-drop-asserts)
// NAMED: builtin.module({{.*}}neo-generalize,{{.*}}neo-schedule{{.*}}target=x86-64-v3
// GONE: neo-opt: error: there is no pipeline 'gone'
// TARGET: neo-opt: error: there is no target 'gone'
// PASS: neo-opt: error: unknown argument --gone: it is neither a flag nor a pass
// NEAR: neo-opt: error: unknown argument --mlir-print-generic: {{.*}}; did you mean --mlir-print-op-generic?
// OWN: neo-opt: error: there is no pass 'neo-drop-assert'; did you mean 'neo-drop-asserts'?
// FILE: neo-opt: error: cannot open input file '{{.*}}.gone': No such file or directory
func.func @f() { return }
