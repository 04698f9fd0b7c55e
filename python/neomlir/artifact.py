"""The `.neo` file: an uncompressed ZIP of manifest, code and weights, with a digest of every byte."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import mmap
import os
import re
import struct
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neomlir import __version__
from neomlir.errors import ArtifactError
from neomlir.targets import Target

FORMAT = 1
ALIGNMENT = 64
_DIGEST = 64
_DATE = (1980, 1, 1, 0, 0, 0)
_PADDING = 0xD935
_PARTS = ("code.so", "weights.bin")
_LIMIT = 1 << 48
_DTYPES = frozenset(
    [
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
        "bfloat16",
        "float8_e4m3fn",
        "float8_e5m2",
        "float8_e4m3fnuz",
        "float8_e5m2fnuz",
    ]
)
_AGAIN = "compile the model again or copy the file anew"


def manifest(
    *, inputs: Sequence[Any], outputs: Sequence[Any], target: Target, arena_bytes: int, entry: str, report: list[dict]
) -> dict[str, Any]:
    """What a file says of itself; `inputs` and `outputs` are (name, dtype, shape), None for a dynamic extent.

    Nothing in it may vary between two compiles of the same model: `report` keeps names, schedules and counts, no times.
    """

    def specs(values: Sequence[Any]) -> list[dict]:
        return [{"name": n, "dtype": d, "shape": list(s)} for n, d, s in values]

    kept = ("name", "schedule", "calls", "flops", "bytes", "fallback", "in")
    return {
        "format": FORMAT,
        "neo": __version__,
        "inputs": specs(inputs),
        "outputs": specs(outputs),
        "target": {
            "name": target.name,
            "triple": target.triple,
            "cpu": target.cpu,
            "features": list(target.features),
            "needs": list(target.needs),
        },
        "arena_bytes": arena_bytes,
        "entry": entry,
        "kernels": [{k: kernel[k] for k in kept if k in kernel} for kernel in report],
    }


def write(
    path: str | os.PathLike,
    manifest: dict[str, Any],
    code: bytes,
    weights: Iterable[tuple[int, np.ndarray]],
    weight_bytes: int,
    ir_parts: Mapping[str, str] | None = None,
) -> None:
    """Write a `.neo` file in one step: it is there whole or not at all.

    Args:
        path: where.
        manifest: from `manifest()`; sizes and digests of the parts are added.
        code: the shared library.
        weights: (offset, array) in order of offsets, not overlapping; written one by one, never copied as a whole.
        weight_bytes: size of the weights, gaps included.
        ir_parts: texts to keep under `ir/`.

    Raises:
        ArtifactError: the file cannot be written.
    """
    path = Path(path)
    ordered = sorted(weights, key=lambda pair: pair[0])
    parts = {"code.so": {"size": len(code), "sha256": hashlib.sha256(code).hexdigest()}}
    digest = hashlib.sha256()
    for chunk in _chunks(ordered, weight_bytes):
        digest.update(chunk)
    parts["weights.bin"] = {"size": weight_bytes, "sha256": digest.hexdigest()}
    texts = {f"ir/{name}": text.encode() for name, text in sorted((ir_parts or {}).items())}
    for name, data in texts.items():
        parts[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    head = json.dumps({**manifest, "parts": parts}, indent=1, sort_keys=True, ensure_ascii=False).encode()
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                with zipfile.ZipFile(file, "w") as archive:
                    archive.comment = b"0" * _DIGEST
                    _store(archive, "manifest.json", [head], len(head))
                    _store(archive, "code.so", [code], len(code))
                    _store(archive, "weights.bin", _chunks(ordered, weight_bytes), weight_bytes)
                    for name, data in texts.items():
                        _store(archive, name, [data], len(data))
                file.flush()
                _seal(file.name)
                os.chmod(file.name, 0o644)
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise ArtifactError(f"{path} cannot be written: {error.strerror}") from error


def _chunks(weights: list[tuple[int, np.ndarray]], size: int) -> Iterable[bytes | memoryview]:
    at = 0
    for offset, array in weights:
        if offset < at:
            raise ArtifactError(f"weights overlap at offset {offset}")
        yield bytes(offset - at)
        data = np.ascontiguousarray(array)
        yield memoryview(data.reshape(-1).view(np.uint8))
        at = offset + data.nbytes
    if at > size:
        raise ArtifactError(f"the weights end at byte {at}, past their size of {size}")
    yield bytes(size - at)


def _store(archive: zipfile.ZipFile, name: str, chunks: Iterable, size: int) -> None:
    info = zipfile.ZipInfo(name, _DATE)
    info.external_attr = 0o644 << 16
    large = size >= 1 << 31
    start = archive.fp.tell() + 30 + len(name.encode()) + 4 + (20 if large else 0)
    pad = -start % ALIGNMENT
    info.extra = struct.pack("<HH", _PADDING, pad) + bytes(pad)
    with archive.open(info, "w", force_zip64=large) as out:
        for chunk in chunks:
            out.write(chunk)


def _seal(name: str) -> None:
    with open(name, "r+b") as file:
        digest = _digest_of(file, os.path.getsize(name) - _DIGEST)
        file.seek(-_DIGEST, io.SEEK_END)
        file.write(digest.encode())


def _digest_of(file: Any, size: int) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while size:
        block = file.read(min(size, 1 << 20))
        if not block:
            break
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()


@dataclass
class Artifact:
    """A file that passed every check: nothing in it was loaded or run."""

    source: str
    manifest: dict[str, Any]
    data: mmap.mmap | bytes
    parts: dict[str, tuple[int, int]]
    """Offset and size in `data` of each part."""

    def part(self, name: str) -> memoryview:
        """The bytes of a part, not copied."""
        offset, size = self.parts[name]
        return memoryview(self.data)[offset : offset + size]


def read(source: str | os.PathLike | bytes) -> Artifact:
    """Open a `.neo` file and check all of it.

    Raises ArtifactError for whatever is not exactly a file that `write` made, and for a missing file.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return _check("<bytes>", bytes(source))
    name = os.fspath(source)
    try:
        with open(name, "rb") as file:
            if not os.path.isfile(name):
                raise ArtifactError(f"{name} is not a regular file")
            if os.fstat(file.fileno()).st_size == 0:
                raise ArtifactError(f"{name} is empty; {_AGAIN}")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ArtifactError(f"{name} cannot be read: {error.strerror}") from error
    return _check(name, data)


def _check(name: str, data: mmap.mmap | bytes) -> Artifact:
    if data[:4] != b"PK\x03\x04":
        raise ArtifactError(f"{name} is not a .neo file (it does not begin as one)")
    if len(data) < _DIGEST + 22:
        raise ArtifactError(f"{name} is truncated; {_AGAIN}")
    view = memoryview(data)
    digest = hashlib.sha256(view[: len(data) - _DIGEST]).hexdigest()
    if bytes(view[len(data) - _DIGEST :]) != digest.encode():
        raise ArtifactError(f"{name} is truncated or damaged: its digest does not fit its bytes; {_AGAIN}")
    parts = _entries(name, data)
    head = parts.get("manifest.json")
    if head is None:
        raise ArtifactError(f"{name} has no manifest; it was not written by Neo")
    if head[1] > 1 << 26:
        raise ArtifactError(f"{name}: its manifest is absurdly large ({head[1]} bytes)")
    try:
        manifest = json.loads(bytes(view[head[0] : head[0] + head[1]]))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{name}: its manifest is not JSON: {error}") from None
    _check_manifest(name, manifest)
    declared = manifest["parts"]
    if set(declared) != set(parts) - {"manifest.json"}:
        raise ArtifactError(f"{name}: the manifest names other parts than the file holds")
    for part, (offset, size) in parts.items():
        if part == "manifest.json":
            continue
        if declared[part]["size"] != size:
            raise ArtifactError(f"{name}: part {part} has {size} bytes, the manifest says {declared[part]['size']}")
        if declared[part]["sha256"] != hashlib.sha256(view[offset : offset + size]).hexdigest():
            raise ArtifactError(f"{name}: part {part} is damaged; {_AGAIN}")
    if parts["weights.bin"][0] % ALIGNMENT:
        raise ArtifactError(f"{name}: its weights are not aligned to {ALIGNMENT} bytes")
    return Artifact(name, manifest, data, parts)


def _entries(name: str, data: mmap.mmap | bytes) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                known = info.filename in ("manifest.json", *_PARTS) or re.fullmatch(r"ir/[\w.-]+", info.filename)
                if not known:
                    raise ArtifactError(f"{name} holds {info.filename!r}, which no .neo file has")
                if info.filename in found:
                    raise ArtifactError(f"{name} holds {info.filename} twice")
                if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                    raise ArtifactError(f"{name}: {info.filename} is compressed; the parts of a .neo file are not")
                if info.flag_bits & 0x1:
                    raise ArtifactError(f"{name}: {info.filename} is encrypted")
                start = info.header_offset
                header = data[start : start + 30]
                if len(header) < 30 or header[:4] != b"PK\x03\x04":
                    raise ArtifactError(f"{name}: {info.filename} lies outside the file")
                names, extra = struct.unpack("<HH", header[26:30])
                offset = start + 30 + names + extra
                if offset + info.file_size > len(data) - _DIGEST:
                    raise ArtifactError(f"{name}: {info.filename} lies outside the file")
                found[info.filename] = (offset, info.file_size)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, struct.error, ValueError, NotImplementedError, OSError) as error:
        raise ArtifactError(f"{name} is not a whole .neo file: {error}") from None
    spans = sorted(found.values())
    for (a, size), (b, _) in itertools.pairwise(spans):
        if a + size > b:
            raise ArtifactError(f"{name}: parts of the file overlap")
    return found


def _check_manifest(name: str, manifest: Any) -> None:
    def need(condition: bool, what: str) -> None:
        if not condition:
            raise ArtifactError(f"{name}: its manifest is wrong: {what}")

    def number(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LIMIT

    need(isinstance(manifest, dict), "it is no object")
    if manifest.get("format") != FORMAT:
        raise ArtifactError(
            f"{name} has format {manifest.get('format')!r}, this version of Neo reads format {FORMAT}; compile it again"
        )
    for kind in ("inputs", "outputs"):
        need(isinstance(manifest.get(kind), list) and len(manifest[kind]) <= 1 << 16, f"{kind} is no list")
        for spec in manifest[kind]:
            need(isinstance(spec, dict) and isinstance(spec.get("name"), str), f"one of {kind} has no name")
            need(spec.get("dtype") in _DTYPES, f"{spec['name']!r} has the dtype {spec.get('dtype')!r}")
            shape = spec.get("shape")
            need(isinstance(shape, list) and len(shape) <= 16, f"{spec['name']!r} has no shape")
            need(all(e is None or number(e) for e in shape), f"{spec['name']!r} has the shape {shape}")
            size = 16
            for extent in shape:
                size *= max(1, extent or 1)
            need(size < _LIMIT, f"{spec['name']!r} has the absurd shape {shape}")
        names = [spec["name"] for spec in manifest[kind]]
        need(len(set(names)) == len(names), f"two of {kind} have one name")
    target = manifest.get("target")
    need(
        isinstance(target, dict) and all(isinstance(target.get(k), str) for k in ("name", "triple", "cpu")), "no target"
    )
    need(
        all(
            isinstance(target.get(k), list) and all(isinstance(f, str) for f in target[k])
            for k in ("features", "needs")
        ),
        "the target's features are no list",
    )
    need(number(manifest.get("arena_bytes")), f"the arena has {manifest.get('arena_bytes')!r} bytes")
    need(bool(re.fullmatch(r"neo_\w{1,64}", str(manifest.get("entry")))), f"the entry is {manifest.get('entry')!r}")
    need(isinstance(manifest.get("kernels"), list), "kernels is no list")
    parts = manifest.get("parts")
    need(isinstance(parts, dict) and set(_PARTS) <= set(parts), "it does not name the parts")
    for part, facts in parts.items():
        need(isinstance(facts, dict) and number(facts.get("size")), f"part {part} has no size")
        need(isinstance(facts.get("sha256"), str), f"part {part} has no digest")
