"""Channels of any size: 200,000 records that no archive stands behind, for solving; small real packages, for building.

A synthetic channel is layered as real ones are: a package depends on packages of lower layers, always on the same
ones, by ranges that move with its version. The newest version of some asks for a Python that is newer than 3.12, so
that a solver has to step back; whatever is asked for beside Python 3.12 can be had.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import count as numbers
from typing import TYPE_CHECKING, Any

from tests.support.channel import Channel, write_repodata
from tests.support.channel_archive import TIMESTAMP, Member, Package

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Synthetic", "filler_packages", "synthetic_repodata"]

_LAYERS = 8
_PYTHONS = ("3.11.9", "3.11.11", "3.12.7", "3.12.9", "3.13.1", "3.13.2")
_SYLLABLES = ("ba", "cor", "da", "fe", "gu", "hil", "ka", "lo", "mar", "net", "pi", "qu", "ros", "sol", "ta", "vex")
_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A channel that can be solved for, and what to ask of it."""

    channel: Channel
    #: What each package depends on, whatever its version.
    graph: dict[str, tuple[str, ...]]

    def specs(self, size: int) -> list[str]:
        """Match specs whose solution has exactly ``size`` packages, Python 3.12 among them."""
        chosen, closed = ["python 3.12.*"], {"python"}
        names = list(self.graph)
        random.Random(size).shuffle(names)  # noqa: S311 - the same names each time, and no secret
        for name in names:
            grown = closed | self._closure(name)
            if len(closed) < len(grown) <= size:
                closed = grown
                chosen.append(name)
        if len(closed) != size:
            raise ValueError(f"this channel is too small for {size} packages")
        return chosen

    def _closure(self, name: str) -> set[str]:
        found: set[str] = set()
        waiting = [name]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self.graph.get(one, ())
        return found


@dataclass(slots=True)
class _Growing:
    """A channel while it is written."""

    rng: random.Random
    graph: dict[str, tuple[str, ...]] = field(default_factory=dict)
    versions: dict[str, list[str]] = field(default_factory=dict)
    packages: dict[str, dict[str, Any]] = field(default_factory=lambda: {"linux-64": {}, "noarch": {}})

    def grow(self, layer: int, lower: list[str]) -> None:
        """Adds a package in 10 to 50 versions."""
        name = self._name()
        wanted = min(len(lower), self.rng.randint(0, 1 + layer))
        depends = sorted(self.rng.sample(lower, wanted)) if wanted else []
        versions = self._versions(self.rng.randint(10, 50))
        subdir = "noarch" if self.rng.random() < 0.5 else "linux-64"
        newest_is_for_others = self.rng.random() < 0.05
        for at, version in enumerate(versions):
            newest = at == len(versions) - 1
            python = "python >=3.13" if newest and newest_is_for_others else "python >=3.11"
            told = [python, *(self._range(one, at / len(versions)) for one in depends)]
            self.add(name, version, subdir, told, age=(len(versions) - at) * 20)
        self.versions[name] = versions
        self.graph[name] = ("python", *depends)

    def add(self, name: str, version: str, subdir: str, depends: list[str], *, age: int, build: str = "") -> None:
        """One record; ``age`` is in days."""
        noarch = subdir == "noarch"
        build = build or ("pyhd8ed1ab_0" if noarch else "h5eee18b_0")
        record: dict[str, Any] = {
            "build": build,
            "build_number": 0,
            "depends": depends,
            "license": "MIT",
            "md5": f"{self.rng.getrandbits(128):032x}",
            "name": name,
            "sha256": f"{self.rng.getrandbits(256):064x}",
            "size": self.rng.randint(5_000, 5_000_000),
            "subdir": subdir,
            "timestamp": TIMESTAMP - age * _DAY,
            "version": version,
        }
        if noarch:
            record["noarch"] = "python"
        self.packages[subdir][f"{name}-{version}-{build}.conda"] = record

    def _name(self) -> str:
        for tries in numbers():
            name = "".join(self.rng.choices(_SYLLABLES, k=3 + tries // 8))
            if name not in self.graph:
                return name
        raise AssertionError("numbers end")

    def _versions(self, wanted: int) -> list[str]:
        found, major, minor, micro = [], self.rng.randint(0, 2), 0, 0
        for _ in range(wanted):
            found.append(f"{major}.{minor}.{micro}")
            step = self.rng.random()
            if step < 0.05:
                major, minor, micro = major + 1, 0, 0
            elif step < 0.4:
                minor, micro = minor + 1, 0
            else:
                micro += 1
        return found

    def _range(self, name: str, age: float) -> str:
        """What a version asks of another package: something as old as itself or older, and not the next major.

        The newest version that is for Python 3.12 (the last but one) is within the range of every newest version.
        """
        versions = self.versions[name]
        low = versions[int(age * 0.8 * (len(versions) - 1))]
        if age < 0.6:
            return f"{name} >={low}"
        return f"{name} >={low},<{int(versions[-1].partition('.')[0]) + 1}.0a0"


def synthetic_repodata(folder: Path, count: int = 200_000, seed: int = 20250101) -> Synthetic:
    """Writes a channel of about ``count`` records (never fewer, 50 more at most), the same for the same seed."""
    growing = _Growing(random.Random(seed))  # noqa: S311 - the same channel each time, and no secret
    for at, version in enumerate(_PYTHONS):
        growing.add("python", version, "linux-64", [], age=(len(_PYTHONS) - at) * 30, build="0_cpython")
    growing.graph["python"] = ()
    layers: list[list[str]] = [[] for _ in range(_LAYERS)]
    for layer in _layered():
        if sum(map(len, growing.packages.values())) >= count:
            break
        lower = [name for names in layers[:layer] for name in names[:400]]  # what many depend on: a few hundred
        growing.grow(layer, lower)
        layers[layer].append(next(reversed(growing.graph)))
    for subdir, packages in growing.packages.items():
        told = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": packages, "repodata_version": 1}
        (folder / subdir).mkdir(parents=True, exist_ok=True)
        write_repodata(folder / subdir, told)
    return Synthetic(Channel(folder), growing.graph)


def _layered() -> Iterator[int]:
    """The layer of each package in turn, the lowest first and each of them for ever."""
    while True:
        yield from range(_LAYERS)


def filler_packages(count: int, *, files: int = 40, name: str = "filler") -> tuple[Package, ...]:
    """Small noarch packages to install, each depending on the one before it: ``filler-000`` and so on."""
    rng = random.Random(count)  # noqa: S311 - the same bytes each time, and no secret
    return tuple(
        Package(
            name=f"{name}-{at:03}",
            version="1.0",
            noarch="generic",
            depends=(f"{name}-{at - 1:03} >=1.0",) if at else (),
            members=tuple(
                Member(
                    path=f"share/{name}-{at:03}/{part:03}.txt",
                    data=rng.randbytes(rng.randint(100, 8000)).hex().encode(),
                )
                for part in range(files)
            ),
        )
        for at in range(count)
    )
