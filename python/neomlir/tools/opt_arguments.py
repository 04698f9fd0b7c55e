"""The command line of `neo-opt`: flags as `mlir-opt` has them, and one flag a pass, in any order."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field

USAGE = """usage: neo-opt [FILE] [--pass-pipeline=TEXT | --PASS[=OPTIONS] …] [flags]

Reads MLIR text or bytecode from FILE (or standard input, `-`), runs passes in the order given, prints the result.
Any pass, of Neo or upstream, is a flag: --neo-form-kernels=max-ops=8 --canonicalize. Dashes may be single."""

SWITCHES = {
    "help": "print this help and every pass of Neo",
    "version": "print the version",
    "verify-each": "verify after each pass (the default; `=false` turns it off)",
    "allow-unregistered-dialect": "accept operations of unknown dialects",
    "mlir-print-ir-before-all": "print the module before each pass",
    "mlir-print-ir-after-all": "print the module after each pass",
    "mlir-print-ir-after-change": "after passes, print only where the module changed",
    "mlir-print-ir-after-failure": "after passes, print only where the pass failed",
    "mlir-print-ir-module-scope": "print the whole module, which is always done",
    "verify-roundtrip": "check that the input survives printing and parsing, as text and as bytecode",
    "mlir-print-op-generic": "print the generic form",
    "mlir-print-assume-verified": "print without verifying first",
    "mlir-print-debuginfo": "print locations",
    "mlir-pretty-debuginfo": "print locations in a form for people",
    "mlir-print-local-scope": "print without aliases",
    "mlir-print-skip-regions": "print without regions",
    "mlir-print-op-on-diagnostic": "add the operation to its diagnostic (the default; `=false` turns it off)",
    "mlir-use-nameloc-as-prefix": "name values after their locations",
    "mlir-disable-threading": "use one thread, which is always done",
    "mlir-timing": "print the time of each pass",
    "mlir-pass-statistics": "print the counters of each pass",
    "run-reproducer": "run the pipeline that a reproducer file carries",
    "emit-bytecode": "write bytecode instead of text",
    "show-dialects": "list the dialects and end",
    "list-passes": "list the passes of Neo and end",
    "list-pipelines": "list the named pipelines and end",
    "dump-pass-pipeline": "print the pipeline on standard error before it runs",
    "no-implicit-module": "the input's only operation is what passes run on; do not put a module around it",
}
DEFAULT_MARKER = "// -----"
# Flags whose value may be left out, with what stands for it then.
OPTIONAL = {
    "split-input-file": ("MARKER: treat the parts between lines with it as inputs of their own", DEFAULT_MARKER),
    "verify-diagnostics": (
        "all|only-expected: compare the diagnostics with the `expected-error {{…}}` comments",
        "all",
    ),
}
VALUES = {
    "o": "FILE: write here instead of to standard output",
    "pass-pipeline": "TEXT: the whole pipeline",
    "pipeline": "NAME: a named pipeline of Neo, from `--from-level` (default: global) down",
    "from-level": "LEVEL: where a named pipeline starts",
    "target": "NAME: the target of a named pipeline, and of passes that have an option `target`",
    "load-pass": "FILE.py: import this file first; passes that it registers become known",
    "irdl-file": "FILE: load the dialects that this IRDL file defines",
    "output-split-marker": "MARKER: the line between the outputs of split inputs",
    "mlir-print-ir-before": "PASS[,PASS…]: print the module before these passes",
    "mlir-print-ir-after": "PASS[,PASS…]: print the module after these passes",
    "mlir-print-ir-tree-dir": "FOLDER: print into files there",
    "mlir-elide-elementsattrs-if-larger": "N: elide constants of more than N elements",
    "mlir-elide-resource-strings-if-larger": "N: elide resources of more than N characters",
    "mlir-timing-display": "list|tree: by time, or in the order of the pipeline (the default)",
    "mlir-pass-statistics-display": "list|pipeline: by name, or in the order of the pipeline (the default)",
    "mlir-pass-pipeline-crash-reproducer": "FILE: where a failing pass leaves its input and the rest of the pipeline",
    "emit-bytecode-version": "N: write this version of bytecode",
}
CHOICES = {
    "verify-diagnostics": ("all", "only-expected"),
    "mlir-timing-display": ("list", "tree"),
    "mlir-pass-statistics-display": ("list", "pipeline"),
}
_TRUE, _FALSE = ("", "1", "true"), ("0", "false")


class UsageError(Exception):
    """The command line is wrong."""


@dataclass
class Arguments:
    """What was asked for: `on` and `values` by flag, passes in order as (name, options)."""

    file: str = "-"
    on: set[str] = field(default_factory=set)
    values: dict[str, list[str]] = field(default_factory=dict)
    passes: list[tuple[str, str]] = field(default_factory=list)

    def value(self, name: str, default: str | None = None) -> str | None:
        """The last value given for a flag."""
        return self.values.get(name, [default])[-1]

    def number(self, name: str) -> int | None:
        """The last value given for a flag that takes a count. Raises UsageError."""
        text = self.value(name)
        if text is not None and not (text.isascii() and text.isdigit()):
            raise UsageError(f"--{name} takes a number, not {text!r}")
        return None if text is None else int(text)


def parse(arguments: list[str]) -> Arguments:
    """Read a command line (without the program's name). Raises UsageError."""
    found = Arguments()
    files = []
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            files += rest
            break
        if word == "-" or not word.startswith("-"):
            files.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        name = "help" if name == "h" else name
        if name in SWITCHES:
            _switch(found, name, value)
        elif name in OPTIONAL:
            found.values[name] = [_chosen(name, value or OPTIONAL[name][1])]
        elif name in VALUES:
            if not equals:
                value = next(rest, None)
                if value is None:
                    raise UsageError(f"{_dashed(name)} needs a value: {VALUES[name]}")
            found.values.setdefault(name, []).append(_chosen(name, value))
        elif not name:
            raise UsageError(f"unknown argument {word!r}")
        else:
            quoted = len(value) > 1 and value[0] == value[-1] == '"'
            found.passes.append((name, value[1:-1] if quoted else value))
    if len(files) > 1:
        raise UsageError(f"one input file at most, not {len(files)}: {', '.join(files)}")
    found.file = files[0] if files else "-"
    return found


def _switch(found: Arguments, name: str, value: str) -> None:
    if value.lower() not in (*_TRUE, *_FALSE):
        raise UsageError(f"--{name} is true or false, not {value!r}")
    on = value.lower() in _TRUE
    (found.on.add if on else found.on.discard)(name)
    (found.on.discard if on else found.on.add)(f"no-{name}")


def _chosen(name: str, value: str) -> str:
    if name in CHOICES and value not in CHOICES[name]:
        raise UsageError(f"--{name} is {' or '.join(CHOICES[name])}, not {value!r}")
    return value


def _dashed(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name}"


def near(name: str, passes: list[str]) -> str:
    """A hint at the flag or pass that an unknown flag may have meant."""
    close = difflib.get_close_matches(name, [*SWITCHES, *OPTIONAL, *VALUES, *passes], 1)
    return f"; did you mean --{close[0]}?" if close else ""


def help_text() -> str:
    """The text of `--help`, with every pass of Neo."""
    from neomlir.passes.base import all_passes

    lines = [USAGE, "", "Flags:"]
    lines += [f"  --{name:38} {text}" for name, text in SWITCHES.items()]
    lines += [f"  --{name + '[=…]':38} {text}" for name, (text, _) in OPTIONAL.items()]
    lines += [f"  {_dashed(name) + '=…':40} {text}" for name, text in VALUES.items()]
    lines += ["", "Passes of Neo (upstream's are flags too):"]
    for cls in all_passes():
        lines.append(f"  --{cls.name:38} {(cls.__doc__ or '').strip().splitlines()[0]}")
        lines += [f"      {name}={default}  {' '.join(doc.split())}" for name, _, default, doc in cls.options()]
    return "\n".join(lines)
