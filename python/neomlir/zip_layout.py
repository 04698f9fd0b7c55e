"""A strict reading of uncompressed ZIP files: every byte is accounted for, or the file is refused."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import NamedTuple

from neomlir.errors import ArtifactError

_LOCAL = struct.Struct("<4s5H3I2H")
_END = struct.Struct("<4s4H2IH")
_MASKED = 0xFFFFFFFF
ALIGNMENT = 64
PAD_TAG = 0x4E45
"""The identifier ("EN") of the extra field whose only content is the padding before aligned data."""
_ZIP64_TAG = 1
_ZIP64_END_BYTES = 56 + 20
END_BYTES = _END.size


class Entry(NamedTuple):
    """Where the data of one entry lies, in bytes from the start of the file."""

    start: int
    size: int
    crc: int


def refused(what: str) -> ArtifactError:
    """The error of a file that is not as it was written."""
    return ArtifactError(f"the .neo file is damaged or not one: {what}; copy it again or compile the model again")


def entries(view: memoryview, comment: bytes) -> dict[str, Entry]:
    """The entries of the file in `view`, by name in their order, whose comment must be `comment`.

    Raises ArtifactError unless the entries follow each other from the first byte to the central directory without
    gaps or overlaps, stored as they are, each named once and described alike in both its headers.
    """
    try:
        with zipfile.ZipFile(_Reader(view)) as archive:
            infos, directory, found = archive.infolist(), archive.start_dir, archive.comment
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, OSError) as error:
        raise refused(f"it is no ZIP file ({error})") from error
    if found != comment:
        raise refused("its end record is not where its length says")
    result: dict[str, Entry] = {}
    end = 0
    for info in infos:
        if info.filename in result:
            raise refused(f"it has two entries {info.filename!r:.80}")
        if info.header_offset != end:
            raise refused(f"entry {info.filename!r:.80} starts at byte {info.header_offset}, not at {end}")
        entry = _local(view, info, directory)
        result[info.filename], end = entry, entry.start + entry.size
    if end != directory:
        raise refused(f"its entries end at byte {end}, its directory starts at {directory}")
    _check_end(view, directory, len(infos), len(comment))
    return result


class _Reader(io.RawIOBase):
    """Bytes in memory as a file, without a copy."""

    def __init__(self, view: memoryview) -> None:
        self.view, self.at = view, 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        position = offset + (0, self.at, len(self.view))[whence]
        if position < 0:
            raise OSError("a position before the start of the file")
        self.at = position
        return position

    def tell(self) -> int:
        return self.at

    def read(self, size: int = -1) -> bytes:
        end = len(self.view) if size < 0 else min(len(self.view), self.at + size)
        result = bytes(self.view[self.at : end]) if self.at < end else b""
        self.at += len(result)
        return result


def _local(view: memoryview, info: zipfile.ZipInfo, limit: int) -> Entry:
    name = f"entry {info.filename!r:.80}"
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise refused(f"{name} is compressed")
    # An entry without a name makes is_dir of Python 3.11 fail.
    if info.flag_bits & ~0x800 or not info.filename or info.is_dir():
        raise refused(f"{name} is no plain file")
    if info.header_offset + _LOCAL.size > limit:
        raise refused(f"{name} starts behind the end of the data")
    header = _LOCAL.unpack_from(view, info.header_offset)
    signature, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = header
    start = info.header_offset + _LOCAL.size
    if start + name_bytes + extra_bytes + info.file_size > limit:
        raise refused(f"{name} claims {info.file_size} bytes, more than the file has")
    try:
        local_name = bytes(view[start : start + name_bytes]).decode("utf-8" if flags & 0x800 else "cp437")
    except UnicodeDecodeError as error:
        raise refused(f"{name} has another name in its own header") from error
    extra = bytes(view[start + name_bytes : start + name_bytes + extra_bytes])
    if packed == _MASKED or size == _MASKED:
        size, packed = _wide_sizes(extra, name)
    told = (signature, flags, method, crc, packed, size, local_name)
    if told != (b"PK\3\4", info.flag_bits, 0, info.CRC, info.file_size, info.file_size, info.filename):
        raise refused(f"{name} is described in two ways")
    return Entry(start + name_bytes + extra_bytes, info.file_size, info.CRC)


def _wide_sizes(extra: bytes, name: str) -> tuple[int, int]:
    """The sizes in the ZIP64 field."""
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, at)
        if tag == _ZIP64_TAG and length >= 16 and at + 20 <= len(extra):
            return struct.unpack_from("<2Q", extra, at + 4)
        at += 4 + length
    raise refused(f"{name} has no sizes")


def _check_end(view: memoryview, directory: int, count: int, comment_bytes: int) -> None:
    """What stands behind the directory is its end record and nothing else; ZIP64's appears only where it must."""
    at = len(view) - END_BYTES - comment_bytes
    signature, disk, first_disk, here, total, size, offset, length = _END.unpack_from(view, at)
    tail = at - (_ZIP64_END_BYTES if directory > zipfile.ZIP64_LIMIT else 0)
    good = signature == b"PK\5\6" and disk == first_disk == 0 and length == comment_bytes and here == total == count
    if not good or directory + size != tail or offset != min(directory, _MASKED):
        raise refused("its end record does not fit its directory")


def check_crc(data: memoryview, entry: Entry, name: str) -> None:
    """Raise ArtifactError unless `data` has the checksum of its header."""
    if zlib.crc32(data) != entry.crc:
        raise refused(f"the checksum of {name} is wrong")


def padding(position: int, name: str, zip64: bool) -> bytes:
    """The extra field that makes the data of an entry, whose header starts at `position`, start at a multiple of 64."""
    fixed = position + _LOCAL.size + len(name.encode()) + (20 if zip64 else 0) + 4
    return struct.pack("<2H", PAD_TAG, -fixed % ALIGNMENT) + bytes(-fixed % ALIGNMENT)
