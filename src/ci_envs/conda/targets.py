"""What a platform of conda's means to everybody else: environment markers, wheel tags, uv's name. Pure.

A lock is made for platforms that no machine here may have, so nothing is asked of this one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from ci_envs.errors import UsageError
from ci_envs.model.inventory import Interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.tags import Tag

    from ci_envs.model.leg import Leg

__all__ = ["Target", "asked_interpreter", "platform_of", "python_spec", "target"]

# conda's subdir -> a leg's os and arch. https://docs.conda.io/projects/conda/en/stable/user-guide/concepts/channels.html
_LEGS = {
    "linux-64": ("linux", "x86_64"),
    "linux-aarch64": ("linux", "aarch64"),
    "osx-64": ("macos", "x86_64"),
    "osx-arm64": ("macos", "aarch64"),
    "win-64": ("windows", "x86_64"),
}
_PLATFORMS = {leg: platform for platform, leg in _LEGS.items()}

# Values of PEP 508's markers, as the interpreters of these systems answer.
_MARKERS = {
    "linux": {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux"},
    "macos": {"os_name": "posix", "sys_platform": "darwin", "platform_system": "Darwin"},
    "windows": {"os_name": "nt", "sys_platform": "win32", "platform_system": "Windows"},
}
_MACHINES = {"linux-64": "x86_64", "linux-aarch64": "aarch64", "osx-64": "x86_64", "osx-arm64": "arm64"}

#: The oldest glibc and macOS that a wheel is chosen for, where no virtual package says another:
#: the minimum of conda-forge's own packages is lower, but few wheels of today run on it.
_GLIBC, _MACOS = "2.28", "11.0"

# The manylinux tags that older tools know by a year (PEP 513, 571, 599).
_YEARS = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}

_SERIES = re.compile(r"(\d+)\.(\d+)(t?)")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One platform with a Python, as pip's half of the world sees it."""

    platform: str
    #: ``3.12.4``.
    python: str
    free_threaded: bool = False
    glibc: str = _GLIBC
    macos: str = _MACOS

    @property
    def markers(self) -> dict[str, str]:
        """PEP 508's environment markers, all of them."""
        os, _ = _LEGS[self.platform]
        return {
            **_MARKERS[os],
            "implementation_name": "cpython",
            "implementation_version": self.python,
            "platform_machine": _MACHINES.get(self.platform, "AMD64"),
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_version": "",
            "python_full_version": self.python,
            "python_version": ".".join(self.python.split(".")[:2]),
        }

    @property
    def uv_platform(self) -> str:
        """As ``uv pip compile --python-platform`` spells it."""
        os, arch = _LEGS[self.platform]
        match os:
            case "linux":
                return f"{arch}-manylinux_2_{min(max(_minor(self.glibc), 17), 40)}"
            case "macos":
                return f"{arch}-apple-darwin"
            case _:
                return "x86_64-pc-windows-msvc"

    def tags(self) -> Iterator[Tag]:
        """The wheel tags that run there, the best first (PEP 425)."""
        from packaging.tags import compatible_tags, cpython_tags

        version = tuple(int(part) for part in self.python.split(".")[:2])
        name = f"cp{version[0]}{version[1]}"
        platforms = list(self._wheel_platforms())
        yield from cpython_tags(version, [f"{name}{'t' if self.free_threaded else ''}"], platforms)
        yield from compatible_tags(version, name, platforms)

    def _wheel_platforms(self) -> Iterator[str]:
        os, arch = _LEGS[self.platform]
        if os == "macos":
            from packaging.tags import mac_platforms

            major, _, minor = self.macos.partition(".")
            yield from mac_platforms((int(major), int(minor.split(".")[0] or 0)), _MACHINES[self.platform])
        elif os == "windows":
            yield "win_amd64"
        else:
            for minor_version in range(_minor(self.glibc), 4, -1):
                yield f"manylinux_2_{minor_version}_{arch}"
                if minor_version in _YEARS and (arch == "x86_64" or minor_version == 17):
                    yield f"{_YEARS[minor_version]}_{arch}"
            yield f"linux_{arch}"


def platform_of(leg: Leg) -> str:
    """``linux-64`` for a leg on ``linux-x86_64``. :class:`UsageError` where conda has no name for it."""
    found = _PLATFORMS.get((leg.os, leg.arch))
    if found is None:
        raise UsageError(
            f"conda has no platform {leg.platform}", hint=f"it has {', '.join(' '.join(k) for k in _PLATFORMS)}"
        )
    return found


def python_spec(python: str) -> str:
    """The match spec of a leg's Python: ``python 3.12.*``, ``python 3.13.* *_cp313t`` for ``3.13t``."""
    series = _SERIES.fullmatch(python)
    if series is None:
        raise UsageError(f"conda environments are made with CPython; {python!r} is not", hint="write 3.12 or 3.13t")
    build = f" *_cp{series[1]}{series[2]}t" if series[3] else ""
    return f"python {series[1]}.{series[2]}.*{build}"


def target(platform: str, python: str, build: str = "", virtual: Mapping[str, str] | None = None) -> Target:
    """What a solve came to: its Python's version and build, and the virtual packages that it was made for."""
    found = virtual or {}
    return Target(
        platform=platform,
        python=python,
        free_threaded=build.endswith("t") and "_cp" in build,
        glibc=found.get("__glibc") or _GLIBC,
        macos=found.get("__osx") or _MACOS,
    )


def asked_interpreter(leg: Leg) -> Interpreter:
    """The interpreter that a leg asks for, before there is one: which patch release it is to be, its lock says."""
    series = leg.python.removesuffix("t")
    # "3.12.0" would be below a bound like >=3.12.2 that the lock's Python meets.
    made = target(platform_of(leg), f"{series}.99", "_cpt" if leg.python.endswith("t") else "")
    return Interpreter(
        version=series,
        implementation="cpython",
        os=leg.os,
        arch=leg.arch,
        executable="",
        prefix="",
        base_prefix="",
        free_threaded=made.free_threaded,
        markers=made.markers,
    )


def _minor(version: str) -> int:
    part = version.split(".")[1:2]
    return int(part[0]) if part and part[0].isdigit() else int(_GLIBC.split(".")[1])
