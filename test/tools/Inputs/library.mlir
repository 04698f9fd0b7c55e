module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%module: !transform.any_op {transform.readonly}) {
    %f = transform.structured.match ops{["func.func"]} in %module : (!transform.any_op) -> !transform.any_op
    %n = transform.param.constant 7 : i64 -> !transform.param<i64>
    transform.annotate %f "main" = %n : !transform.any_op, !transform.param<i64>
    transform.yield
  }
  transform.named_sequence @other(%module: !transform.any_op {transform.readonly}) {
    %f = transform.structured.match ops{["func.func"]} in %module : (!transform.any_op) -> !transform.any_op
    %n = transform.param.constant 8 : i64 -> !transform.param<i64>
    transform.annotate %f "other" = %n : !transform.any_op, !transform.param<i64>
    transform.yield
  }
}
