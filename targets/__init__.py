"""Targets: one TOML file each, facts and no code."""

from __future__ import annotations

import difflib
import functools
import platform
import tomllib
from dataclasses import dataclass
from pathlib import Path

from neomlir.errors import TargetError

__all__ = ["Cache", "Target", "Vector", "get", "names"]


@dataclass(frozen=True)
class Vector:
    """The vector unit: width in bits, architectural registers, fused multiply-adds a cycle."""

    bits: int
    registers: int
    fma_ports: int
    scalable: bool = False


@dataclass(frozen=True)
class Cache:
    """Bytes of cache a core, and of a line."""

    l1d: int
    l2: int
    line: int = 64
    l3: int = 0


@dataclass(frozen=True)
class Target:
    """A machine to compile for. `features` are LLVM's, with their sign; `needs`, what a machine must have to run."""

    name: str
    description: str
    triple: str
    cpu: str
    vector: Vector
    cache: Cache
    aliases: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    kind: str = "cpu"

    @property
    def architecture(self) -> str:
        """The first part of the triple."""
        return self.triple.split("-")[0]

    @classmethod
    def named(cls, name: str) -> Target:
        """The target of that name or alias; `host` is the file that fits this machine best. Raises TargetError."""
        if name == "host":
            return cls.host()
        for target in _all():
            if name == target.name or name in target.aliases:
                return target
        known = [n for target in _all() for n in (target.name, *target.aliases)]
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise TargetError(f"there is no target {name!r}{hint} Known: host, {', '.join(names())}")

    @classmethod
    def host(cls) -> Target:
        """The most capable target whose needed features this machine has; its own CPU's file before others."""
        cpu, features = host_cpu()
        fitting = [t for t in _all() if t.architecture == _host_architecture() and set(t.needs) <= features]
        if not fitting:
            raise TargetError(
                f"no target file fits this machine ({platform.machine()}, {cpu}); name one of {', '.join(names())}"
            )
        return max(fitting, key=lambda t: (t.cpu == cpu, t.vector.bits, len(t.needs), t.name))

    def missing_here(self) -> list[str] | None:
        """Features that this machine lacks to run the target's code; None where its architecture is another."""
        if self.architecture != _host_architecture():
            return None
        return sorted(set(self.needs) - host_cpu()[1])

    def runs_here(self) -> bool:
        """Whether this machine can run what is compiled for the target."""
        return self.missing_here() == [] and ("linux" in self.triple) == (platform.system() == "Linux")


def _host_architecture() -> str:
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)


@functools.cache
def host_cpu() -> tuple[str, frozenset[str]]:
    """LLVM's name of this machine's CPU, and the features it reports."""
    import llvmlite.binding as llvm

    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:
        features = {}
    return llvm.get_host_cpu_name(), frozenset(name for name, present in features.items() if present)


def names() -> list[str]:
    """The names of all targets, sorted."""
    return [target.name for target in _all()]


def get(name: str) -> Target:
    """`Target.named`."""
    return Target.named(name)


@functools.cache
def _all() -> tuple[Target, ...]:
    return tuple(_read(path) for path in sorted(Path(__file__).parent.glob("*.toml")))


def _read(path: Path) -> Target:
    try:
        data = tomllib.loads(path.read_text())
        return Target(
            name=path.stem,
            description=data["description"],
            triple=data["triple"],
            cpu=data["cpu"],
            vector=Vector(**data["vector"]),
            cache=Cache(**data["cache"]),
            aliases=tuple(data.get("aliases", ())),
            features=tuple(data.get("features", ())),
            needs=tuple(data.get("needs", ())),
            kind=data.get("class", "cpu"),
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise TargetError(f"{path}: not a target description: {error}") from error
