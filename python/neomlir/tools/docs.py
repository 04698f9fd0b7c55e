"""Write the reference pages from the code: `python -m neomlir.tools.docs docs`, which `make docs` runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from neomlir.reference import changes, write


def main(argv: list[str] | None = None) -> int:
    """Run on `argv` (the process's arguments if None); 0, or 1 where `--check` finds a page that is not current."""
    parser = argparse.ArgumentParser("neomlir.tools.docs", description="Write the reference pages from the code.")
    parser.add_argument("folder", type=Path, metavar="docs", help="the folder `docs` of a checkout")
    parser.add_argument("--check", action="store_true", help="write nothing, name the pages that are not current")
    arguments = parser.parse_args(argv)
    root = arguments.folder.resolve().parent
    if arguments.folder.resolve().name != "docs" or not (root / "python" / "neomlir").is_dir():
        parser.error(f"{arguments.folder} is not the folder docs of a checkout")
    changed = list(changes(root)) if arguments.check else write(root)
    for path in changed:
        print(path)
    if arguments.check and changed:
        print("these pages are not what the code gives; `make docs` writes them", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
