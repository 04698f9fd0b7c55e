// A link leads to its file; a run that fails leaves no output.
// RUN: rm -rf %t && mkdir -p %t && touch %t/file && ln -s %t/file %t/link
// RUN: neo-opt %s -o %t/link && FileCheck %s < %t/file
// RUN: not neo-opt %s --neo-transform=library=%t/none -o %t/failed && not ls %t/failed
// RUN: not neo-opt %s -o %t/no/such/folder 2>&1 | FileCheck %s --check-prefix=ERROR

// ERROR: neo-opt: error: cannot write {{.*}}: No such file or directory
// CHECK: func.func @f
func.func @f() { return }
