"""`neomlir.Pipeline`: text, composition, and what a run reports."""

import io
from pathlib import Path

import pytest
from neomlir import PassFailure, Pipeline, PipelineError
from neomlir.dialects import context
from neomlir.mlir import ir
from neomlir.passes.drop_asserts import DropAsserts
from neomlir.passes.transform import Transform
from neomlir.pipeline import Printing, pending_reproducer, pipeline_names

SOURCE = """
func.func @f(%a: i32, %ok: i1) -> (i32, i32) {
  cf.assert %ok, "no"
  %0 = arith.addi %a, %a : i32
  %1 = arith.addi %a, %a : i32
  return %0, %1 : i32, i32
}
"""
LIBRARY = Path(__file__).parents[1] / "tools" / "Inputs" / "library.mlir"
NESTED = "builtin.module(builtin.module(neo-drop-asserts,func.func(cse,canonicalize{max-iterations=5})),cse)"


@pytest.fixture
def module():
    with context():
        return ir.Module.parse(SOURCE)


@pytest.mark.parametrize(
    "text",
    [NESTED, "builtin.module()", 'builtin.module(neo-transform{library="/a  b/c.mlir" entry=x},cse)'],
)
def test_text_parses_to_itself(text):
    assert str(Pipeline(text)) == text
    assert Pipeline(str(Pipeline(text))) == Pipeline(text)


@pytest.mark.parametrize("name", pipeline_names())
def test_named_pipelines_print_and_parse(name):
    pipeline = Pipeline.named(name, "x86-64-v3")
    assert pipeline.steps
    assert str(Pipeline(str(pipeline))) == str(pipeline)


def test_a_named_pipeline_starts_at_a_level():
    whole, rest = Pipeline.named("cpu", "x86-64-v3"), Pipeline.named("cpu", "x86-64-v3", first="vector")
    assert rest.steps == whole.steps[-len(rest.steps) :]
    with pytest.raises(PipelineError, match="no level 'none'; its levels are global, kernels"):
        Pipeline.named("cpu", "x86-64-v3", first="none")


def test_step_by_step():
    pipeline = Pipeline(DropAsserts(), "func.func(cse)").add("canonicalize").add(Pipeline("cse"))
    assert str(pipeline) == "builtin.module(neo-drop-asserts,func.func(cse),canonicalize,cse)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("neo-drop-assert", "did you mean 'neo-drop-asserts'"),
        ("neo-drop-asserts{x=1}", "has no option 'x'"),
        ("func.func(neo-drop-asserts)", "works on modules"),
        ("nonsuch", "does not refer to a registered pass"),
        ("canonicalize{max-iterations=5", "never closed"),
        ("cse,,cse", "pipeline:5: expected the name"),
    ],
)
def test_wrong_text(text, message):
    with pytest.raises(PipelineError, match=message):
        Pipeline(text)


def test_ours_and_upstreams_run(module):
    Pipeline("neo-drop-asserts,func.func(cse)").run(module)
    assert "cf.assert" not in str(module)
    assert str(module).count("arith.addi") == 1


def test_nested_to_any_depth():
    with context():
        module = ir.Module.parse(f"module {{ module {{ {SOURCE} }} }}")
    Pipeline("builtin.module(builtin.module(neo-drop-asserts,func.func(cse)))").run(module)
    assert "cf.assert" not in str(module)
    assert str(module).count("arith.addi") == 1


def test_printing_names_a_nested_pass(module):
    stream = io.StringIO()
    printing = Printing(before=frozenset({"cse"}), after=frozenset({"neo-drop-asserts"}), stream=stream)
    Pipeline("neo-drop-asserts,func.func(canonicalize,cse)").run(module, printing=printing)
    heads = [line for line in stream.getvalue().splitlines() if "IR Dump" in line]
    assert heads == [
        "// -----// IR Dump After neo-drop-asserts //----- //",
        "// -----// IR Dump Before func.func(cse) //----- //",
    ]


def test_timing_and_progress_name_every_pass(module):
    times, started = [], []
    Pipeline("neo-drop-asserts,func.func(canonicalize,cse)").run(
        module, timing=lambda name, seconds: times.append((name, seconds)), on_pass=started.append
    )
    assert [name for name, _ in times] == ["neo-drop-asserts", "func.func(canonicalize)", "func.func(cse)"] == started
    assert all(seconds > 0 for _, seconds in times)


def test_statistics(module, capfd):
    Pipeline("cse").run(module, statistics=True)
    # The wheel is built without counters: the report has a head and no lines.
    assert "Pass statistics report" in capfd.readouterr().err


def test_a_failure_leaves_a_reproducer(module, tmp_path):
    file = tmp_path / "again.mlir"
    with pytest.raises(PassFailure, match="no such file"):
        Pipeline("func.func(cse)", Transform(library="/none"), "canonicalize").run(module, reproducer=file)
    text = file.read_text()
    assert text.count("arith.addi") == 1
    assert '"builtin.module(neo-transform{library=/none},canonicalize)"' in text
    assert not pending_reproducer(file).exists()


def test_success_leaves_no_reproducer(module, tmp_path):
    Pipeline("cse").run(module, reproducer=tmp_path / "again.mlir")
    assert list(tmp_path.iterdir()) == []


def test_a_transform_library_is_a_step(module):
    Pipeline(Transform(library=str(LIBRARY)), f"neo-transform{{library={LIBRARY} entry=other}}", "cse").run(module)
    assert "main = 7" in str(module)
    assert "other = 8" in str(module)


def test_a_pass_that_breaks_the_module_is_found_out(module):
    class Break(DropAsserts):
        def run(self, module):
            empty = ir.TypeAttr.get(ir.FunctionType.get([], []))
            next(iter(module.body.operations)).operation.attributes["function_type"] = empty

    from neomlir.passes import base

    base._REGISTRY["test-unit-break"] = Break
    try:
        with pytest.raises(PassFailure) as error:
            Pipeline("test-unit-break").run(module)
        assert error.value.diagnostics
        Pipeline("test-unit-break").run(module, verify=False)
    finally:
        del base._REGISTRY["test-unit-break"]
