// RUN: neo-opt %s --split-input-file --verify-diagnostics

// A malformed ensemble is refused, with the tree and the node where that is what is wrong.
func.func @circle(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{has tree 0, node 0 reached in 2 ways: a circle, or two parents}}
  %y = "forest.ensemble"(%x) {
    roots = dense<0> : tensor<1xi32>, features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<2xf32>,
    left = dense<[1, 0]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<0> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @range(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{has tree 0, node 1 with a child 7 out of range (2 nodes, 3 leaves)}}
  %y = "forest.ensemble"(%x) {
    roots = dense<0> : tensor<1xi32>, features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<2xf32>,
    left = dense<[1, 7]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<0> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @lost(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{has node 1 in a circle that no root leads to}}
  %y = "forest.ensemble"(%x) {
    roots = dense<0> : tensor<1xi32>, features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<2xf32>,
    left = dense<[-1, 1]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<0> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @root(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{has tree 0 with its root 9 out of range}}
  %y = "forest.ensemble"(%x) {
    roots = dense<9> : tensor<1xi32>, features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<2xf32>,
    left = dense<[1, -1]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<0> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @feature(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{has tree 0, node 1 on feature 4 of 4}}
  %y = "forest.ensemble"(%x) {
    roots = dense<0> : tensor<1xi32>, features = dense<[1, 4]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<2xf32>,
    left = dense<[1, -1]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<0> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @nan(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{has tree 0, node 0 with NaN as its threshold}}
  %y = "forest.ensemble"(%x) {
    roots = dense<0> : tensor<1xi32>, features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<0x7FC00000> : tensor<2xf32>,
    left = dense<[1, -1]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<0> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @flags(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{has tree 0, node 0 with flags 16}}
  %y = "forest.ensemble"(%x) {
    roots = dense<0> : tensor<1xi32>, features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<2xf32>,
    left = dense<[1, -1]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<16> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @sets(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{has tree 0, node 0 categorical and no 'sets'}}
  %y = "forest.ensemble"(%x) {
    roots = dense<0> : tensor<1xi32>, features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<2xf32>,
    left = dense<[1, -1]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<4> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @counts(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{needs 2 'thresholds', not 3}}
  %y = "forest.ensemble"(%x) {
    roots = dense<0> : tensor<1xi32>, features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<3xf32>,
    left = dense<[1, -1]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<0> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @type(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{needs 'thresholds' of f32}}
  %y = "forest.ensemble"(%x) {
    roots = dense<0> : tensor<1xi32>, features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<2xf64>,
    left = dense<[1, -1]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<0> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @kind(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{needs 'roots', a dense array}}
  %y = "forest.ensemble"(%x) {
    roots = 3 : i32, features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<2xf32>,
    left = dense<[1, -1]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<0> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @absent(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{needs 'roots'}}
  %y = "forest.ensemble"(%x) {
    features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<2xf32>,
    left = dense<[1, -1]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<0> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @target(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{has tree 0 for output 1 of 1}}
  %y = "forest.ensemble"(%x) {
    roots = dense<0> : tensor<1xi32>, features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<2xf32>,
    left = dense<[1, -1]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<0> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<1> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @post(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{has no post-transform 'sigmoid'}}
  %y = "forest.ensemble"(%x) {
    roots = dense<0> : tensor<1xi32>, features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<2xf32>,
    left = dense<[1, -1]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<0> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = ["sigmoid"]
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @predicate(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{needs 'predicate'}}
  %y = "forest.ensemble"(%x) {
    roots = dense<0> : tensor<1xi32>, features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<2xf32>,
    left = dense<[1, -1]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<0> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<1xf32>, predicate = "gt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @width(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error@below {{gives 3 numbers a row, not 1}}
  %y = "forest.ensemble"(%x) {
    roots = dense<0> : tensor<1xi32>, features = dense<[1, 2]> : tensor<2xi32>, thresholds = dense<2.0> : tensor<2xf32>,
    left = dense<[1, -1]> : tensor<2xi32>, right = dense<[-2, -3]> : tensor<2xi32>, flags = dense<0> : tensor<2xi8>,
    values = dense<0.5> : tensor<3x1xf32>, targets = dense<0> : tensor<1xi32>,
    base = dense<0.0> : tensor<3xf32>, predicate = "lt", post = []
  } : (tensor<?x4xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @rows(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@below {{takes 10 operands and gives one result}}
  %r = "forest.heap"(%x, %y, %y, %y, %y, %y, %y, %y, %y) {depth = 1 : i64} : (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

func.func @ragged(%x: tensor<?x4xf32>, %features: tensor<16xi32>, %missing: tensor<16xi32>, %cuts: tensor<16x3xf32>,
                  %begin: tensor<3xi32>, %columns: tensor<9xi8>, %ranks: tensor<9xi8>, %children: tensor<9x2xi16>,
                  %values: tensor<11xf32>, %classes: tensor<2xi32>, %base: tensor<1xf32>, %out: tensor<?xf32>) -> tensor<?xf32> {
  // expected-error@below {{needs 'depth', from 0 to 256}}
  %y = "forest.ragged"(%x, %features, %missing, %cuts, %begin, %begin, %columns, %ranks, %children, %values, %classes,
                       %base, %out) {slots = 8 : i64, leaves = 9 : i64, missing = "right"}
    : (tensor<?x4xf32>, tensor<16xi32>, tensor<16xi32>, tensor<16x3xf32>, tensor<3xi32>, tensor<3xi32>, tensor<9xi8>,
       tensor<9xi8>, tensor<9x2xi16>, tensor<11xf32>, tensor<2xi32>, tensor<1xf32>, tensor<?xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @total_of_other_outputs(%values: tensor<2x7xf32>, %classes: tensor<4xi32>, %base: tensor<1xf32>,
                                  %out: tensor<2xf32>) -> tensor<2xf32> {
  // expected-error@+1 {{needs table 'classes' with 2 entries}}
  %y = "forest.total"(%values, %classes, %base, %out)
    : (tensor<2x7xf32>, tensor<4xi32>, tensor<1xf32>, tensor<2xf32>) -> tensor<2xf32>
  return %y : tensor<2xf32>
}

// -----

func.func @total_in_two_types(%values: tensor<2x7xf64>, %classes: tensor<2xi32>, %base: tensor<1xf32>,
                              %out: tensor<2xf32>) -> tensor<2xf32> {
  // expected-error@+1 {{adds in one type}}
  %y = "forest.total"(%values, %classes, %base, %out)
    : (tensor<2x7xf64>, tensor<2xi32>, tensor<1xf32>, tensor<2xf32>) -> tensor<2xf32>
  return %y : tensor<2xf32>
}
