"""`neo-runtime`: the C runtime for a machine, as libraries, header and sources."""

from __future__ import annotations

import argparse
from pathlib import Path

from neomlir.codegen.runtime_library import runtime_library, static_library, write_sources
from neomlir.codegen.zig import shared_triple
from neomlir.targets import Target
from neomlir.tools import console


def main(argv: list[str] | None = None) -> int:
    """Run the tool on `argv` (the process's arguments if None); the exit code."""
    return console.run_tool(parser(), _body, argv)


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        "neo-runtime",
        description="Write the C runtime for a machine: neo.h, libneo.so, libneo.a, and the sources.",
        epilog="Exit codes: 0 done; 1 the runtime can't be built or written; 2 wrong arguments; 130 interrupted.",
    )
    add = parser.add_argument
    add("folder", metavar="DIR", help="the folder to write to, made if need be; the sources go to DIR/src")
    add("--target", default="host", metavar="T", help="the machine, as for neo-compile (default: host)")
    return parser


def _body(arguments: argparse.Namespace) -> int:
    target, folder = Target.named(arguments.target), Path(arguments.folder)
    shared_triple(target.triple)
    (folder / "src").mkdir(parents=True, exist_ok=True)
    write_sources(folder / "src")
    written = [folder / name for name in ("neo.h", "libneo.a", "libneo.so")]
    header, static, shared = written
    header.write_bytes((folder / "src" / "neo.h").read_bytes())
    static.write_bytes(static_library(target.triple))
    shared.write_bytes(runtime_library(target.triple).read_bytes())
    for path in written:
        print(f"wrote {path} ({console.quantity(path.stat().st_size, 'B')})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
