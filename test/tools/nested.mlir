// RUN: neo-opt %s --pass-pipeline='builtin.module(builtin.module(builtin.module(neo-drop-asserts,func.func(cse)),cse))' | FileCheck %s
// RUN: not neo-opt %s --pass-pipeline='builtin.module(func.func(neo-drop-asserts))' 2>&1 | FileCheck %s --check-prefix=ANCHOR
// RUN: not neo-opt %s --pass-pipeline='builtin.module(cse,func.func(' 2>&1 | FileCheck %s --check-prefix=OPEN

// ANCHOR: neo-opt: error: pass 'neo-drop-asserts' works on modules: it cannot run nested in 'func.func'
// OPEN: neo-opt: error: pipeline:30: expected ',' or ')'
// CHECK-LABEL: func.func @outer
// CHECK: cf.assert
// CHECK-LABEL: func.func @inner
// CHECK-NOT: cf.assert
module {
  func.func @outer(%ok: i1) { cf.assert %ok, "stays" return }
  module {
    module {
      func.func @inner(%ok: i1) { cf.assert %ok, "goes" return }
    }
  }
}
