"""`neo-opt`: run passes on textual IR, as `mlir-opt` does, with ours among upstream's."""

from __future__ import annotations

import mmap
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from neomlir.tools.opt_arguments import Arguments, UsageError, help_text, parse

_SPLIT = re.compile(r"^// -----.*$", re.MULTILINE)
_REPRODUCER = re.compile(r'mlir_reproducer\s*:\s*\{.*?pipeline\s*:\s*"((?:[^"\\]|\\.)*)"', re.DOTALL)
_NAME_BYTES = 4096
_RESOURCES = re.compile(r"\{-#.*?#-\}", re.DOTALL)


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
            code = _work(words, lambda step: _remember(running, step))
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    try:
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
    from neomlir.pipeline import pending_reproducer

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
        print(f"neo-opt: error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        return 130


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
    for file in asked.values.get("load-pass", []):
        _load(file)
    name, data = _read(asked.file)
    is_text = not data.startswith(b"ML\xefR")
    pipeline = _pipeline(asked, data)
    if "dump-pass-pipeline" in asked.on:
        print(str(pipeline), file=sys.stderr)
    parts: list[tuple[int, str | bytes]] = [(0, data)]
    if is_text:
        text = data.decode()
        parts = [(0, text)]
        if "split-input-file" in asked.on:
            starts = [0, *(m.end() for m in _SPLIT.finditer(text))]
            ends = [*(m.start() for m in _SPLIT.finditer(text)), len(text)]
            parts = [(text.count("\n", 0, a), text[a:b]) for a, b in zip(starts, ends, strict=True)]
    outputs, failed = [], False
    for first_line, part in parts:
        output, ok = _one(asked, pipeline, name, first_line, part, on_pass)
        failed |= not ok
        if output is not None:
            outputs.append(output)
    if failed:
        return 1
    if "verify-diagnostics" not in asked.on:
        _write(asked.value("o"), outputs)
    return 0


def _load(file: str) -> None:
    import importlib.util

    from neomlir.errors import PipelineError

    if not Path(file).is_file():
        raise PipelineError(f"--load-pass: no such file: {file}")
    spec = importlib.util.spec_from_file_location(f"neomlir_loaded_{Path(file).stem}", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


def _read(file: str) -> tuple[str, bytes]:
    if file == "-":
        return "<stdin>", sys.stdin.buffer.read()
    try:
        return file, Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot open input file '{file}': {error.strerror}") from error


def _pipeline(asked: Arguments, data: bytes):
    from neomlir.errors import PipelineError
    from neomlir.passes.base import find_pass, is_ours
    from neomlir.pipeline import Pipeline

    target = asked.value("target")
    if "run-reproducer" in asked.on:
        found = _REPRODUCER.search(data.decode(errors="replace"))
        if not found:
            raise PipelineError("--run-reproducer: the input carries no pipeline (mlir_reproducer)")
        return Pipeline(re.sub(r"\\(.)", r"\1", found[1]))
    given = asked.value("pass-pipeline")
    named = asked.value("pipeline")
    if sum(map(bool, (given, named, asked.passes))) > 1:
        raise UsageError("give --pass-pipeline, --pipeline or flags of passes, not several of them")
    if given is not None:
        return Pipeline(given)
    if named is not None:
        return Pipeline.named(named, target or "host", asked.value("from-level") or "global")
    pipeline = Pipeline()
    for name, options in asked.passes:
        aimed = target and is_ours(name) and "target=" not in options
        if aimed and any(option == "target" for option, *_ in find_pass(name).options()):
            options = f"target={target} {options}".strip()
        pipeline.add(f"{name}{{{options}}}" if options else name)
    return pipeline


def _one(
    asked: Arguments, pipeline, name: str, first_line: int, source: str | bytes, on_pass: Callable[[str], None]
) -> tuple[str | bytes | None, bool]:
    """Run on one input; gives the output, and whether all went well."""
    from neomlir.dialects import context
    from neomlir.errors import NeoError
    from neomlir.mlir import ir

    made = context(allow_unregistered="allow-unregistered-dialect" in asked.on)
    reported: list[tuple[str, int | None, str]] = []
    shown: list[str] = []

    def report(diagnostic) -> bool:
        _report(diagnostic, name, first_line, reported, shown)
        return True

    handler = made.attach_diagnostic_handler(report)
    output, ok = None, True
    with made, ir.Location.unknown():
        try:
            for file in asked.values.get("irdl-file", []):
                _load_irdl(file)
            module = _parse(asked, source)
            _execute(asked, pipeline, module, on_pass)
            on_pass("")
            output = _print(asked, module)
        except ir.MLIRError as error:
            ok = False
            for diagnostic in error.error_diagnostics:
                _report(diagnostic, name, first_line, reported, shown)
            if not error.error_diagnostics and not reported:
                shown.append(f"{name}: error: {error}")
        except NeoError as error:
            ok = False
            cause = error.__cause__
            if isinstance(cause, ir.MLIRError) and cause.error_diagnostics:
                for diagnostic in cause.error_diagnostics:
                    _report(diagnostic, name, first_line, reported, shown)
            elif not reported:
                reported.append(("error", None, str(error)))
                shown.append(f"neo-opt: error: {error}")
    handler.detach()
    if "verify-diagnostics" not in asked.on:
        for line in shown:
            print(line, file=sys.stderr)
        return output, ok
    from neomlir.tools.expected import check

    complaints = check(source if isinstance(source, str) else "", reported)
    for line, complaint in complaints:
        where = f"{name}:{line + first_line}:1" if line else name
        print(f"{where}: error: {complaint}", file=sys.stderr)
    return None, not complaints


def _report(diagnostic, name: str, first_line: int, reported: list, shown: list) -> None:
    from neomlir.pipeline import location_text

    kind = str(diagnostic.severity).rsplit(".", 1)[-1].lower()
    where = location_text(diagnostic.location)
    found = re.fullmatch(r"(.*):(\d+):(\d+)", where)
    line = None
    if found:
        line = int(found[2])
        where = f"{name if found[1] == '-' else found[1]}:{line + first_line}:{found[3]}"
    reported.append((kind, line, diagnostic.message))
    shown.append(f"{where or name}: {kind}: {diagnostic.message}")
    for note in diagnostic.notes:
        _report(note, name, first_line, reported, shown)


def _load_irdl(file: str) -> None:
    from neomlir.mlir import ir, irdl

    irdl.load_dialects(ir.Module.parseFile(file))


def _parse(asked: Arguments, source: str | bytes):
    from neomlir.errors import PassFailure
    from neomlir.mlir import ir

    if isinstance(source, str) and "run-reproducer" in asked.on:
        source = _RESOURCES.sub("", source)
    if "no-implicit-module" in asked.on:
        op = ir.Operation.parse(source)
        if op.operation.name != "builtin.module":
            raise PassFailure(f"--no-implicit-module: the first operation is {op.operation.name}, not builtin.module")
    module = ir.Module.parse(source)
    if "verify-roundtrip" in asked.on:
        from neomlir.pipeline import bytecode

        text = str(module)
        for again in (ir.Module.parse(text), ir.Module.parse(bytecode(module.operation))):
            if str(again) != text:
                raise PassFailure("--verify-roundtrip: the module is not the same after printing and parsing")
    return module


def _execute(asked: Arguments, pipeline, module, on_pass: Callable[[str], None]) -> None:
    from neomlir.pipeline import Printing

    folder = asked.value("mlir-print-ir-tree-dir")
    printing = Printing(
        before=frozenset((asked.value("mlir-print-ir-before") or "").split(",")) - {""},
        after=frozenset((asked.value("mlir-print-ir-after") or "").split(",")) - {""},
        before_all="mlir-print-ir-before-all" in asked.on,
        after_all="mlir-print-ir-after-all" in asked.on,
        after_change="mlir-print-ir-after-change" in asked.on,
        after_failure="mlir-print-ir-after-failure" in asked.on,
        folder=Path(folder) if folder else None,
        generic="mlir-print-op-generic" in asked.on,
        debug_info="mlir-print-debuginfo" in asked.on,
    )
    times: list[tuple[str, float]] = []
    start = time.perf_counter()
    pipeline.run(
        module,
        verify="no-verify-each" not in asked.on,
        printing=printing,
        timing=(lambda name, seconds: times.append((name, seconds))) if "mlir-timing" in asked.on else None,
        statistics="mlir-pass-statistics" in asked.on,
        reproducer=asked.value("mlir-pass-pipeline-crash-reproducer"),
        on_pass=on_pass,
    )
    if "mlir-timing" in asked.on:
        total = time.perf_counter() - start
        print("===-- Execution time report --===", file=sys.stderr)
        for name, seconds in times:
            print(f"  {seconds:9.4f} s ({100 * seconds / max(total, 1e-9):5.1f} %)  {name}", file=sys.stderr)
        print(f"  {total:9.4f} s (100.0 %)  Total", file=sys.stderr)


def _print(asked: Arguments, module) -> str | bytes:
    if "emit-bytecode" in asked.on:
        from neomlir.pipeline import bytecode

        return bytecode(module.operation)
    large = asked.number("mlir-elide-elementsattrs-if-larger")
    resources = asked.number("mlir-elide-resource-strings-if-larger")
    text = module.operation.get_asm(
        large_elements_limit=large,
        large_resource_limit=resources,
        enable_debug_info="mlir-print-debuginfo" in asked.on,
        print_generic_op_form="mlir-print-op-generic" in asked.on,
        use_local_scope="mlir-print-local-scope" in asked.on,
    )
    return text.rstrip("\n") + "\n"


def _write(file: str | None, outputs: list[str | bytes]) -> None:
    bytecode = bool(outputs) and isinstance(outputs[0], bytes)
    data = b"".join(outputs) if bytecode else "// -----\n\n".join(outputs).encode()
    if file in (None, "-"):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        if Path(file).exists() and not Path(file).is_file():
            # A device or a pipe is written to; only a file may be replaced.
            Path(file).write_bytes(data)
            return
        place = Path(file).resolve()
        with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as part:
            part.write(data)
        os.chmod(part.name, 0o644)
        os.replace(part.name, place)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
