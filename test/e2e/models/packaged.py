"""ONNX models that are shipped in installed packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np


def _rapidocr(name: str) -> str:
    package = importlib.util.find_spec("rapidocr_onnxruntime")
    return str(Path(package.origin).parent / "models" / name)


def _image(*shape: int) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(0).standard_normal(shape, np.float32)}


def ppocr_det(size: int = 640) -> tuple[str, dict[str, np.ndarray]]:
    """PP-OCRv4 text detector; x (1, 3, size, size) f32, `size` a multiple of 32, dynamic in the model."""
    return _rapidocr("ch_PP-OCRv4_det_infer.onnx"), _image(1, 3, size, size)


def ppocr_cls() -> tuple[str, dict[str, np.ndarray]]:
    """PP-OCR v2 text direction classifier; x (1, 3, 48, 192) f32."""
    return _rapidocr("ch_ppocr_mobile_v2.0_cls_infer.onnx"), _image(1, 3, 48, 192)


def ppocr_rec(width: int = 320) -> tuple[str, dict[str, np.ndarray]]:
    """PP-OCRv4 text recogniser; x (1, 3, 48, width) f32, `width` dynamic in the model."""
    return _rapidocr("ch_PP-OCRv4_rec_infer.onnx"), _image(1, 3, 48, width)
