"""Memory for the results of a program: aligned for vectors, and used again once nobody looks at it."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

_LINE = 64
"""Bytes of a line of the cache, and of the longest vector."""
_LONG = 1 << 16
"""Bytes of a result whose vectors are worth lying within lines."""
_LARGE = 1 << 20
"""Bytes of a result worth keeping: the system gives large memory back and clears each new page."""
_SPARE = 2
"""Blocks kept: a loop often drops a result after the next call, not before."""


class Room:
    """Memory for what one output of a program gives, call after call.

    Where nobody looks at an array of 1 MB or more any longer, its memory serves a later one; two such blocks are kept.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """For results of a static shape."""
        self._shape, self._dtype = shape, dtype
        self._bytes = math.prod(shape) * dtype.itemsize
        self._spare: collections.deque[np.ndarray] = collections.deque(maxlen=_SPARE)

    def array(self) -> np.ndarray:
        """A new array, whose content may be anything. A long one starts at a line, where NumPy's starts at 16 bytes."""
        if self._bytes < _LONG:
            return np.empty(self._shape, self._dtype)
        if self._bytes < _LARGE:
            return _aligned(self._bytes).view(self._dtype).reshape(self._shape)
        try:
            block = self._spare.pop()
        except IndexError:
            block = _aligned(self._bytes)
        lent = Lent(block.ctypes.data, self._bytes, partial(self._spare.append, block))
        return np.asarray(lent).view(self._dtype).reshape(self._shape)


class Lent:
    """Memory as bytes for NumPy, which keeps this as long as an array looks at it; then `give_back` is called."""

    def __init__(self, address: int, size: int, give_back: Callable[[], Any]) -> None:
        """`size` bytes at an address."""
        self._give_back = give_back
        self.__array_interface__ = {"data": (address, False), "shape": (size,), "typestr": "|u1", "version": 3}

    def __del__(self) -> None:
        self._give_back()


def _aligned(size: int) -> np.ndarray:
    block = np.empty(size + _LINE, np.uint8)
    start = -block.__array_interface__["data"][0] % _LINE
    return block[start : start + size]
