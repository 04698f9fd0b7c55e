"""`neo-run`: run a `.neo` file on arrays from files, or on random ones."""

from __future__ import annotations

import argparse
import os
import re
import time
from pathlib import Path

import numpy as np

import neomlir
from neomlir.errors import ModelError
from neomlir.manifest import Spec
from neomlir.samples import Sampler, numpy_dtype
from neomlir.tools import console


def main(argv: list[str] | None = None) -> int:
    """Run the tool on `argv` (the process's arguments if None); the exit code."""
    return console.run_tool(parser(), _body, argv)


def parser() -> argparse.ArgumentParser:
    """The command line; docs/tools has its options."""
    parser = argparse.ArgumentParser("neo-run", description="Run a compiled model once.")
    add = parser.add_argument
    add("program", metavar="OUT.neo", help="a file that neo-compile wrote")
    add(
        "--input",
        action="append",
        default=[],
        type=console.pair_argument,
        metavar="NAME=FILE.npy|random[:SHAPE]",
        help="an array to read (pickles are refused), or random values, of SHAPE where a dynamic dimension "
        "should have a size of your choice, as in x=random:1x128; inputs that are not named are random",
    )
    add(
        "--output",
        metavar="DIR",
        help="write each output to DIR/NAME.npy; characters of a name that are unusual in file names become _",
    )
    add("--threads", type=console.positive_argument, default=1, metavar="N", help="threads to run on (default: 1)")
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the random inputs (default: 0); the same seed gives the same inputs",
    )
    add("--json", action="store_true", help="print the outputs' names, shapes and statistics as JSON")
    return parser


def _body(arguments: argparse.Namespace) -> int:
    model = neomlir.load(arguments.program, threads=arguments.threads)
    inputs = _inputs(arguments, model)
    start = time.perf_counter()
    outputs = model.run(inputs)
    elapsed = time.perf_counter() - start
    files = _save(outputs, Path(arguments.output)) if arguments.output else {}
    rows = [_statistics(name, array, files.get(name)) for name, array in outputs.items()]
    if arguments.json:
        console.print_json({"seconds": elapsed, "threads": arguments.threads, "outputs": rows})
        return 0
    columns = ("output ", "dtype ", "shape ", "least", "mean", "largest", "file ")
    console.print_table(f"One run: {console.seconds(elapsed)}", columns, [_cells(row) for row in rows])
    return 0


def _inputs(arguments, model) -> dict[str, np.ndarray]:
    known = {spec.name for spec in model.inputs}
    arrays, sizes = {}, {}
    for name, value in arguments.input:
        if name not in known:
            raise ModelError(f"the model has no input {name!r}; its inputs are {', '.join(sorted(known)) or 'none'}")
        if value == "random":
            continue
        if value.startswith("random:"):
            sizes[name] = _extents(name, value.removeprefix("random:"))
        else:
            arrays[name] = _read(next(spec for spec in model.inputs if spec.name == name), value)
    # A file settles nothing about the other inputs' dynamic dimensions; the sampler only has to fit the model.
    drawn = Sampler([spec for spec in model.inputs if spec.name not in arrays], sizes=sizes, seed=arguments.seed).draw()
    return {spec.name: arrays[spec.name] if spec.name in arrays else drawn[spec.name] for spec in model.inputs}


def _extents(name: str, text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(x\d+)*", text, re.ASCII):
        raise ModelError(f"input {name!r}: {text!r} is not a shape such as 1x128")
    return tuple(int(part) for part in text.split("x"))


def _read(spec: Spec, path: str) -> np.ndarray:
    try:
        # Mapped: a header that claims more than the file has is found out before memory is asked for.
        array = np.load(path, mmap_mode="r" if os.path.getsize(path) else None, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:
        raise ModelError(f"input {spec.name!r}: {path} is not a .npy file that can be read: {error}") from error
    if not isinstance(array, np.ndarray):
        raise ModelError(f"input {spec.name!r}: {path} is an archive; a single array in a .npy file is needed")
    wanted = numpy_dtype(spec.dtype)
    # The format has no name for bfloat16 and 8-bit floats: they are bytes of that width.
    is_raw = array.dtype.kind == "V" and array.dtype.names is None and array.dtype.itemsize == wanted.itemsize
    return array.view(wanted) if is_raw else array


def _save(outputs: dict[str, np.ndarray], folder: Path) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    for index, (name, array) in enumerate(outputs.items()):
        # Names come from the model: none may lead out of the folder, and two must not meet in one file.
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or f"output_{index}"
        path = folder / f"{stem}.npy"
        if str(path) in files.values():
            path = folder / f"{stem}_{index}.npy"
        np.save(path, array, allow_pickle=False)
        files[name] = str(path)
    return files


def _statistics(name: str, array: np.ndarray, file: str | None) -> dict:
    row = {"name": name, "dtype": str(array.dtype), "shape": list(array.shape), "file": file}
    if array.size:
        wide = array.astype(np.float64)
        row |= {"min": float(wide.min()), "mean": float(wide.mean()), "max": float(wide.max())}
    return row


def _cells(row: dict) -> tuple:
    numbers = (f"{row[key]:.6g}" if key in row else "" for key in ("min", "mean", "max"))
    return row["name"], row["dtype"], "x".join(map(str, row["shape"])) or "scalar", *numbers, row["file"] or ""


if __name__ == "__main__":
    raise SystemExit(main())
