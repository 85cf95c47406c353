"""What this version of ci-envs knows of nixpkgs: one release of it, and what it calls the distributions of PyPI."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Literal

import msgspec

from ci_envs.decoding import convert
from ci_envs.documents import load_yaml
from ci_envs.errors import UsageError
from ci_envs.resources import resource

if TYPE_CHECKING:
    from packaging.markers import Marker

__all__ = ["SYSTEMS", "Names", "Release", "holds_on", "names", "python_attribute", "release"]

#: The systems that nixpkgs is built for and a Python project is worked on, with what markers ask of each.
SYSTEMS: dict[str, dict[str, str]] = {
    f"{machine}-{kernel}": {
        "os_name": "posix",
        "sys_platform": kernel,
        "platform_system": kernel.capitalize(),
        "platform_machine": "arm64" if (machine, kernel) == ("aarch64", "darwin") else machine,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    for kernel in ("linux", "darwin")
    for machine in ("x86_64", "aarch64")
}

_SERIES = re.compile(r"3\.([0-9]+)(t?)")


class Release(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """One revision of nixpkgs, with the hash of its files."""

    branch: str
    rev: str
    #: ``sha256-<base64>``: what flake.lock has as narHash, and fetchTarball takes as sha256.
    nar_hash: str
    #: Seconds since 1970, in UTC.
    last_modified: int
    #: The series that ``python3`` is: ``3.13``.
    python: str
    #: All that it has.
    pythons: tuple[str, ...]

    @property
    def day(self) -> str:
        """``2026-05-10``."""
        return datetime.fromtimestamp(self.last_modified, UTC).date().isoformat()


class Names(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Normalised names of PyPI that are no attribute of ``python3Packages``."""

    #: -> the attribute there.
    attributes: dict[str, str]
    #: -> the attribute of nixpkgs itself: programs.
    programs: dict[str, str]
    #: -> why it is not there.
    absent: dict[str, str]


@cache
def release() -> Release:
    """The revision that new files are made for."""
    return convert(_data("nixpkgs.yml"), Release)


@cache
def names() -> Names:
    """The names that differ, as far as they are known here."""
    return convert(_data("python-names.yml"), Names)


def python_attribute(series: str) -> str:
    """``python312`` for ``3.12``, ``python313FreeThreading`` for ``3.13t``. :class:`UsageError` for anything else.

    https://nixos.org/manual/nixpkgs/stable/#interpreters
    """
    found = _SERIES.fullmatch(series)
    if not found:
        raise UsageError(f"{series!r} is no Python that nixpkgs has", hint="write 3.12, or 3.13t without the GIL")
    return f"python3{found[1]}{'FreeThreading' if found[2] else ''}"


def holds_on(marker: Marker | None, series: str) -> Literal["all", "some", "none"]:
    """On how many of the systems a marker holds, under a Python of a series."""
    version = series.rstrip("t")
    told = {"python_version": version, "python_full_version": f"{version}.0", "implementation_version": f"{version}.0"}
    held = [marker is None or marker.evaluate({**system, **told, "extra": ""}) for system in SYSTEMS.values()]
    return "all" if all(held) else "some" if any(held) else "none"


def _data(name: str) -> object:
    return load_yaml(resource(f"nix/{name}").read_text("utf-8"), file=name).data
