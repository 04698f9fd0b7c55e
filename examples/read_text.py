"""Read the text in a picture with two models compiled by Neo, and compare with ONNX Runtime.

The models (PP-OCRv4 detector and recogniser) and what surrounds them (cutting out lines, decoding characters) are
those of the PyPI package `rapidocr-onnxruntime`; only its two inference sessions are replaced. The detector is
compiled for the picture's size, the recogniser for any number of lines of any width.

    python examples/read_text.py [PICTURE] [--output DIR] [--threads N]
"""

import argparse
import time
from pathlib import Path

import cv2
import neomlir
import numpy as np
import rapidocr_onnxruntime
from neomlir import peers
from neomlir.timing import interleave
from neomlir.tools.console import progress
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

MODELS = Path(rapidocr_onnxruntime.__file__).parent / "models"
DETECTOR, RECOGNISER = "ch_PP-OCRv4_det_infer.onnx", "ch_PP-OCRv4_rec_infer.onnx"
RUNS = 5
LINES = (
    (72, "Neo compiles models"),
    (44, "from PyTorch and ONNX to native code."),
    (30, "Every step is a pass on IR that you can read,"),
    (30, "edit, and feed back: neo-opt step.mlir"),
    (22, "Detector and recogniser: PP-OCRv4, 4.7 MB and 10.8 MB"),
    (56, "Total: 1234.56 EUR"),
)


def draw_picture(path: Path) -> None:
    """A picture of some lines of text in several sizes."""
    picture = Image.new("RGB", (960, 736), (250, 248, 240))
    draw, y = ImageDraw.Draw(picture), 48
    for size, text in LINES:
        draw.text((56, y), text, font=ImageFont.load_default(size), fill=(30, 40, 60))
        y += int(size * 1.8)
    picture.save(path)


class Session:
    """Stands in for the package's ONNX Runtime session and keeps what it was given."""

    def __init__(self, run):
        self.run = run
        self.inputs: list[np.ndarray] = []

    def __call__(self, array: np.ndarray) -> list[np.ndarray]:
        self.inputs.append(array)
        return [self.run(array)]


def read(engine, picture: np.ndarray, detect: Session, recognise: Session):
    """The boxes (four corners each), texts and scores that the two sessions find."""
    engine.text_det.infer, engine.text_rec.session = detect, recognise
    found, _ = engine(picture, use_cls=False)
    return [(np.array(box), text, score) for box, text, score in found or []]


def reference(name: str, threads: int) -> Session:
    """The model in ONNX Runtime."""
    run = peers.make("onnxruntime", MODELS / name, {}, threads)
    return Session(lambda x: run({"x": x})[0])


def compile_models(detector_shape: tuple[int, ...], threads: int):
    """The two compiled models; the detector for one shape (1, 3, height, width), the recogniser for any width."""
    models = []
    for name, shape in ((DETECTOR, detector_shape), (RECOGNISER, (None, 3, 48, None))):
        start = time.perf_counter()
        with progress() as report:
            models.append(neomlir.compile(MODELS / name, inputs={"x": shape}, threads=threads, progress=report))
        print(f"compiled {name} in {time.perf_counter() - start:.1f} s")
    return models


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", nargs="?", type=Path, help="a picture to read (default: one is drawn)")
    parser.add_argument("--output", type=Path, default=Path("out/demo"), help="folder to write to (default: out/demo)")
    parser.add_argument("--threads", type=int, default=1, help="threads for both (default: 1)")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.picture or arguments.output / "picture.png"
    if arguments.picture is None:
        draw_picture(path)
    picture = cv2.imread(str(path))
    if picture is None:
        parser.error(f"{path} is not a picture that OpenCV can read")

    engine = rapidocr_onnxruntime.RapidOCR()
    ort = [reference(name, arguments.threads) for name in (DETECTOR, RECOGNISER)]
    expected = read(engine, picture, *ort)
    if not expected:
        parser.error(f"no text was found in {path}")
    detector, recogniser = compile_models(ort[0].inputs[0].shape, arguments.threads)
    neo = [Session(detector), Session(recogniser)]
    found = read(engine, picture, *neo)

    print()
    for box, text, score in found:
        cv2.polylines(picture, [box.astype(np.int32)], isClosed=True, color=(60, 60, 230), thickness=2)
        print(f"  {text}   ({score:.3f})")
    boxes = arguments.output / "boxes.png"
    cv2.imwrite(str(boxes), picture)

    table = Table("", "Neo", "ONNX Runtime", "largest output difference")
    for name, ours, theirs in zip(("detector", "recogniser"), neo, ort, strict=True):
        # Both are fed with the very same array, whatever the two detectors found.
        x = theirs.inputs[0]
        difference = float(np.abs(ours.run(x) - theirs.run(x)).max())
        times = interleave({"neo": lambda f=ours, x=x: f.run(x), "ort": lambda f=theirs, x=x: f.run(x)}, RUNS, warmup=1)
        table.add_row(name, *(f"{time.median * 1e3:.1f} ms" for time in times.values()), f"{difference:.2e}")
    print()
    Console().print(table)
    same = [text for _, text, _ in found] == [text for _, text, _ in expected]
    print(f"the text is {'the same as' if same else 'NOT the same as'} ONNX Runtime's; boxes drawn in {boxes}")
    raise SystemExit(0 if same else 1)


if __name__ == "__main__":
    main()
