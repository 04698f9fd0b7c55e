"""The manifest of a `.neo` file: its one schema, written by `build` and enforced by `parse`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from neomlir import __version__
from neomlir.errors import ArtifactError
from neomlir.targets import Target

FORMAT = 1
"""Goes up with every change that an older reader would misread; so does every change of the ABI."""

CODE, WEIGHTS, MANIFEST = "code.so", "weights.bin", "manifest.json"
MANIFEST_LIMIT = 1 << 26
"""Bytes of the largest manifest that is read."""

_MOST_BYTES = 1 << 42
_MOST_RANK = 32
_MOST_SPECS = 1 << 16
_ML_DTYPES = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
_DTYPES = frozenset(
    f"{kind}{bits}" for kind, widths in (("float", (16, 32, 64)), ("int", (8, 16, 32, 64)), ("uint", (8, 16, 32, 64)))
    for bits in widths
) | {"bool", *_ML_DTYPES, "complex64", "complex128"}  # fmt: skip
_KERNEL = {
    "name": str, "schedule": str, "rung": str, "calls": int, "flops": int, "bytes": int, "in": list, "fallback": str,
    "parameters": dict, "tuned": bool,
}  # fmt: skip
_VARIANT = re.compile(r"code-([A-Za-z0-9._-]{1,100})\.so")
_PART = re.compile(r"ir/[A-Za-z0-9._-]{1,100}\.mlir")


class Spec(NamedTuple):
    """An input or an output of a compiled model."""

    name: str
    dtype: str
    """The name of a numpy dtype, or of one of `ml_dtypes` such as `bfloat16`."""
    shape: tuple[int | None, ...]
    """None where the extent is known at run time only."""


def code_part(variant: str) -> str:
    """The part that holds the code for a variant, by the name of its target."""
    return f"code-{variant}.so"


def dtype_of(name: str) -> np.dtype:
    """The dtype of that name, those of `ml_dtypes` included."""
    if name in _ML_DTYPES:
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype(name)


def build(
    *,
    inputs: Iterable[Any],
    outputs: Iterable[Any],
    target: Target,
    arena_bytes: int,
    entry: str = "neo_main",
    report: Iterable[Mapping[str, Any]] = (),
    steps: Iterable[int] = (),
    buffers: Iterable[Iterable[int]] = (),
    pipelines: Mapping[str, str] | None = None,
    labels: Mapping[str, Iterable[str]] | None = None,
    precision: str = "fp32",
) -> dict[str, Any]:
    """The manifest of a program, without its parts.

    Args:
        inputs, outputs: each with `name`, `dtype`, `shape`, as a `Spec`.
        target: the machine; its variants are told too.
        arena_bytes: bytes of scratch memory of a run.
        entry: the symbol of the program's function.
        report: a mapping a kernel; what differs from run to run (seconds, cache hits) is left out.
        steps: the kernels of a run in order, each by its place in `report`.
        buffers: (offset, bytes, first step, last step) of each intermediate in the arena.
        precision: what the factors of contractions are rounded to; told where it is not fp32.
        pipelines: what led each kernel to a level, by the level's name; for a file that holds IR.
        labels: what the numbers of an output stand for, by the output's name.
    """
    kernels = [
        {key: kind(kernel[key]) for key, kind in _KERNEL.items() if _says_something(kernel.get(key))}
        for kernel in report
    ]
    return {
        "format": FORMAT,
        "neo": __version__,
        "inputs": [_spec(s) for s in inputs],
        "outputs": [_spec(s) for s in outputs],
        "target": _target(target),
        "arena_bytes": int(arena_bytes),
        "entry": entry,
        **({"variants": [_target(Target.named(name)) for name in target.variants]} if target.variants else {}),
        "kernels": kernels,
        "steps": list(steps),
        "buffers": [list(buffer) for buffer in buffers],
        **({"pipelines": dict(pipelines)} if pipelines else {}),
        **({"labels": {name: list(texts) for name, texts in labels.items()}} if labels else {}),
        **({"precision": precision} if precision != "fp32" else {}),
    }


def _target(target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "triple": target.triple,
        "cpu": target.cpu,
        "features": list(target.features),
        "needs": sorted(target.needs),
    }


def _says_something(value: Any) -> bool:
    return value is not None and value is not False and value != "" and value != {}


def _spec(spec: Any) -> dict[str, Any]:
    shape = [None if extent is None else int(extent) for extent in spec.shape]
    return {"name": spec.name, "dtype": str(spec.dtype), "shape": shape}


def dump(manifest: Mapping[str, Any]) -> bytes:
    """The text of a manifest: the same bytes for the same content. Raises ArtifactError where it breaks the schema."""
    check(manifest)
    return (json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def parse(data: bytes) -> dict[str, Any]:
    """The manifest in `data`, checked. Raises ArtifactError that names the field."""
    try:
        manifest = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _wrong("", f"is not JSON: {error}") from error
    # The version comes first: a newer format may have other fields.
    if isinstance(manifest, dict) and type(manifest.get("format")) is int and manifest["format"] != FORMAT:
        raise ArtifactError(
            f"the file has format {manifest['format']}, this neomlir ({__version__}) reads format {FORMAT}; "
            f"compile the model again, or use neomlir {manifest.get('neo', '?')!s:.40}"
        )
    check(manifest)
    return manifest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return result


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON value")


def _wrong(where: str, what: str) -> ArtifactError:
    return ArtifactError(f"manifest.json: {where + ' ' if where else ''}{what}; compile the model again")


def check(manifest: Any) -> None:
    """Raise ArtifactError unless `manifest` keeps the schema (docs/neo-file.md), types and ranges included."""
    top = {
        "format": int, "neo": str, "inputs": list, "outputs": list, "target": dict, "arena_bytes": int,
        "weight_bytes": int, "entry": str, "kernels": list, "parts": dict,
    }  # fmt: skip
    more = {"steps": list, "buffers": list, "pipelines": dict, "variants": list, "labels": dict, "precision": str}
    _fields(manifest, "the manifest", top, optional=more)
    if manifest["format"] != FORMAT:
        raise _wrong("format", f"is {manifest['format']}, not {FORMAT}")
    _text(manifest["neo"], "neo", 64)
    if "precision" in manifest:
        _text(manifest["precision"], "precision", 64)
    for field in ("arena_bytes", "weight_bytes"):
        _range(manifest[field], field, _MOST_BYTES)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", manifest["entry"]):
        raise _wrong("entry", f"is {manifest['entry']!r:.80}, no name of a C function")
    for side in ("inputs", "outputs"):
        _check_specs(manifest[side], side)
    _check_target(manifest["target"], "target")
    for number, variant in enumerate(manifest.get("variants", [])):
        _check_target(variant, f"variants[{number}]")
    for number, kernel in enumerate(manifest["kernels"]):
        where = f"kernels[{number}]"
        _fields(kernel, where, {}, optional=_KERNEL)
        for name in kernel.get("in", ()):
            _text(name, f"{where}.in", 1000)
        for name, value in kernel.get("parameters", {}).items():
            _text(name, f"{where}.parameters", 100)
            _range(value, f"{where}.parameters.{name}", _MOST_BYTES)
    for level, pipeline in manifest.get("pipelines", {}).items():
        _text(level, "pipelines", 100)
        _text(pipeline, f"pipelines.{level}", 1 << 16)
    _check_labels(manifest)
    _check_steps(manifest)
    _check_parts(manifest)


def _check_labels(manifest: Mapping[str, Any]) -> None:
    known = {spec["name"] for spec in manifest["outputs"]}
    for output, texts in manifest.get("labels", {}).items():
        if output not in known or type(texts) is not list or any(type(text) is not str for text in texts):
            raise _wrong("labels", f"has {output!r:.80}, which is no output with a list of texts")


def _check_steps(manifest: Mapping[str, Any]) -> None:
    steps = manifest.get("steps", [])
    for step in steps:
        _range(step, "steps", len(manifest["kernels"]) - 1)
    for number, buffer in enumerate(manifest.get("buffers", [])):
        where = f"buffers[{number}]"
        if type(buffer) is not list or len(buffer) != 4:
            raise _wrong(where, "is not offset, bytes, first step, last step")
        offset, size, first, last = buffer
        for value in (offset, size):
            _range(value, where, manifest["arena_bytes"])
        _range(offset + size, where, manifest["arena_bytes"])
        _range(last, where, len(steps) - 1)
        _range(first, where, last)


def _fields(value: Any, where: str, required: Mapping[str, type], optional: Mapping[str, type] | None = None) -> None:
    if type(value) is not dict:
        raise _wrong(where, f"is {type(value).__name__}, not an object")
    known = {**required, **(optional or {})}
    for name in required:
        if name not in value:
            raise _wrong(where, f"has no field {name!r}")
    for name, held in value.items():
        if name not in known:
            raise _wrong(where, f"has a field {name!r:.80} that format {FORMAT} does not know")
        if type(held) is not known[name]:
            raise _wrong(f"{where}.{name}", f"is {type(held).__name__}, not {known[name].__name__}")


def _text(value: Any, where: str, limit: int) -> None:
    if type(value) is not str or not 0 < len(value) <= limit or not value.isprintable():
        raise _wrong(where, f"is {value!r:.80}, not a printable text of 1 to {limit} characters")


def _range(value: Any, where: str, limit: int) -> None:
    if type(value) is not int or not 0 <= value <= limit:
        raise _wrong(where, f"is {value!r:.80}, not a number from 0 to {limit}")


def _check_specs(specs: list, side: str) -> None:
    if len(specs) > _MOST_SPECS:
        raise _wrong(side, f"has {len(specs)} entries; {_MOST_SPECS} are the most")
    for number, spec in enumerate(specs):
        where = f"{side}[{number}]"
        _fields(spec, where, {"name": str, "dtype": str, "shape": list})
        _text(spec["name"], f"{where}.name", 1000)
        if spec["dtype"] not in _DTYPES:
            raise _wrong(f"{where}.dtype", f"is {spec['dtype']!r:.80}, which this neomlir does not know")
        if len(spec["shape"]) > _MOST_RANK:
            raise _wrong(f"{where}.shape", f"has {len(spec['shape'])} dimensions; {_MOST_RANK} are the most")
        for extent in spec["shape"]:
            if extent is not None:
                _range(extent, f"{where}.shape", _MOST_BYTES)
        size = math.prod(extent for extent in spec["shape"] if extent is not None)
        _range(size * dtype_of(spec["dtype"]).itemsize, f"{where}.shape in bytes", _MOST_BYTES)
    names = [spec["name"] for spec in specs]
    if len(set(names)) != len(names):
        raise _wrong(side, "has two entries of one name")


def _check_target(target: Any, where: str) -> None:
    _fields(target, where, {"name": str, "triple": str, "cpu": str, "features": list, "needs": list})
    for field in ("name", "triple", "cpu"):
        _text(target[field], f"{where}.{field}", 200)
    for field in ("features", "needs"):
        for feature in target[field]:
            _text(feature, f"{where}.{field}", 100)


def _check_parts(manifest: Mapping[str, Any]) -> None:
    parts = manifest["parts"]
    for name, part in parts.items():
        if name not in (CODE, WEIGHTS) and not _PART.fullmatch(name) and not _VARIANT.fullmatch(name):
            raise _wrong("parts", f"has {name!r:.80}, which is no part of a .neo file")
        _fields(part, f"parts.{name}", {"size": int, "sha256": str})
        _range(part["size"], f"parts.{name}.size", _MOST_BYTES)
        if not re.fullmatch(r"[0-9a-f]{64}", part["sha256"]):
            raise _wrong(f"parts.{name}.sha256", "is not 64 hexadecimal digits")
    for name in (CODE, WEIGHTS):
        if name not in parts:
            raise _wrong("parts", f"lacks {name}")
    told = {code_part(variant["name"]) for variant in manifest.get("variants", [])}
    if told != {name for name in parts if _VARIANT.fullmatch(name)}:
        raise _wrong("variants", "are not those that there is code for")
    if parts[WEIGHTS]["size"] != manifest["weight_bytes"]:
        raise _wrong("weight_bytes", f"is {manifest['weight_bytes']}, but weights.bin has {parts[WEIGHTS]['size']}")
