"""The command line of `neo-opt`: flags as `mlir-opt` has them, and one flag a pass, in any order."""

from __future__ import annotations

from dataclasses import dataclass, field

USAGE = """usage: neo-opt [FILE] [--pass-pipeline=TEXT | --PASS[=OPTIONS] …] [flags]

Reads MLIR text or bytecode from FILE (or standard input, `-`), runs passes in the order given, prints the result.
Any pass, of Neo or upstream, is a flag: --neo-form-kernels=max-ops=8 --canonicalize. Dashes may be single."""

SWITCHES = {
    "help": "print this help and every pass of Neo",
    "version": "print the version",
    "split-input-file": "treat the parts between lines `// -----` as inputs of their own",
    "verify-diagnostics": "compare the diagnostics with the `expected-error {{…}}` comments",
    "verify-each": "verify after each pass (the default; `=false` turns it off)",
    "allow-unregistered-dialect": "accept operations of unknown dialects",
    "mlir-print-ir-before-all": "print the module before each pass",
    "mlir-print-ir-after-all": "print the module after each pass",
    "mlir-print-ir-after-change": "print the module after each pass that changed it",
    "mlir-print-ir-after-failure": "print the module after a pass that failed",
    "verify-roundtrip": "check that the input survives printing and parsing, as text and as bytecode",
    "mlir-print-op-generic": "print the generic form",
    "mlir-print-debuginfo": "print locations",
    "mlir-print-local-scope": "print without aliases",
    "mlir-timing": "print the time of each pass",
    "mlir-pass-statistics": "print the statistics of each pass",
    "run-reproducer": "run the pipeline that a reproducer file carries",
    "emit-bytecode": "write bytecode instead of text",
    "show-dialects": "list the dialects and end",
    "list-passes": "list the passes of Neo and end",
    "list-pipelines": "list the named pipelines and end",
    "dump-pass-pipeline": "print the pipeline on standard error before it runs",
    "no-implicit-module": "the input's first operation is the module; do not put one around it",
}
VALUES = {
    "o": "FILE: write here instead of to standard output",
    "pass-pipeline": "TEXT: the whole pipeline",
    "pipeline": "NAME: a named pipeline of Neo, from `--from-level` (default: global) down",
    "from-level": "LEVEL: where a named pipeline starts",
    "target": "NAME: the target of a named pipeline, and of passes that have an option `target`",
    "load-pass": "FILE.py: import this file first; passes that it registers become known",
    "irdl-file": "FILE: load the dialects that this IRDL file defines",
    "mlir-print-ir-before": "PASS[,PASS…]: print the module before these passes",
    "mlir-print-ir-after": "PASS[,PASS…]: print the module after these passes",
    "mlir-print-ir-tree-dir": "FOLDER: print into files there",
    "mlir-elide-elementsattrs-if-larger": "N: elide constants of more than N elements",
    "mlir-elide-resource-strings-if-larger": "N: elide resources of more than N characters",
    "mlir-pass-pipeline-crash-reproducer": "FILE: where a failing pass leaves its input and the rest of the pipeline",
}


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
        if word == "-" or not word.startswith("-"):
            files.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if name in SWITCHES or name in ("h",):
            on = not equals or value.lower() in ("1", "true")
            (found.on.add if on else found.on.discard)("help" if name == "h" else name)
            if not on:
                found.on.add(f"no-{name}")
        elif name in VALUES:
            if not equals:
                value = next(rest, None)
                if value is None:
                    raise UsageError(f"--{name} needs a value: {VALUES[name]}")
            found.values.setdefault(name, []).append(value)
        else:
            found.passes.append((name, value.strip('"')))
    if len(files) > 1:
        raise UsageError(f"one input file at most, not {len(files)}: {', '.join(files)}")
    found.file = files[0] if files else "-"
    return found


def help_text() -> str:
    """The text of `--help`, with every pass of Neo."""
    from neomlir.passes.base import all_passes

    lines = [USAGE, "", "Flags:"]
    lines += [f"  --{name:38} {text}" for name, text in SWITCHES.items()]
    lines += [f"  --{name + '=…':38} {text}" for name, text in VALUES.items()]
    lines += ["", "Passes of Neo (upstream's are flags too):"]
    for cls in all_passes():
        lines.append(f"  --{cls.name:38} {(cls.__doc__ or '').strip().splitlines()[0]}")
        lines += [f"      {name}={default}  {' '.join(doc.split())}" for name, _, default, doc in cls.options()]
    return "\n".join(lines)
