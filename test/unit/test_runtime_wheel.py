"""The wheel `neomlir-runtime`: built, installed where there is nothing else, and run."""

import array
import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import neomlir
import numpy as np
import pytest
from neomlir.artifact import Spec
from neomlir.cache import cache_folder
from programs import DYNAMIC, DYNAMIC_OUTPUTS, field, item, main, write, write_add

ROOT = Path(__file__).parents[2]
MOST_BYTES = 300_000
COPY = main(
    field("inputs") + field("outputs") + item("inputs", 0, "x") + item("outputs", 0, "y")
    + "\n  %v = load i64, ptr %x, align 1\n  store i64 %v, ptr %y, align 1\n  ret i32 0"
)  # fmt: skip
"""y = x, of eight bytes."""


def build(folder: Path, target: str = "") -> Path:
    """The wheel, built from copies of what it is made of."""
    ignore = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", "exe")
    shutil.copytree(ROOT / "python" / "neomlir_runtime", folder / "python" / "neomlir_runtime", ignore=ignore)
    shutil.copytree(ROOT / "runtime", folder / "runtime", ignore=ignore)
    zig = str(cache_folder() / "zig")
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": zig, "ZIG_LOCAL_CACHE_DIR": zig}
    if target:
        environment["NEO_RUNTIME_TARGET"] = target
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", str(folder)]
    done = subprocess.run(
        [*command, str(folder / "python" / "neomlir_runtime")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory):
    """Python of an environment with nothing but the wheel."""
    place = tmp_path_factory.mktemp("clean") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    command = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--no-deps"]
    subprocess.run([*command, "--quiet", str(wheel)], check=True)
    return place / "bin" / "python"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_add(folder / "add.neo")
    write(folder / "dynamic.neo", DYNAMIC, [Spec("x", "float32", (None,))], DYNAMIC_OUTPUTS)
    for dtype, count in (("bool", 8), ("int8", 8), ("float16", 4), ("bfloat16", 4), ("int64", 1), ("complex64", 1)):
        specs = [[Spec(name, dtype, (count,))] for name in "xy"]
        write(folder / f"{dtype}.neo", COPY, *specs)
    return folder


def alone(clean, files, program: str) -> None:
    """Run a program in the clean environment, away from this checkout."""
    program = "import neomlir_runtime as nr\n" + textwrap.dedent(program)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run([clean, "-I", "-c", program], cwd=files, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_wheel_is_small_and_for_one_platform(wheel):
    assert wheel.stat().st_size < MOST_BYTES
    assert "-py3-none-" in wheel.name and "linux" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert "neomlir_runtime/libneo.so" in names and not any(name.endswith((".c", ".h")) for name in names)


def test_without_numpy(clean, files):
    alone(
        clean,
        files,
        """
        import array, ctypes, importlib.util
        assert importlib.util.find_spec("numpy") is None
        model = nr.load("add.neo", threads=2)
        assert model.spin == 0.001
        model.spin = 0.5
        assert model.spin == 0.5
        assert model.threads == 2 and model.inputs == (nr.Spec("x", "float32", (2, 3)),)
        numbers = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
        wanted = [[0.0, 11.0, 22.0], [33.0, 44.0, 55.0]]
        flat = array.array("f", [0, 1, 2, 3, 4, 5])
        for x in (numbers, flat, flat.tobytes(), bytearray(flat.tobytes()), (ctypes.c_float * 6)(*flat),
                  memoryview(flat.tobytes()).cast("f", (2, 3)), ((ctypes.c_float * 3) * 2)((0, 1, 2), (3, 4, 5))):
            y = model(x)
            assert y.shape == (2, 3) and y.format == "f" and y.tolist() == wanted, (x, y.tolist())
        assert model.run({"x": numbers})["y"].tolist() == wanted
        """,
    )


def test_dynamic_shapes_without_numpy(clean, files):
    alone(
        clean,
        files,
        """
        import array
        model = nr.load(open("dynamic.neo", "rb").read())
        for n in (1, 5, 0):
            count, y = model(array.array("f", range(n)))
            assert count.tolist() == n and count.shape == ()
            assert y.tolist() == ([[*map(float, range(n))]] * 2 if n else [])
        """,
    )


def test_every_kind_of_element_without_numpy(clean, files):
    alone(
        clean,
        files,
        """
        import array
        data = bytes([1, 0, 1, 1, 0, 0, 1, 0])
        for dtype, letter in (("bool", "?"), ("int8", "b"), ("float16", "H"), ("bfloat16", "H"), ("int64", "q"),
                              ("complex64", "Q")):
            y = nr.load(f"{dtype}.neo")(data)
            assert (y.format, y.tobytes()) == (letter, data), dtype
        assert nr.load("bool.neo")([True, False] * 4).tolist() == [True, False] * 4
        assert nr.load("int8.neo")([-128, 127, 0, 1, 2, 3, 4, 5]).tolist()[:2] == [-128, 127]
        assert nr.load("int64.neo")(array.array("q", [-(2**63)])).tolist() == [-(2**63)]
        """,
    )


def test_the_face_of_dlr(clean, files):
    alone(
        clean,
        files,
        """
        import pathlib, shutil
        pathlib.Path("folder").mkdir()
        shutil.copy("add.neo", "folder/model.neo")
        model = nr.DLRModel("folder", "cpu", 0)
        assert model.get_input_names() == ["x"] and model.get_output_names() == ["y"]
        assert model.get_input_dtypes() == model.get_output_dtypes() == ["float32"]
        assert (model.get_input_name(0), model.get_output_dtype(0)) == ("x", "float32")
        assert model.get_version() == nr.__version__ and model.has_metadata()
        assert model.get_input("x").tolist() == [[0.0] * 3] * 2
        x = [[1.0] * 3] * 2
        for values in (x, [x], {"x": x}, {}):
            (y,) = model.run(values)
            assert y.tolist() == [[1.0, 11.0, 21.0], [31.0, 41.0, 51.0]]
        assert model.get_input("x") == x
        for call, said in (
            (lambda: nr.DLRModel("add.neo", "gpu", 0), "run on device 'cpu' 0, not on 'gpu' 0"),
            (lambda: nr.DLRModel("."), "should hold one .neo file; it holds add.neo, bfloat16.neo"),
            (lambda: model.run({"z": x}), "there is no input z; the inputs are x"),
            (lambda: model.get_output_name(1), "there is no output 1"),
        ):
            try:
                call()
            except nr.DLRError as error:
                assert said in str(error), error
            else:
                raise AssertionError(said)
        """,
    )


def test_wrong_calls_are_told(clean, files):
    (files / "cut.neo").write_bytes((files / "add.neo").read_bytes()[:-100])
    alone(
        clean,
        files,
        """
        import array
        model = nr.load("add.neo")
        closed = nr.load("add.neo")
        closed.close()
        nan = [[0.0, 1.0, 2.0], [3.0, "4", 5.0]]
        for call, kind, said in (
            (lambda: nr.load("none.neo"), nr.ArtifactError, "none.neo cannot be read: No such file"),
            (lambda: nr.load("cut.neo"), nr.ArtifactError, "cut.neo: "),
            (lambda: nr.load(b"PK"), nr.ArtifactError, "the .neo bytes: "),
            (lambda: nr.load("add.neo", threads=0), nr.ModelError, "1 to 1024 threads, not 0"),
            (lambda: setattr(model, "spin", "1"), nr.ModelError, "stay awake for 0 to 3600 seconds, not '1'"),
            (lambda: model(), nr.ModelError, "takes 1 inputs (x: float32(2, 3)), 0 were given"),
            (lambda: model([[1.0, 2.0], [3.0, 4.0]]), nr.ModelError, "has shape (2, 2), the model takes float32(2, 3)"),
            (lambda: model([[1.0, 2.0], [3.0]]), nr.ModelError, "rows are not of one length"),
            (lambda: model(nan), nr.ModelError, "has '4', which is no float32"),
            (lambda: model(array.array("d", range(6))), nr.ModelError, "has elements 'd' of struct"),
            (lambda: model(b"1234"), nr.ModelError, "has shape (1), the model takes"),
            (lambda: model(object()), nr.ModelError, "is object, which is no array"),
            (lambda: model.run({"w": 1}), nr.ModelError, "missing: x; unknown: w"),
            (lambda: closed([[0.0] * 3] * 2), nr.ModelError, "the model is closed"),
        ):
            try:
                call()
            except kind as error:
                assert said in str(error), (said, str(error))
            else:
                raise AssertionError(said)
        """,
    )


def torch_like(x: np.ndarray):
    """What is no array of numpy's, but can be made one."""
    return type("Tensor", (), {"__array__": lambda self, dtype=None, copy=None: x})()


def test_with_numpy(wheel, files, tmp_path, monkeypatch):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import neomlir_runtime

    assert neomlir_runtime.__version__ == neomlir.__version__
    model = neomlir_runtime.load(files / "add.neo")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for given in (x, np.asfortranarray(x), x.tolist(), x.tobytes(), array.array("f", x.ravel()), torch_like(x)):
        y = model(given)
        assert type(y) is np.ndarray and np.array_equal(y, x * 11)
    with pytest.raises(neomlir_runtime.ModelError, match="has dtype float64, the model takes float32"):
        model(x.astype(np.float64))
    count, y = neomlir_runtime.load(files / "dynamic.neo")(x.reshape(-1))
    assert count == 6 and np.array_equal(y, np.stack([x.reshape(-1)] * 2))
