"""The `.neo` file: one compiled model. Written in one piece, read with suspicion (docs/neo-file.md)."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import platform
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from neomlir import files, zip_layout
from neomlir.errors import ArtifactError
from neomlir.manifest import CODE, MANIFEST, MANIFEST_LIMIT, WEIGHTS, Spec, code_part, dump, parse
from neomlir.manifest import build as manifest
from neomlir.zip_layout import ALIGNMENT, Entry, refused

__all__ = ["Artifact", "Spec", "check_machine", "manifest", "read", "write"]

_DIGEST = b"neo sha256:"
_COMMENT_BYTES = len(_DIGEST) + 64
_SHORTEST = zip_layout.END_BYTES + _COMMENT_BYTES
_STEP = 1 << 24
_ZIP64_FROM = 1 << 30


# Writing.


def write(
    path: str | os.PathLike,
    manifest: Mapping[str, Any],
    code: bytes,
    weights: Iterable[tuple[int, np.ndarray]],
    weight_bytes: int,
    ir_parts: Mapping[str, str] | None = None,
    variants: Mapping[str, bytes] | None = None,
) -> None:
    """Write a `.neo` file at `path`, whole or not at all; the same bytes for the same arguments.

    Args:
        path: where it goes; what stands there is replaced at the end.
        manifest: from `manifest`; it is completed with `weight_bytes` and the parts.
        code: the shared library.
        weights: (offset in bytes, array) each, without overlaps; between them stand zeros. Written one after another,
            so that at most one is copied at a time.
        weight_bytes: the size of all.
        ir_parts: texts of levels by file name (`kernels.mlir`).
        variants: other code, for the variants in the manifest, by their name.

    Raises:
        ArtifactError: the path cannot be written, arrays overlap or do not fit, the manifest breaks its schema.
    """
    parts: dict[str, dict[str, Any]] = {}
    whole = {**manifest, "weight_bytes": weight_bytes, "parts": parts}
    with _replacing(Path(path)) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            codes = {CODE: code, **{code_part(name): data for name, data in (variants or {}).items()}}
            for name, data in codes.items():
                parts[name] = _add(archive, name, len(data), iter([memoryview(data)]))
            parts[WEIGHTS] = _add(archive, WEIGHTS, weight_bytes, _stream(weights, weight_bytes))
            for name, text in sorted((ir_parts or {}).items()):
                data = text.encode()
                parts[f"ir/{name}"] = _add(archive, f"ir/{name}", len(data), iter([memoryview(data)]))
            data = dump(whole)
            _add(archive, MANIFEST, len(data), iter([memoryview(data)]))
            archive.comment = _DIGEST + b"0" * 64
        sign(file)


def sign(file: BinaryIO) -> None:
    """Replace the digits at the end of a `.neo` file by the digest of everything before the comment."""
    left = file.seek(0, os.SEEK_END) - _COMMENT_BYTES
    file.seek(0)
    digest = hashlib.sha256()
    while left:
        data = file.read(min(left, _STEP))
        digest.update(data)
        left -= len(data)
    file.seek(-_COMMENT_BYTES, os.SEEK_END)
    file.write(_DIGEST + digest.hexdigest().encode())


def _add(archive: zipfile.ZipFile, name: str, size: int, data: Iterator[memoryview]) -> dict[str, Any]:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, 0o100644 << 16
    info.file_size = size
    zip64 = size > _ZIP64_FROM
    info.extra = zip_layout.padding(archive.fp.tell(), name, zip64)
    digest = hashlib.sha256()
    with archive.open(info, "w", force_zip64=zip64) as out:
        for piece in data:
            digest.update(piece)
            out.write(piece)
    return {"size": size, "sha256": digest.hexdigest()}


def _stream(weights: Iterable[tuple[int, np.ndarray]], total: int) -> Iterator[memoryview]:
    at = 0
    for offset, array in sorted(weights, key=lambda pair: pair[0]):
        if offset < at or offset + array.nbytes > total:
            raise ArtifactError(
                f"weights overlap or do not fit: {array.nbytes} bytes at {offset}, the last ended at {at}, "
                f"there are {total}; this is a mistake of the memory plan"
            )
        yield from _zeros(offset - at)
        flat = memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        for start in range(0, len(flat), _STEP):
            yield flat[start : start + _STEP]
        at = offset + array.nbytes
    yield from _zeros(total - at)


def _zeros(count: int) -> Iterator[memoryview]:
    while count:
        step = min(count, _STEP)
        yield memoryview(bytes(step))
        count -= step


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    try:
        with files.replacing(path) as file:
            yield file
    except OSError as error:
        raise ArtifactError(f"{path} cannot be written: {error.strerror or error}") from error


# Reading.


@dataclass
class Artifact:
    """A file that passed every check: nothing in it was loaded or run."""

    source: str
    """What messages call it."""
    manifest: dict[str, Any]
    data: mmap.mmap
    parts: dict[str, Entry]
    """Where the data of each part lies."""

    @property
    def inputs(self) -> tuple[Spec, ...]:
        """In the order of the call."""
        return _specs(self.manifest["inputs"])

    @property
    def outputs(self) -> tuple[Spec, ...]:
        """In the order of the call."""
        return _specs(self.manifest["outputs"])

    def part(self, name: str) -> memoryview:
        """The bytes of a part, not copied; those of the weights are 64-byte aligned."""
        start, size, _ = self.parts[name]
        return memoryview(self.data)[start : start + size]

    def code(self) -> bytes:
        """A copy of the code, checked once more: what is loaded is what was checked. Raises ArtifactError."""
        code = bytes(self.part(CODE))
        if hashlib.sha256(code).hexdigest() != self.manifest["parts"][CODE]["sha256"]:
            raise ArtifactError(f"{self.source} was overwritten while it was open; replace files by renaming")
        return code

    def save(self, path: str | os.PathLike) -> None:
        """Write the same file. Raises ArtifactError."""
        with (
            _replacing(files.as_path(path, "the place of a saved model", ArtifactError)) as file,
            memoryview(self.data) as view,
        ):
            for start in range(0, len(view), _STEP):
                file.write(view[start : start + _STEP])


def _specs(entries: list[dict]) -> tuple[Spec, ...]:
    return tuple(Spec(e["name"], e["dtype"], tuple(e["shape"])) for e in entries)


def read(source: str | os.PathLike | bytes | bytearray | memoryview) -> Artifact:
    """The `.neo` file at a path, or in memory, after every check but `check_machine`.

    A path's file is mapped, not copied: it may be unlinked or replaced by renaming at once, but must not be overwritten
    in place. Raises ArtifactError that says what is wrong and where.
    """
    in_memory = isinstance(source, bytes | bytearray | memoryview)
    if not in_memory:
        source = files.as_path(source, "a .neo file, unless given as bytes,", ArtifactError)
    name = "the .neo bytes" if in_memory else str(source)
    try:
        data = _from_bytes(source) if in_memory else _map(source)
        try:
            return Artifact(name, *_checked(data))
        except BaseException:
            # Frames of the traceback may still look into it; then it goes with them.
            with contextlib.suppress(BufferError):
                data.close()
            raise
    except ArtifactError as error:
        raise ArtifactError(f"{name}: {error}") from error.__cause__


def _map(path: Path) -> mmap.mmap:
    try:
        # O_NONBLOCK: opening a named pipe must not wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb"):
            if not path.is_file():
                raise ArtifactError("is no regular file")
            size = os.fstat(descriptor).st_size
            if size <= _SHORTEST:
                raise refused(f"it has only {size} bytes")
            return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _from_bytes(source: bytes | bytearray | memoryview) -> mmap.mmap:
    size = memoryview(source).nbytes
    if size <= _SHORTEST:
        raise refused(f"it has only {size} bytes")
    data = mmap.mmap(-1, size)
    data.write(source)
    return data


def _checked(data: mmap.mmap) -> tuple[dict[str, Any], mmap.mmap, dict[str, Entry]]:
    with memoryview(data) as view:
        comment = bytes(view[-_COMMENT_BYTES:])
        if not comment.startswith(_DIGEST):
            raise refused("its end is not that of a .neo file, it is truncated or of another kind")
        changed: list[ArtifactError] = []
        whole = threading.Thread(target=_check_whole, args=(view, comment, changed))
        whole.start()
        try:
            found = zip_layout.entries(view, comment)
            manifest = _check_parts(view, found)
        except ArtifactError as error:
            whole.join()
            # Changed bytes are the cause of whatever else was found.
            raise changed[0] if changed else error from None
        finally:
            whole.join()
        if changed:
            raise changed[0]
    return manifest, data, found


def _check_whole(view: memoryview, comment: bytes, changed: list[ArtifactError]) -> None:
    digest = hashlib.sha256(view[:-_COMMENT_BYTES]).hexdigest().encode()
    if comment != _DIGEST + digest:
        changed.append(refused("its bytes are not those that were written"))


def _check_parts(view: memoryview, found: dict[str, Entry]) -> dict[str, Any]:
    """The manifest, after a check that the entries are the parts it tells of."""
    entry = found.get(MANIFEST)
    if entry is None or entry.size > MANIFEST_LIMIT:
        raise refused("it has no manifest.json" if entry is None else f"its manifest.json has {entry.size} bytes")
    manifest = parse(bytes(view[entry.start : entry.start + entry.size]))
    parts = manifest["parts"]
    odd = sorted(set(found) ^ {*parts, MANIFEST})
    if odd:
        raise refused(f"its entries are not the parts of the manifest: {', '.join(odd[:5])!s:.200}")
    for part, entry in found.items():
        piece = view[entry.start : entry.start + entry.size]
        if part == MANIFEST:
            zip_layout.check_crc(piece, entry, part)
            continue
        if entry.size != parts[part]["size"]:
            raise refused(f"{part} has {entry.size} bytes, not {parts[part]['size']}")
        if hashlib.sha256(piece).hexdigest() != parts[part]["sha256"]:
            raise refused(f"the sha-256 of {part} is not that of the manifest")
    if found[WEIGHTS].start % ALIGNMENT:
        raise refused(f"weights.bin starts at byte {found[WEIGHTS].start}, no multiple of {ALIGNMENT}")
    for name in (CODE, *(code_part(variant["name"]) for variant in manifest.get("variants", []))):
        code = found[name]
        if bytes(view[code.start : code.start + min(code.size, 4)]) != b"\x7fELF":
            raise refused(f"{name} is no ELF library")
    return manifest


def check_machine(file: Artifact) -> None:
    """Raise ArtifactError unless this machine runs the code of `file`."""
    target = file.manifest["target"]
    wanted, here = target["triple"].split("-")[0], platform.machine().lower()
    compiled = f"{file.source} is compiled for {target['name']} ({target['triple']})"
    again = "compile the model for target 'host' on this machine, or run it on that one"
    if {"arm64": "aarch64", "amd64": "x86_64"}.get(here, here) != {"arm64": "aarch64"}.get(wanted, wanted):
        raise ArtifactError(f"{compiled}, but this machine is {here}; {again}")
    if "linux" not in target["triple"] or platform.system() != "Linux":
        raise ArtifactError(f"{compiled}, but this system is {platform.system()}; {again}")
    if target["needs"]:
        from neomlir.targets import host_cpu

        cpu, features = host_cpu()
        missing = sorted(set(target["needs"]) - features)
        if missing:
            plural = "s" if len(missing) > 1 else ""
            raise ArtifactError(
                f"{compiled}, which needs feature{plural} {', '.join(missing)} that this machine ({cpu}) lacks; {again}"
            )
