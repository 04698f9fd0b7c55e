// Flags with one dash or two, with and without a value, before and behind the file.
// RUN: neo-opt -cse -mlir-print-op-generic %s -o - | FileCheck %s --check-prefix=GENERIC
// RUN: neo-opt --cse --mlir-print-op-generic=1 -- %s | FileCheck %s --check-prefix=GENERIC
// RUN: neo-opt %s --mlir-print-op-generic=false --allow-unregistered-dialect=true -verify-each=true | FileCheck %s
// RUN: neo-opt %s -canonicalize="max-iterations=3 top-down=false" -dump-pass-pipeline -o %t 2>&1 | FileCheck %s --check-prefix=OPTIONS
// RUN: neo-opt %s -pass-pipeline "builtin.module(cse)" -mlir-print-skip-regions | FileCheck %s --check-prefix=SKIP
// RUN: neo-opt %s --mlir-print-debuginfo --mlir-print-local-scope --mlir-pretty-debuginfo | FileCheck %s --check-prefix=PRETTY
// RUN: neo-opt %s --emit-bytecode --emit-bytecode-version=3 | neo-opt | FileCheck %s

// RUN: not neo-opt %s -mlir-timing=often 2>&1 | FileCheck %s --check-prefix=BOOL
// RUN: not neo-opt %s --verify-diagnostics=some 2>&1 | FileCheck %s --check-prefix=CHOICE
// RUN: not neo-opt %s -o 2>&1 | FileCheck %s --check-prefix=VALUE
// RUN: not neo-opt %s %s 2>&1 | FileCheck %s --check-prefix=FILES
// RUN: not neo-opt %s --cse --pass-pipeline=cse 2>&1 | FileCheck %s --check-prefix=BOTH
// RUN: not neo-opt %s --cse=deep=1 2>&1 | FileCheck %s --check-prefix=OPTION
// RUN: not neo-opt %s --=x 2>&1 | FileCheck %s --check-prefix=EMPTY
// RUN: not neo-opt %s --emit-bytecode --emit-bytecode-version=99 2>&1 | FileCheck %s --check-prefix=VERSION

// GENERIC: "func.func"()
// OPTIONS: builtin.module(canonicalize{max-iterations=3 top-down=false})
// SKIP: module {...}
// PRETTY: return {{.*}}flags.mlir:[[#@LINE+10]]:
// BOOL: neo-opt: error: --mlir-timing is true or false, not 'often'
// CHOICE: neo-opt: error: --verify-diagnostics is all or only-expected, not 'some'
// VALUE: neo-opt: error: -o needs a value: FILE
// FILES: neo-opt: error: one input file at most, not 2
// BOTH: neo-opt: error: give --pass-pipeline, --pipeline or flags of passes, not several of them
// OPTION: neo-opt: error: {{.*}}no such option deep
// EMPTY: neo-opt: error: unknown argument '--=x'
// VERSION: neo-opt: error: --emit-bytecode-version:
// CHECK: func.func @f
func.func @f() { return }
