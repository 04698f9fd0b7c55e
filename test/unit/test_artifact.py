"""The `.neo` file: what is written comes back, and nothing else is taken for one."""

import hashlib
import io
import json
import os
import struct
import warnings
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from neomlir import artifact, zip_layout
from neomlir.artifact import Spec
from neomlir.errors import ArtifactError
from programs import baseline, write_add

COMMENT = b"neo sha256:" + b"0" * 64


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    return write_add(tmp_path_factory.mktemp("neo") / "add.neo").read_bytes()


def signed(data: bytes) -> bytes:
    """The bytes with the digest they should have: what a forger would do."""
    file = io.BytesIO(data)
    artifact.sign(file)
    return file.getvalue()


def refuses(data: bytes, match: str) -> None:
    with pytest.raises(ArtifactError, match=match):
        artifact.read(data)


def parts_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(parts: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED, pad: bool = True) -> bytes:
    """A signed file of these entries, aligned as they should be."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, data in parts:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            info.extra = zip_layout.padding(archive.fp.tell(), name, False) if pad else b""
            archive.writestr(info, data)
        archive.comment = COMMENT
    return signed(file.getvalue())


def with_manifest(data: bytes, change: Callable[[dict], object]) -> bytes:
    """The file with its manifest changed and everything else in order."""
    parts = parts_of(data)
    manifest = json.loads(parts["manifest.json"])
    change(manifest)
    return packed([*list(parts.items())[:-1], ("manifest.json", json.dumps(manifest).encode())])


def with_field(data: bytes, at: int, layout: str, value: int) -> bytes:
    """The file with a number at a byte changed, and signed again."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, at, value)
    return signed(bytes(changed))


# What is written comes back.


def test_round_trip(good):
    file = artifact.read(good)
    assert file.inputs == (Spec("x", "float32", (2, 3)),)
    assert bytes(file.part("code.so"))[:4] == b"\x7fELF"
    weights = np.frombuffer(file.part("weights.bin"), np.float32)
    assert weights.tolist() == [0, 10, 20, 30, 40, 50]
    assert weights.ctypes.data % 64 == 0
    assert file.parts["weights.bin"].start % 64 == 0


def test_repacking_helper_makes_good_files(good):
    artifact.read(packed(list(parts_of(good).items())))
    artifact.read(with_manifest(good, lambda m: None))


def test_same_bytes_each_time_and_nothing_that_varies(tmp_path):
    report = [{"name": "k", "schedule": "s", "calls": 2, "flops": None, "bytes": 8, "in": ["main"], "rung": ""}]

    def make(name: str, seconds: float) -> bytes:
        manifest = artifact.manifest(
            inputs=[],
            outputs=[],
            target=baseline(),
            arena_bytes=0,
            entry="neo_main",
            report=[{**report[0], "seconds": seconds, "cached": True}],
        )
        path = tmp_path / name
        artifact.write(path, manifest, b"\x7fELF", [(0, np.ones(3))], 128, {"kernels.mlir": "module {}"})
        return path.read_bytes()

    first = make("a.neo", 1.0)
    assert first == make("b.neo", 2.0)
    kernels = artifact.read(first).manifest["kernels"]
    assert kernels == [{"name": "k", "schedule": "s", "calls": 2, "bytes": 8, "in": ["main"]}]
    assert bytes(artifact.read(first).part("ir/kernels.mlir")) == b"module {}"


def test_gaps_between_weights_are_zeros(tmp_path):
    path = tmp_path / "w.neo"
    manifest = artifact.manifest(inputs=[], outputs=[], target=baseline(), arena_bytes=0)
    late, early = np.arange(6, dtype=np.uint8).reshape(2, 3).T, np.full(2, 7, np.uint8)
    artifact.write(path, manifest, b"\x7fELF", [(64, late), (0, early)], 80)
    expected = np.zeros(80, np.uint8)
    expected[:2], expected[64:70] = 7, late.reshape(-1)
    assert np.array_equal(np.frombuffer(artifact.read(path).part("weights.bin"), np.uint8), expected)


@pytest.mark.parametrize("weights", [[(0, np.ones(8)), (32, np.ones(8))], [(64, np.ones(9))]], ids=["overlap", "past"])
def test_bad_weights_leave_no_file(tmp_path, weights):
    manifest = artifact.manifest(inputs=[], outputs=[], target=baseline(), arena_bytes=0)
    with pytest.raises(ArtifactError, match="overlap or do not fit"):
        artifact.write(tmp_path / "w.neo", manifest, b"\x7fELF", weights, 128)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_write_keeps_the_file_that_was_there(tmp_path, good):
    path = tmp_path / "m.neo"
    path.write_bytes(good)
    manifest = artifact.manifest(inputs=[Spec("x", "float33", ())], outputs=[], target=baseline(), arena_bytes=0)
    with pytest.raises(ArtifactError, match="float33"):
        artifact.write(path, manifest, b"\x7fELF", [], 0)
    assert path.read_bytes() == good
    assert [p.name for p in tmp_path.iterdir()] == ["m.neo"]


def test_unwritable_places_are_named(tmp_path, good):
    with pytest.raises(ArtifactError, match="nowhere"):
        artifact.read(good).save(tmp_path / "nowhere" / "m.neo")
    with pytest.raises(ArtifactError, match="cannot be written"):
        artifact.read(good).save(tmp_path)


# Places that are no files.


def test_unreadable_places_are_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    for name, match in [
        ("none", "No such file"),
        (".", "regular|directory"),
        ("pipe", "regular"),
        ("empty", "0 bytes"),
    ]:
        with pytest.raises(ArtifactError, match=match):
            artifact.read(tmp_path / name)


# Damage.


def test_a_flipped_bit_anywhere_is_found(good):
    generator = np.random.default_rng(1)
    anywhere = generator.integers(0, len(good), 150)
    for at in {*range(0, 40), *range(len(good) - 110, len(good)), *anywhere.tolist()}:
        changed = bytearray(good)
        changed[at] ^= 1 << int(generator.integers(8))
        with pytest.raises(ArtifactError):
            artifact.read(bytes(changed))


@pytest.mark.parametrize("part", ["code.so", "weights.bin", "manifest.json"])
def test_a_flipped_bit_in_a_part_is_found_though_signed(good, part):
    start, size, _ = artifact.read(good).parts[part]
    changed = bytearray(good)
    changed[start + size // 2] ^= 1
    refuses(bytes(changed), "not those that were written")
    refuses(signed(bytes(changed)), "checksum|sha-256|manifest")


@pytest.mark.parametrize("part", ["code.so", "weights.bin"])
def test_a_changed_part_with_right_checksums_is_found_by_its_hash(good, part):
    parts = parts_of(good)
    parts[part] = parts[part][:-1] + b"!"
    refuses(packed(list(parts.items())), f"sha-256 of {part}")


@pytest.mark.parametrize("keep", [0, 1, 50, 97, 0.3, 0.9, -1])
def test_truncated_files(good, keep):
    size = int(len(good) * keep) if isinstance(keep, float) else keep % len(good)
    refuses(good[:size], "damaged|has only|truncated")


def test_bytes_before_behind_and_between(good):
    refuses(signed(b"MZ" + good), "starts at byte|ends? at")
    refuses(good + b"\0", "truncated|of another kind")
    directory = good.index(b"PK\1\2")
    refuses(signed(good[:directory] + b"\0" * 64 + good[directory:]), "no ZIP|starts at byte|entries end")
    end = good.index(b"PK\5\6")
    refuses(signed(good[:end] + b"\0" * 8 + good[end:]), "starts at byte|end record|no ZIP")


def test_another_kind_of_file():
    refuses(b"\x89PNG" + b"\0" * 1000, "of another kind")
    refuses(b"\0" * 1000 + COMMENT, "not those that were written")
    refuses(signed(b"\0" * 1000 + COMMENT), "no ZIP")


# Lies, signed: the digest of the file is right.


def local(data: bytes, part: str) -> int:
    return data.index(part.encode()) - 30


def central(data: bytes, part: str) -> int:
    return data.rindex(part.encode()) - 46


@pytest.mark.parametrize("part", ["code.so", "weights.bin", "manifest.json"])
@pytest.mark.parametrize("size", [0, 5, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF])
def test_lying_sizes(good, part, size):
    for at in (local(good, part) + 18, local(good, part) + 22, central(good, part) + 20, central(good, part) + 24):
        refuses(with_field(good, at, "<I", size), "damaged")
    both = with_field(with_field(good, central(good, part) + 20, "<I", size), central(good, part) + 24, "<I", size)
    refuses(both, "damaged")
    for at in (18, 22):
        both = with_field(both, local(good, part) + at, "<I", size)
    refuses(both, "damaged")


@pytest.mark.parametrize("offset", [1, 64, 0x7FFFFFFF, 0xFFFFFFFF])
def test_lying_offsets(good, offset):
    refuses(with_field(good, central(good, "weights.bin") + 42, "<I", offset), "damaged")
    refuses(with_field(good, good.index(b"PK\5\6") + 16, "<I", offset), "damaged")


def test_lying_headers(good):
    at = local(good, "code.so")
    refuses(with_field(good, at + 6, "<H", 1), "two ways")
    refuses(with_field(good, at + 8, "<H", 8), "two ways")
    refuses(with_field(good, at + 14, "<I", 1), "two ways")
    refuses(with_field(good, at + 26, "<H", 6), "two ways")
    refuses(with_field(good, at + 28, "<H", 0xFFFF), "more than the file has")
    refuses(with_field(good, at + 28, "<H", 3), "starts at byte")
    refuses(with_field(good, central(good, "code.so") + 8, "<H", 1), "no plain file")
    for field in (4, 6, 8, 10, 12):
        refuses(with_field(good, good.index(b"PK\5\6") + field, "<H", 1000), "damaged")


def test_duplicate_entries(good):
    parts = list(parts_of(good).items())
    refuses(packed([parts[0], *parts]), "two entries 'code.so'")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_entries(good, method):
    refuses(packed(list(parts_of(good).items()), method), "compressed|no plain file")


def test_a_bomb_is_not_inflated(good):
    parts = parts_of(good)
    parts["weights.bin"] = bytes(1 << 24)
    refuses(packed(list(parts.items()), zipfile.ZIP_DEFLATED), "compressed")


@pytest.mark.parametrize(
    "name", ["", "../evil", "/etc/passwd", "extra", "ir/../../x.mlir", "ir/x.py", "code.so/", "Code.so"]
)
def test_entries_that_no_neo_file_has(good, name):
    refuses(packed([*parts_of(good).items(), (name, b"x")]), "not the parts|no plain file")
    entry = {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    refuses(with_manifest(good, lambda m: m["parts"].update({name: entry})), "no part of a .neo file")


@pytest.mark.parametrize("part", ["code.so", "weights.bin", "manifest.json"])
def test_missing_entries(good, part):
    parts = parts_of(good)
    del parts[part]
    refuses(packed(list(parts.items())), "not the parts|no manifest")


def test_unaligned_weights(good):
    refuses(packed(list(parts_of(good).items()), pad=False), "no multiple of 64")


def test_code_of_another_kind(good):
    parts, code = parts_of(good), b"MZ\x90\0"
    manifest = json.loads(parts["manifest.json"])
    manifest["parts"]["code.so"] = {"size": 4, "sha256": hashlib.sha256(code).hexdigest()}
    parts |= {"code.so": code, "manifest.json": json.dumps(manifest).encode()}
    refuses(packed(list(parts.items())), "no ELF")


def test_manifest_that_is_no_json(good):
    for text in (
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format": 1, "format": 1}',
        b'{"format": NaN}',
        b"[]",
        b"7",
    ):
        refuses(packed([*list(parts_of(good).items())[:-1], ("manifest.json", text)]), "manifest.json")


def set_input(field: str, value: object) -> Callable[[dict], object]:
    return lambda m: m["inputs"][0].update({field: value})


def with_buffer(*buffer: int):
    """A program of two steps whose arena of 64 bytes holds that buffer."""
    return lambda m: m.update(arena_bytes=64, kernels=[{}], steps=[0, 0], buffers=[list(buffer)])


def test_steps_and_buffers_that_keep_the_schema(good):
    assert artifact.read(with_manifest(good, with_buffer(0, 64, 0, 1))).manifest["buffers"] == [[0, 64, 0, 1]]


LIES = {
    "a newer format": (lambda m: m.update(format=2, neo="9.9", other=1), "has format 2.*9.9"),
    "format true": (lambda m: m.update(format=True), "format"),
    "no format": (lambda m: m.pop("format"), "has no field 'format'"),
    "an unknown field": (lambda m: m.update(run="x"), "does not know"),
    "a huge arena": (lambda m: m.update(arena_bytes=1 << 60), "arena_bytes"),
    "a negative arena": (lambda m: m.update(arena_bytes=-1), "arena_bytes"),
    "an arena of 1.5": (lambda m: m.update(arena_bytes=1.5), "arena_bytes"),
    "other weight bytes": (lambda m: m.update(weight_bytes=1 << 30), "weight_bytes"),
    "an entry with a path": (lambda m: m.update(entry="../x"), "entry"),
    "a size as text": (lambda m: m["parts"]["code.so"].update(size="4"), "size"),
    "a short hash": (lambda m: m["parts"]["code.so"].update(sha256="ab"), "sha256"),
    "another hash": (lambda m: m["parts"]["weights.bin"].update(sha256="0" * 64), "sha-256 of weights.bin"),
    "another size": (lambda m: m["parts"]["code.so"].update(size=1), "code.so has"),
    "a negative extent": (set_input("shape", [-1, 3]), "shape"),
    "a huge extent": (set_input("shape", [1 << 50]), "shape"),
    "a huge product": (set_input("shape", [1 << 20, 1 << 20, 1 << 20]), "shape in bytes"),
    "a huge rank": (set_input("shape", [1] * 1000), "dimensions"),
    "a true extent": (set_input("shape", [True, 3]), "shape"),
    "a shape as text": (set_input("shape", "2x3"), "shape"),
    "an unknown dtype": (set_input("dtype", "object"), "dtype"),
    "a dtype as list": (set_input("dtype", ["f4"]), "dtype"),
    "an empty name": (set_input("name", ""), "name"),
    "a name that rings": (set_input("name", "x\a"), "name"),
    "two inputs of a name": (lambda m: m["inputs"].append(m["inputs"][0]), "two entries of one name"),
    "inputs that are none": (lambda m: m.update(inputs={}), "inputs"),
    "an input that is none": (lambda m: m.update(inputs=[3]), "inputs"),
    "a kernel that is none": (lambda m: m.update(kernels=[3]), "kernels"),
    "a kernel of text calls": (lambda m: m.update(kernels=[{"calls": "2"}]), "calls"),
    "a step of no kernel": (lambda m: m.update(kernels=[{}], steps=[0, 1]), "steps"),
    "a buffer of three numbers": (lambda m: m.update(steps=[], buffers=[[0, 1, 0]]), "buffers.0. is not offset"),
    "a buffer outside the arena": (with_buffer(8, 57, 0, 0), "buffers.0."),
    "a buffer that ends before it begins": (with_buffer(0, 64, 1, 0), "buffers.0."),
    "a buffer after the last step": (with_buffer(0, 64, 0, 2), "buffers.0."),
    "a target without triple": (lambda m: m["target"].pop("triple"), "triple"),
    "needs that are numbers": (lambda m: m["target"].update(needs=[1]), "needs"),
}


@pytest.mark.parametrize("name", LIES)
def test_manifest_that_breaks_the_schema(good, name):
    change, match = LIES[name]
    refuses(with_manifest(good, change), match)


# Machines.


def test_another_machine(good):
    def for_target(**fields: object) -> artifact.Artifact:
        return artifact.read(with_manifest(good, lambda m: m["target"].update(fields)))

    artifact.check_machine(for_target())
    with pytest.raises(ArtifactError, match=r"riscv64.*this machine is .*target 'host'"):
        artifact.check_machine(for_target(triple="riscv64-unknown-linux-gnu"))
    triple = artifact.read(good).manifest["target"]["triple"]
    with pytest.raises(ArtifactError, match="system"):
        artifact.check_machine(for_target(triple=triple.split("-")[0] + "-apple-macosx11.0.0"))
    with pytest.raises(ArtifactError, match=r"compiled for .* needs feature quantum that this machine .* lacks"):
        artifact.check_machine(for_target(needs=["quantum"]))


def test_a_file_overwritten_in_place_is_not_loaded(tmp_path, good):
    path = tmp_path / "m.neo"
    path.write_bytes(good)
    file = artifact.read(path)
    with path.open("r+b") as out:
        out.seek(file.parts["code.so"].start + 100)
        out.write(b"\xcc" * 16)
    with pytest.raises(ArtifactError, match="overwritten"):
        file.code()


def test_large_entries_use_zip64(tmp_path, monkeypatch, good):
    """The same checks hold for entries past 4 GiB, whose sizes stand elsewhere."""
    monkeypatch.setattr(artifact, "_ZIP64_FROM", 0)
    path = write_add(tmp_path / "m.neo")
    file = artifact.read(path)
    assert file.parts["weights.bin"].start % 64 == 0
    data = path.read_bytes()
    assert data[local(data, "code.so") + 18 :][:8] == b"\xff" * 8
    wide = data.index(struct.pack("<2H", 1, 16))
    refuses(with_field(data, wide + 4, "<Q", 1 << 40), "two ways")
    refuses(with_field(data, wide, "<H", 2), "has no sizes")


@pytest.mark.parametrize("place", [5, None, "a\0b"])
def test_places_that_are_no_paths(tmp_path, place):
    with pytest.raises(ArtifactError, match=r"a \.neo file, unless given as bytes, is a path"):
        artifact.read(place)
    with pytest.raises(ArtifactError, match="the place of a saved model is a path"):
        artifact.read(write_add(tmp_path / "a.neo")).save(place)
