"""Targets: one TOML file each, facts and no code."""

from __future__ import annotations

import difflib
import functools
import platform
import sysconfig
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from neomlir.errors import TargetError

__all__ = ["Cache", "Target", "Vector", "devices", "get", "names"]


@dataclass(frozen=True)
class Vector:
    """The vector unit: width in bits (32 where there is none), architectural registers, fused multiply-adds a cycle.

    Code for a `scalable` one (SVE) is right for every width of its registers; `bits` is that of the core, which panels
    of weights and register tiles are cut to. Other code needs vectors of at least that width.
    """

    bits: int
    registers: int
    fma_ports: int
    scalable: bool = False


@dataclass(frozen=True)
class Cache:
    """Bytes of cache a core, and of a line.

    `follows_fetches`: whether the hardware's prefetching learns from the addresses of prefetch instructions, so that
    those that go from row to row make it read what nobody needs. `stream`: bytes a cycle that come from behind the
    second level, inside a network whose other weights went through it. `ahead`: bytes by which instructions fetch ahead
    what is read and written from end to end while something long is computed; 0 where the hardware does so.
    `next_row`: whether they fetch the row behind a long one while something long is reduced, and the next rows where
    columns are summed. `bypass`:
    bytes of a result from which on it is written past the caches, which could not keep it for whoever reads it; 0 for
    never.
    """

    l1d: int
    l2: int
    line: int = 64
    l3: int = 0
    follows_fetches: bool = False
    stream: int = 4
    ahead: int = 0
    next_row: bool = False
    bypass: int = 0


@dataclass(frozen=True)
class Target:
    """A machine to compile for. `features` are LLVM's, with their sign; `needs`, what a machine must have to run.

    `abi` is LLVM's name of the calling convention, where the triple has several. `variants` are targets, best first,
    that a file holds code for beside that for its `base`; weights are laid out by the target's own facts. `half` tells
    whether it has instructions that convert numbers of IEEE 754's 16 bits.
    """

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
    abi: str = ""
    base: str = ""
    variants: tuple[str, ...] = ()
    half: bool = True

    @property
    def fixed(self) -> Target:
        """The same machine for schedules that need to know how many lanes a vector has: the width that all have."""
        if not self.vector.scalable:
            return self
        return replace(self, vector=replace(self.vector, bits=128, scalable=False))

    def has(self, feature: str) -> bool:
        """Whether its code may use a feature of LLVM's: one that it needs, or says beside its CPU."""
        return feature in self.needs or f"+{feature}" in self.features

    @property
    def is_scalable(self) -> bool:
        """Whether there are scalable vectors in its code, or in that of a variant."""
        return self.vector.scalable or any(Target.named(name).is_scalable for name in self.variants)

    @property
    def architecture(self) -> str:
        """The first part of the triple."""
        return self.triple.split("-")[0]

    @property
    def pointer_bits(self) -> int:
        """32 or 64."""
        return 64 if "64" in self.architecture else 32

    @classmethod
    def named(cls, name: str) -> Target:
        """The target of that name, alias or device; `host` is what fits this machine best. Raises TargetError."""
        if name == "host":
            return cls.host()
        if name in _devices_file()["elsewhere"]:
            raise TargetError(f"there is no target {name!r}: {_devices_file()['elsewhere'][name]}")
        wanted = devices().get(name, name)
        for target in _all():
            if wanted == target.name or wanted in target.aliases:
                return target
        known = [*devices(), *(n for target in _all() for n in (target.name, *target.aliases))]
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise TargetError(f"there is no target {name!r}{hint}; there are host, {', '.join(names())}")

    @classmethod
    def host(cls) -> Target:
        """The most capable target whose needed features this machine has; its own CPU's file before others."""
        cpu, _ = host_cpu()
        fitting = [t for t in _all() if _host_libc() in t.triple and t.runs_here() and not t.variants]
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
    return {"amd64": "x86_64", "arm64": "aarch64", "armv7l": "armv7", "armv8l": "armv7"}.get(machine, machine)


def _host_libc() -> str:
    return "musl" if "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "") else "gnu"


@functools.cache
def host_cpu() -> tuple[str, frozenset[str]]:
    """LLVM's name of this machine's CPU, and the features it reports."""
    import llvmlite.binding as llvm

    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:
        features = {}
    present = frozenset(name for name, there in features.items() if there)
    if _host_architecture() == "aarch64" and platform.system() == "Linux":
        present |= _features_of_arm(Path("/proc/cpuinfo").read_text(errors="replace"))
    return llvm.get_host_cpu_name(), present


_LINUX_NAMES = {"atomics": "lse", "asimdhp": "fullfp16", "asimddp": "dotprod", "asimdfhm": "fp16fml"}
"""LLVM's names of features for which Linux has others; what both call the same is not listed."""


def _features_of_arm(cpuinfo: str) -> frozenset[str]:
    """LLVM's names of the features that Linux gives to all cores in /proc/cpuinfo; LLVM itself reads but a few."""
    lines = [line.partition(":")[2].split() for line in cpuinfo.splitlines() if line.startswith("Features")]
    cores = [frozenset(_LINUX_NAMES.get(name, name) for name in names) for names in lines]
    return frozenset.intersection(*cores) if cores else frozenset()


def names() -> list[str]:
    """The names of all targets, sorted."""
    return [target.name for target in _all()]


def get(name: str) -> Target:
    """`Target.named`."""
    return Target.named(name)


_FOLDER = Path(__file__).parent
_DEVICES = _FOLDER / "devices.toml"


@functools.cache
def devices() -> dict[str, str]:
    """The target of each device that people know by a name of its own."""
    return {**_devices_file()["edge"], **_devices_file()["server"]}


@functools.cache
def _devices_file() -> dict[str, dict[str, str]]:
    return tomllib.loads(_DEVICES.read_text())


@functools.cache
def _all() -> tuple[Target, ...]:
    return tuple(_read(path) for path in sorted(_FOLDER.glob("*.toml")) if path != _DEVICES)


def _facts(path: Path) -> dict:
    """What a file says, over what its `base` says; aliases are a file's own."""
    data = tomllib.loads(path.read_text())
    if "base" not in data:
        return data
    base = _facts(path.with_name(f"{data['base']}.toml"))
    for own in ("aliases", "variants"):
        base.pop(own, None)
    tables = {name: {**base[name], **data.pop(name, {})} for name in ("vector", "cache")}
    return {**base, **data, **tables}


def _read(path: Path) -> Target:
    try:
        data = _facts(path)
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
            abi=data.get("abi", ""),
            base=data.get("base", ""),
            variants=tuple(data.get("variants", ())),
            half=data.get("half", True),
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, OSError) as error:
        raise TargetError(f"{path}: not a target description: {error}") from error
