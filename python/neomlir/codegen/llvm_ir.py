"""Rewrite LLVM IR text of the bindings' LLVM in the grammar that llvmlite's older parser reads."""

from __future__ import annotations

import re
import struct

# Newer LLVM prints special values by name, and others as the shortest decimal of their own type or as its bits; the
# older one reads a decimal only where it is exact.
_VALUE = r"(?P<value>f0x[0-9A-Fa-f]+|[+-]?(?:inf|qnan|s?nan\(0x[0-9A-Fa-f]+\)|\d+\.\d+e[+-]\d+))"
_DECIMAL = re.compile(r"\d\.\d+e[+-]\d")
_HEX = re.compile(r"\b(?P<type>double|float|half|bfloat) " + _VALUE)
_BARE = re.compile(r"(?P<before>[,(<\[] ?)" + _VALUE + r"(?=[,)\s>\]]|$)")
_NEW_ATTRIBUTES = re.compile(r" (?:nocreateundeforpoison|errnomem: [a-z]+)\b")

_WIDTH = {"double": 64, "float": 32, "half": 16, "bfloat": 16}
_LAYOUT = {"double": (11, 52), "float": (8, 23), "half": (5, 10), "bfloat": (8, 7)}


def to_llvmlite(text: str) -> str:
    """LLVM IR text that LLVM 22 parses, with the meaning of `text`, which a newer LLVM printed."""
    lines = []
    for line in _NEW_ATTRIBUTES.sub("", text).split("\n"):
        if "f0x" in line or "inf" in line or "nan" in line or _DECIMAL.search(line):
            line = _HEX.sub(lambda m: f"{m['type']} {_constant(m['type'], m['value'])}", line)
            kind = re.search(r"\b(double|float|half|bfloat)\b", line)
            if kind:
                line = _BARE.sub(lambda m, t=kind[1]: m["before"] + _constant(t, m["value"]), line)
        lines.append(line)
    return "\n".join(lines)


def _constant(type_: str, value: str) -> str:
    """A floating-point constant in the hexadecimal form that every version reads."""
    bits = _bits(type_, value)
    if type_ == "half":
        return f"0xH{bits:04X}"
    if type_ == "bfloat":
        return f"0xR{bits:04X}"
    if type_ == "double":
        return f"0x{bits:016X}"
    # A float is written as the double of the same value; for a NaN the payload's bits move up.
    exponent, mantissa = bits >> 23 & 0xFF, bits & 0x7FFFFF
    if exponent == 0xFF:
        return f"0x{bits >> 31 << 63 | 0x7FF << 52 | mantissa << 29:016X}"
    number = struct.unpack("<f", struct.pack("<I", bits))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


def _bits(type_: str, value: str) -> int:
    if value.startswith("f0x"):
        return int(value[3:], 16)
    if _DECIMAL.search(value):
        if type_ == "bfloat":
            wide = struct.unpack("<I", struct.pack("<f", float(value)))[0]
            return wide + 0x7FFF + (wide >> 16 & 1) >> 16
        form, whole = {"double": ("<d", "<Q"), "float": ("<f", "<I"), "half": ("<e", "<H")}[type_]
        return struct.unpack(whole, struct.pack(form, float(value)))[0]
    exponent, mantissa = _LAYOUT[type_]
    sign = 1 << (_WIDTH[type_] - 1) if value[0] == "-" else 0
    infinity = ((1 << exponent) - 1) << mantissa
    name = value.lstrip("+-")
    if name == "inf":
        return sign | infinity
    if name == "qnan":
        return sign | infinity | 1 << (mantissa - 1)
    payload = int(name[name.index("0x") :].rstrip(")"), 16)
    return sign | infinity | payload | (1 << (mantissa - 1) if name.startswith("nan") else 0)
