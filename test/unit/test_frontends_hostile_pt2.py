"""`.pt2` files made to run code or to break the importer: each gives an ImportFailure, and nothing is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import zipfile

import pytest

torch = pytest.importorskip("torch")

from neomlir.errors import ImportFailure  # noqa: E402
from neomlir.frontends import import_model  # noqa: E402


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(20, 4)

    def forward(self, x):
        return self.fc(x)


class Bomb:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture(scope="module")
def sound() -> bytes:
    batch = torch.export.Dim("batch")
    program = torch.export.export(Model(), (torch.randn(3, 20),), dynamic_shapes=({0: batch},))
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def records(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items() if isinstance(entries, dict) else entries:
            archive.writestr(name, content)
    return path


def ending(entries, suffix):
    return next(name for name in entries if name.endswith(suffix))


def edited(sound, tmp_path, old: str, new: str):
    """The archive with a string of the model's description replaced."""
    entries = records(sound)
    name = ending(entries, "models/model.json")
    text = entries[name].decode()
    assert old in text
    entries[name] = text.replace(old, new).encode()
    return write(tmp_path / "m.pt2", entries)


def refused(path, *words):
    with pytest.raises(ImportFailure) as caught:
        import_model(path)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_a_sound_archive_is_read(sound, tmp_path):
    path = write(tmp_path / "m.pt2", records(sound))
    assert import_model(path).inputs == [("x", "float32", (None, 20))]


@pytest.mark.parametrize("size", [0, 10, 1000, -1, -100])
def test_truncated(sound, tmp_path, size):
    (tmp_path / "m.pt2").write_bytes(sound[:size])
    refused(tmp_path / "m.pt2", "m.pt2")


@pytest.mark.parametrize("data", [b"garbage" * 100, b"PK\x03\x04" + bytes(200), pickle.dumps({"a": 1})])
def test_garbage(tmp_path, data):
    (tmp_path / "m.pt2").write_bytes(data)
    refused(tmp_path / "m.pt2", "m.pt2")


def test_a_folder(tmp_path):
    (tmp_path / "m.pt2").mkdir()
    refused(tmp_path / "m.pt2", "m.pt2")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("record", ["data/sample_inputs/model.pt", "data/weights/model.pt", "data/constants/model.pt"])
def test_pickles_that_run_code(sound, tmp_path, record, legacy):
    entries = records(sound)
    root = ending(entries, "archive_format").split("/")[0]
    file = io.BytesIO()
    torch.save({"x": Bomb(tmp_path / "exploded")}, file, _use_new_zipfile_serialization=not legacy)
    entries[f"{root}/{record}"] = file.getvalue()
    refused(write(tmp_path / "m.pt2", entries), "could run code")
    assert not (tmp_path / "exploded").exists()


def test_weights_that_ask_to_be_unpickled(sound, tmp_path):
    entries = records(sound)
    name = ending(entries, "model_weights_config.json")
    config = json.loads(entries[name])
    first = next(iter(config["config"].values()))
    first["use_pickle"] = True
    entries[name] = json.dumps(config).encode()
    entries[ending(entries, first["path_name"])] = pickle.dumps(Bomb(tmp_path / "exploded"))
    refused(write(tmp_path / "m.pt2", entries), "unpickle")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["custom_obj_0", "opaque_obj_0", "opaque/tensor_0"])
def test_python_objects(sound, tmp_path, name):
    entries = records(sound)
    root = ending(entries, "archive_format").split("/")[0]
    entries[f"{root}/data/constants/{name}"] = pickle.dumps(Bomb(tmp_path / "exploded"))
    refused(write(tmp_path / "m.pt2", entries), "Python object")
    assert not (tmp_path / "exploded").exists()


def test_compiled_code(sound, tmp_path):
    entries = records(sound)
    root = ending(entries, "archive_format").split("/")[0]
    entries[f"{root}/data/aotinductor/model/a.so"] = b"\x7fELF"
    refused(write(tmp_path / "m.pt2", entries), "compiled code")


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').mkdir('exploded')",
        "exec('import os')",
        'Add(\'__import__(\\"os\\").mkdir(\\"exploded\\")\', 1)',
        "(lambda: 1)()",
        "[x for x in ().__class__.__base__.__subclasses__()]",
        "Symbol.__class__",
        "s0 if 1 else s1",
    ],
)
def test_extents_that_run_code(sound, tmp_path, monkeypatch, expression):
    monkeypatch.chdir(tmp_path)
    entries = records(sound)
    name = ending(entries, "models/model.json")
    text = entries[name].decode()
    start = text.index('"expr_str": "') + len('"expr_str": "')
    entries[name] = (text[:start] + expression + text[text.index('"', start) :]).encode()
    refused(write(tmp_path / "m.pt2", entries))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "target",
    [
        "torch.hub.load",
        "torch.load",
        "torch.ops.aten.linear.__class__",
        "torch.ops.load_library",
        "torch.ops.mine.linear.default",
        "_operator.__builtins__.eval",
        "os.system",
        "torch.utils.cpp_extension.load",
    ],
)
def test_operators_that_are_none(sound, tmp_path, target):
    refused(edited(sound, tmp_path, "torch.ops.aten.linear.default", target))


def test_two_records_of_one_name(sound, tmp_path):
    entries = list(records(sound).items())
    name = next(name for name, _ in entries if name.endswith("models/model.json"))
    with pytest.warns(UserWarning):
        path = write(tmp_path / "m.pt2", [*entries, (name, b"{}")])
    refused(path)


def test_weights_that_lie_about_their_shape(sound, tmp_path, capfd):
    entries = records(sound)
    name = ending(entries, "model_weights_config.json")
    entries[name] = entries[name].replace(b'"as_int": 20', b'"as_int": 2000000')
    refused(write(tmp_path / "m.pt2", entries))
    # PyTorch would log a traceback.
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_bombs(sound, tmp_path, method):
    """Sixteen megabytes of zeros in a few kilobytes of file; none of it is unpacked."""
    entries = records(sound)
    weight = ending(entries, "weights/weight_0")
    with zipfile.ZipFile(tmp_path / "m.pt2", "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(name, bytes(1 << 24) if name == weight else content, method if name == weight else None)
    assert (tmp_path / "m.pt2").stat().st_size < 1 << 20
    refused(tmp_path / "m.pt2", "weight_0", "compressed")


def test_a_size_that_lies(sound, tmp_path):
    """The directory says four gigabytes where there are eighty bytes."""
    entries = records(sound)
    path = write(tmp_path / "m.pt2", entries)
    data = bytearray(path.read_bytes())
    at = data.rindex(ending(entries, "weights/weight_0").encode()) - 46
    data[at + 20 : at + 28] = b"\xf0\xff\xff\xff" * 2
    path.write_bytes(data)
    refused(path, "m.pt2")


def test_records_that_lie_upon_each_other(sound, tmp_path):
    """Many names for the same bytes: a small file that unpacks to a large one without compression."""
    entries = records(sound)
    path = write(tmp_path / "m.pt2", {**entries, "z" * 40: bytes(20000)})
    data = path.read_bytes()
    end = data.rindex(b"PK\5\6")
    entry = data[data.rindex(b"PK\1\2") : end]
    copies = b"".join(entry.replace(b"z" * 40, f"{n:040}".encode()) for n in range(5))
    counts = struct.pack("<2H", len(entries) + 6, len(entries) + 6)
    size = struct.pack("<I", struct.unpack_from("<I", data, end + 12)[0] + len(copies))
    path.write_bytes(data[:end] + copies + data[end : end + 8] + counts + size + data[end + 16 :])
    refused(path, "m.pt2")


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "tiny/../../../evil", "a\\..\\evil"])
def test_records_that_lead_out_of_the_archive(sound, tmp_path, name):
    refused(write(tmp_path / "m.pt2", {**records(sound), name: b"x"}), "leads out")
    assert [p.name for p in tmp_path.iterdir()] == ["m.pt2"]


@pytest.mark.parametrize("depth", [3000, 200_000])
def test_descriptions_without_a_bottom(sound, tmp_path, depth):
    entries = records(sound)
    entries[ending(entries, "models/model.json")] = b"[" * depth + b"]" * depth
    refused(write(tmp_path / "m.pt2", entries), "m.pt2")


@pytest.mark.parametrize("value", ["null", "[]", "7", '"x"', "{}", '{"graph_module": {"graph": {}}}', "NaN", "\udc00"])
def test_descriptions_of_nothing(sound, tmp_path, value):
    entries = records(sound)
    entries[ending(entries, "models/model.json")] = value.encode("utf-8", "surrogatepass")
    refused(write(tmp_path / "m.pt2", entries), "m.pt2")


def test_flipped_bits(sound, tmp_path):
    """Each copy is read or refused; nothing else happens."""
    generator = random.Random(5)
    path, read = tmp_path / "m.pt2", 0
    for _ in range(25):
        data = bytearray(sound)
        for _ in range(3):
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        path.write_bytes(data)
        try:
            import_model(path)
            read += 1
        except ImportFailure:
            continue
    assert read < 25


def test_no_program(sound, tmp_path):
    entries = {name: data for name, data in records(sound).items() if "models/" not in name}
    refused(write(tmp_path / "m.pt2", entries), "exported program")
