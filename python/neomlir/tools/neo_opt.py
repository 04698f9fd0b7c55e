"""`neo-opt`: run passes on textual IR, as `mlir-opt` does, with ours among upstream's."""

from __future__ import annotations

import mmap
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from neomlir.tools import take_interrupts
from neomlir.tools.opt_arguments import DEFAULT_MARKER, Arguments, UsageError, help_text, near, parse
from neomlir.workers import die_with_the_parent

_REPRODUCER = re.compile(r"mlir_reproducer\s*:\s*\{(.*?)\n\s*\}", re.DOTALL)
_REPRODUCER_PIPELINE = re.compile(r'pipeline\s*:\s*"((?:[^"\\]|\\.)*)"')
_NAME_BYTES = 4096


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code, 0 or, for whatever is wrong, 1 as `mlir-opt` does.

    The work is done in a child process: a crash of MLIR becomes a message that names the pass, and writes no output.
    """
    words = sys.argv[1:] if arguments is None else arguments
    sys.stdout.flush()
    sys.stderr.flush()
    running = mmap.mmap(-1, _NAME_BYTES)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            die_with_the_parent()
            code = _work(words, lambda step: _remember(running, step))
            sys.stdout.flush()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(code)
    try:
        take_interrupts()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except KeyboardInterrupt:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return 130
    if code >= 0:
        return code
    step = running[:].rstrip(b"\0").decode(errors="replace")
    print(f"neo-opt: error: MLIR crashed ({signal.Signals(-code).name}) in {step or 'parsing'}", file=sys.stderr)
    _keep_reproducer(words)
    return 1


def _remember(running: mmap.mmap, step: str) -> None:
    """Leave the text of the running step where the parent reads it should this process die."""
    text = f"pass '{step}'" if step else "printing"
    running[:] = text.encode()[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0")


def _keep_reproducer(words: list[str]) -> None:
    from neomlir.pipeline_run import pending_reproducer

    file = parse(words).value("mlir-pass-pipeline-crash-reproducer")
    if file and pending_reproducer(file).exists():
        pending_reproducer(file).replace(file)
        print(f"neo-opt: note: `neo-opt --run-reproducer {file}` repeats it", file=sys.stderr)


def _work(words: list[str], on_pass: Callable[[str], None]) -> int:
    from neomlir.errors import NeoError

    try:
        asked = parse(words)
        if _informs(asked):
            return 0
        return _run(asked, on_pass)
    except (UsageError, NeoError) as error:
        message = str(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        message = f"{error.strerror}: {error.filename}" if error.filename else str(error)
    except RecursionError:
        message = "the input is nested too deeply"
    except MemoryError:
        message = "there is not enough memory"
    except KeyboardInterrupt:
        return 130
    print(f"neo-opt: error: {message}", file=sys.stderr)
    return 1


def _informs(asked: Arguments) -> bool:
    """Answer the flags that only print."""
    if "help" in asked.on:
        print(help_text())
    elif "version" in asked.on:
        from neomlir import __version__

        print(f"neo-opt {__version__}")
    elif "list-passes" in asked.on:
        from neomlir.passes.base import all_passes

        print("\n".join(cls.name for cls in all_passes()))
    elif "list-pipelines" in asked.on:
        from neomlir.pipeline import pipeline_names

        print("\n".join(pipeline_names()))
    elif "show-dialects" in asked.on:
        from neomlir.dialects import all_dialects, context

        made = context()
        made.load_all_available_dialects()
        ours = {module.DIALECT.DIALECT_NAMESPACE for module in all_dialects()}
        print("Available Dialects: " + ",".join(sorted(_dialects(made) | ours)))
    else:
        return False
    return True


def _dialects(context) -> set[str]:
    from neomlir.mlir import ir

    try:
        with context:
            ir.Module.parse("not_a_dialect.op")
    except ir.MLIRError as error:
        found = re.search(r"Available dialects: ([^;]*)", str(error))
        return set(re.findall(r"\w+", re.sub(r"\([^)]*\)", "", found[1]))) if found else set()
    return set()


def _run(asked: Arguments, on_pass: Callable[[str], None]) -> int:
    from neomlir.passes.base import load_file
    from neomlir.tools import opt_input

    for file in asked.values.get("load-pass", []):
        load_file(file)
    name, data = opt_input.read(asked.file)
    pipeline, verify = _pipeline(asked, data)
    if "dump-pass-pipeline" in asked.on:
        print(str(pipeline), file=sys.stderr)
    marker = asked.value("split-input-file")
    outputs, failed = [], False
    for part in opt_input.parts(data, name, marker):
        output, ok = _one(asked, pipeline, verify, name, part, on_pass)
        failed |= not ok
        if output is not None:
            outputs.append(output)
    if asked.value("verify-diagnostics") is None and (not failed or _streams(asked, marker)):
        between = asked.value("output-split-marker", DEFAULT_MARKER)
        opt_input.write(asked.value("o"), outputs, between)
    return 1 if failed else 0


def _streams(asked: Arguments, marker: str | None) -> bool:
    """Whether the parts of a split input are printed although one failed, as `mlir-opt` does."""
    return marker is not None and asked.value("o") in (None, "-")


def _pipeline(asked: Arguments, data: bytes):
    """The pipeline that was asked for, and whether to verify after each pass."""
    from neomlir.errors import PipelineError
    from neomlir.pipeline import Pipeline

    verify = "no-verify-each" not in asked.on
    if "run-reproducer" in asked.on:
        found = _REPRODUCER.search(data.decode(errors="replace"))
        text = found and _REPRODUCER_PIPELINE.search(found[1])
        if not text:
            raise PipelineError("--run-reproducer: the input carries no pipeline (mlir_reproducer)")
        verify = verify and not re.search(r"verify_each\s*:\s*false", found[1])
        return Pipeline(re.sub(r"\\(.)", r"\1", text[1])), verify
    given, named = asked.value("pass-pipeline"), asked.value("pipeline")
    if sum(map(bool, (given, named, asked.passes))) > 1:
        raise UsageError("give --pass-pipeline, --pipeline or flags of passes, not several of them")
    if given is not None:
        return Pipeline(given), verify
    if named is not None:
        return Pipeline.named(named, asked.value("target", "host"), asked.value("from-level", "global")), verify
    pipeline = Pipeline()
    for name, options in asked.passes:
        _add_flag(pipeline, name, options, asked.value("target"))
    return pipeline, verify


def _add_flag(pipeline, name: str, options: str, target: str | None) -> None:
    """Append the pass of a flag, nested where it works on operations of one kind only."""
    from neomlir.errors import PipelineError
    from neomlir.passes.base import find_pass, is_ours

    if is_ours(name) and target and "target=" not in options:
        found = find_pass(name)
        if any(option == "target" for option, *_ in found.options()):
            options = f"target={target} {options}".strip()
    text = f"{name}{{{options}}}" if options else name
    try:
        pipeline.add(text)
    except PipelineError as error:
        nested = re.search(r"restricted to '([\w.]+)' on a PassManager", str(error))
        if nested:
            pipeline.add(f"{nested[1]}({text})")
            return
        if "does not refer to a registered pass" not in str(error):
            raise
        hint = near(name, _pass_names())
        raise UsageError(f"unknown argument --{name}: it is neither a flag nor a pass{hint}") from error


def _pass_names() -> list[str]:
    from neomlir.passes.base import all_passes

    return [cls.name for cls in all_passes()]


def _one(
    asked: Arguments,
    pipeline,
    verify: bool,
    name: str,
    source: str | bytes | Path,
    on_pass: Callable[[str], None],
) -> tuple[str | bytes | None, bool]:
    """Run on one input; gives the output, and whether all went well."""
    from neomlir.dialects import context
    from neomlir.errors import NeoError
    from neomlir.mlir import ir
    from neomlir.tools import opt_input, opt_reports
    from neomlir.tools.opt_diagnostics import Reporter

    level = asked.value("verify-diagnostics")
    text = opt_input.text_of(source)
    show = "no-mlir-print-op-on-diagnostic" not in asked.on
    reporter = Reporter(name, text, verify=level is not None, show_operation=show)

    def report(diagnostic) -> bool:
        reporter.diagnostic(diagnostic)
        return True

    made = context(allow_unregistered="allow-unregistered-dialect" in asked.on)
    handler = made.attach_diagnostic_handler(report)
    times = opt_reports.Times()
    output, ok = None, True
    with made, ir.Location.unknown():
        try:
            for file in asked.values.get("irdl-file", []):
                opt_input.load_irdl(file)
            with times.measured("Parser"):
                root = opt_input.Root.parse(asked, source)
            _execute(asked, pipeline, verify, root, times, on_pass)
            on_pass("")
            with times.measured("Output"):
                output = root.print(asked)
        except ir.MLIRError as error:
            ok = False
            reporter.error(error)
        except NeoError as error:
            ok = False
            cause, said = error.__cause__, getattr(error, "diagnostics", ())
            if isinstance(cause, ir.MLIRError) and cause.error_diagnostics:
                reporter.error(cause)
            elif said:
                reporter.told(said)
            elif not reporter.reported:
                reporter.plain(str(error))
    handler.detach()
    if "mlir-timing" in asked.on:
        times.print(asked.value("mlir-timing-display", "tree"))
    if level is None:
        return output, ok
    from neomlir.tools.expected import check

    complaints = check(text, reporter.reported, only_expected=level == "only-expected")
    for line, complaint in complaints:
        where = f"{name}:{line}:1" if line else name
        print(f"{where}: error: {complaint}", file=sys.stderr)
    return None, not complaints


def _execute(asked: Arguments, pipeline, verify: bool, root, times, on_pass: Callable[[str], None]) -> None:
    from neomlir.pipeline_run import Printing
    from neomlir.tools import opt_input, opt_reports

    folder = asked.value("mlir-print-ir-tree-dir")
    printing = Printing(
        before=frozenset(asked.value("mlir-print-ir-before", "").split(",")) - {""},
        after=frozenset(asked.value("mlir-print-ir-after", "").split(",")) - {""},
        before_all="mlir-print-ir-before-all" in asked.on,
        after_all="mlir-print-ir-after-all" in asked.on,
        after_change="mlir-print-ir-after-change" in asked.on,
        after_failure="mlir-print-ir-after-failure" in asked.on,
        folder=Path(folder) if folder else None,
        form=opt_input.form(asked),
    )
    counters = opt_reports.Counters()
    counts = "mlir-pass-statistics" in asked.on
    try:
        root.within(pipeline, anchored=bool(asked.passes)).run(
            root.module,
            verify=verify,
            printing=printing,
            timing=times.add if "mlir-timing" in asked.on else None,
            statistics=counters.add if counts else None,
            reproducer=asked.value("mlir-pass-pipeline-crash-reproducer"),
            on_pass=on_pass,
            isolate=False,
        )
    finally:
        if counts:
            counters.print(asked.value("mlir-pass-statistics-display", "pipeline"))


if __name__ == "__main__":
    sys.exit(main())
