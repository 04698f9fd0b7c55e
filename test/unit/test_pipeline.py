"""`neomlir.Pipeline`: text, composition, and what a run reports."""

import contextlib
import dataclasses
import io
import os
import signal
from pathlib import Path

import pytest
from neomlir import PassFailure, Pipeline, PipelineError
from neomlir.dialects import context
from neomlir.mlir import ir
from neomlir.passes.base import ModulePass
from neomlir.passes.drop_asserts import DropAsserts
from neomlir.passes.transform import Transform
from neomlir.pipeline import Printing, named_stages, pipeline_names
from neomlir.pipeline_run import pending_reproducer
from neomlir.targets import Target

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


def test_statistics(module):
    counted = []
    Pipeline("neo-drop-asserts,cse,canonicalize").run(
        module, statistics=lambda name, counters: counted.append((name, counters))
    )
    assert counted == [
        ("neo-drop-asserts", {"operations removed": 1, "assertions dropped": 1}),
        ("cse", {"operations removed": 1}),
        ("canonicalize", {}),
    ]


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
    def broken(module):
        empty = ir.TypeAttr.get(ir.FunctionType.get([], []))
        next(iter(module.body.operations)).operation.attributes["function_type"] = empty

    with registered("test-unit-break", broken):
        for verify in (True, False):
            with pytest.raises(PassFailure) as error:
                Pipeline("test-unit-break").run(module, verify=verify)
            assert error.value.diagnostics
        Pipeline("test-unit-break").run(module, verify=False, isolate=False)


def registered(name, run):
    """A pass of that name for the length of a test."""
    from neomlir.passes import base

    @contextlib.contextmanager
    def known():
        base._REGISTRY[name] = type(name, (ModulePass,), {"name": name, "run": lambda self, module: run(module)})
        base._REGISTRY[name] = dataclasses.dataclass(frozen=True)(base._REGISTRY[name])
        try:
            yield
        finally:
            del base._REGISTRY[name]

    return known()


def test_a_crash_is_an_error_and_leaves_the_module(module, tmp_path):
    before = str(module)
    file = tmp_path / "again.mlir"
    with registered("test-unit-crash", lambda module: os.kill(os.getpid(), signal.SIGKILL)):
        with pytest.raises(PassFailure, match=r"MLIR crashed \(SIGKILL\) in pass 'test-unit-crash'"):
            Pipeline("cse,test-unit-crash,canonicalize").run(module, reproducer=file)
        assert '"builtin.module(test-unit-crash,canonicalize)"' in file.read_text()
    assert str(module) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.mlir"]


def test_an_error_in_a_pass_says_where(module):
    with registered("test-unit-raise", lambda module: {}["key"]):
        for isolate in (True, False):
            with pytest.raises(PassFailure, match=r"test-unit-raise: KeyError: 'key' \(.*test_pipeline.py:\d+\)"):
                Pipeline("test-unit-raise").run(module, isolate=isolate)


def test_a_failure_leaves_the_module_as_it_was(module):
    before = str(module)
    with pytest.raises(PassFailure):
        Pipeline("cse", Transform(library="/none")).run(module)
    assert str(module) == before
    with pytest.raises(PassFailure):
        Pipeline("cse", Transform(library="/none")).run(module, isolate=False)
    assert str(module) != before


def test_attributes_and_places_come_back(module):
    def mark(module):
        module.operation.attributes["test.mark"] = ir.UnitAttr.get()
        module.body.operations[0].operation.attributes["test.mark"] = ir.UnitAttr.get()

    with registered("test-unit-mark", mark):
        Pipeline("test-unit-mark").run(module)
    assert str(module).count("test.mark") == 2
    assert module.operation.verify()
    assert "test.mark" in str(module.body.operations[0])


def test_what_a_pass_prints_is_not_lost(module, capfd):
    with registered("test-unit-print", lambda module: print("from within")):
        Pipeline("test-unit-print").run(module)
    assert capfd.readouterr().out == "from within\n"


def test_passes_of_ours_within_other_operations():
    with context():
        text = f"module {{ func.func @outer() {{ builtin.module {{ {SOURCE} }} return }} }}"
        module = ir.Module.parse(text)
    Pipeline("builtin.module(func.func(cse,builtin.module(neo-drop-asserts,func.func(cse)),canonicalize))").run(module)
    assert "cf.assert" not in str(module)
    assert str(module).count("arith.addi") == 1


def test_any_means_every_module():
    with context():
        module = ir.Module.parse(f"module {{ module {{ {SOURCE} }} }}")
    Pipeline("any(neo-drop-asserts)").run(module)
    assert "cf.assert" not in str(module)


def test_only_modules_run(module):
    with pytest.raises(PipelineError, match="runs on a Module, not on str"):
        Pipeline("cse").run("module {}")
    with pytest.raises(PipelineError, match="not int"):
        Pipeline(42)


@pytest.mark.parametrize("folder", ["/a b/c", "/x{y}", "/p(q)[r]", ""])
def test_odd_values_print_and_parse(folder):
    made = Transform(library=folder, entry="one")
    [step] = Pipeline(made).steps
    assert Transform.parse(step.options) == made
    assert str(Pipeline(str(Pipeline(made)))) == str(Pipeline(made))


def test_a_value_that_text_cannot_hold():
    with pytest.raises(PipelineError, match="double quote"):
        Pipeline(Transform(library='a"b'))


def test_options_of_a_file_without_postponed_annotations():
    @dataclasses.dataclass(frozen=True)
    class Plain(ModulePass):
        name = "test-unit-plain"
        on: bool = True
        number: int = 3
        ratio: float = 0.5

        def run(self, module):
            pass

    Plain.__annotations__ = {"on": bool, "number": int, "ratio": float}
    for field in dataclasses.fields(Plain):
        field.type = Plain.__annotations__[field.name]
    assert Plain.parse("on=false number=4") == Plain(False, 4)
    with pytest.raises(PipelineError, match="'number' takes a value of type int, not 'x'"):
        Plain.parse("number=x")


def test_passes_of_other_folders(module, tmp_path, monkeypatch):
    (tmp_path / "bad.py").write_text("import nothing_of_that_name\n")
    monkeypatch.setenv("NEO_PASS_PATH", str(tmp_path))
    with pytest.raises(PipelineError, match=r"bad.py cannot be imported: ModuleNotFoundError: .*bad.py:1\)"):
        Pipeline("neo-from-elsewhere")


def test_absurdly_deep_text():
    with pytest.raises(PipelineError, match="nested more than 100 deep"):
        Pipeline("builtin.module(" * 5000 + "cse" + ")" * 5000)


def test_options_of_a_named_pipeline():
    target = Target.named("x86-64-v3")
    plain = named_stages("cpu", target)
    assert named_stages("cpu{}", target) == plain
    given = named_stages("cpu{neo-pack-forest.strategy=loops neo-fuse-elementwise.views=false}", target)
    assert [level for level in plain if given[level] != plain[level]] == ["global"]
    assert "neo-pack-forest{strategy=loops target=x86-64-v3}" in given["global"]
    assert given["global"].count("neo-fuse-elementwise{views=false}") == given["global"].count("neo-fuse-elementwise")
    assert str(Pipeline.named("cpu{neo-pack-forest.strategy=bits}", target)).count("strategy=bits") == 1
    nested = named_stages("cpu{neo-lower-linalg.lanes=4}", target)
    assert "builtin.module(" in nested["memref"] and "neo-lower-linalg{lanes=4}" in nested["memref"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cpu{", "never closed"),
        ("cpu{a=b},cse", "is not NAME{PASS.OPTION=VALUE"),
        ("gpu{neo-pack-forest.strategy=loops}", "there is no pipeline 'gpu'"),
        ("cpu{strategy=loops}", "'strategy=loops' in .* is not PASS.OPTION=VALUE"),
        ("cpu{neo-pack-forest.strategy}", "is not PASS.OPTION=VALUE"),
        ("cpu{neo-pack-forests.strategy=loops}", "there is no pass 'neo-pack-forests'; did you mean 'neo-pack-forest'"),
        ("cpu{neo-pack-forest.strategies=loops}", "has no option 'strategies'; did you mean 'strategy'"),
        ("cpu{neo-lower-linalg.lanes=many}", "neo-lower-linalg"),
        ("cpu{neo-limit-schedules.kernels=a:scalar}", "pipeline 'cpu' has no pass 'neo-limit-schedules'"),
    ],
)
def test_wrong_options_of_a_named_pipeline(name, message):
    with pytest.raises(PipelineError, match=message):
        named_stages(name, Target.named("x86-64-v3"))
