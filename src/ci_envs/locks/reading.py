"""What reading a lock file gives beside the lock itself, and the rules that every reader shares. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from ci_envs.errors import LockError
from ci_envs.model.lock import Lock, Pin
from ci_envs.redact import Redactor, without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from packaging.markers import Marker

__all__ = [
    "MARKER_NAMES",
    "Made",
    "Option",
    "ReadLock",
    "Unnamed",
    "applies",
    "file_pin",
    "merged",
    "plain_location",
    "require_all",
    "sha256_only",
    "shown",
    "text_digest",
]

#: The environment markers of https://packaging.python.org/specifications/dependency-specifiers/. A mapping that
#: lacks one would be filled up with the values of the interpreter that runs us, which is not the leg's.
MARKER_NAMES = frozenset(
    {
        "implementation_name",
        "implementation_version",
        "os_name",
        "platform_machine",
        "platform_python_implementation",
        "platform_release",
        "platform_system",
        "platform_version",
        "python_full_version",
        "python_version",
        "sys_platform",
    }
)

_SHA256 = re.compile(r"[0-9a-f]{64}")
# pip takes these and nothing weaker ("Hash-checking mode", https://pip.pypa.io/en/stable/topics/secure-installs/).
_STRONG = frozenset({"sha256", "sha384", "sha512"})
_SHOWN = 120
_redact = Redactor()


class Option(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """An option that stands in a requirements file: ``--index-url``, ``--find-links``, ``--pre``."""

    line: int
    #: In its long form.
    name: str
    #: Without credentials; empty for a flag.
    value: str = ""


class Unnamed(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A line that names a folder or an address and no package: ``-e .``. Only its metadata knows the name."""

    line: int
    location: str
    editable: bool = False


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What the header says of how the lock was made; empty where it says nothing."""

    #: ``pip-compile``, ``uv`` or ``ci-envs``.
    tool: str = ""
    #: ``3.12``, ``3.13t`` or ``pypy3.10``.
    python: str = ""
    #: ``linux``, ``macos`` or ``windows``, and ``x86_64`` or ``aarch64``.
    os: str = ""
    arch: str = ""
    #: Whether it is meant for every platform and for every Python from ``python`` on.
    universal: bool = False
    #: ``apple[net]``: the extras that direct requirements asked for; ``None`` where the header does not tell.
    extras: tuple[str, ...] | None = None


class ReadLock(msgspec.Struct, frozen=True, kw_only=True):
    """A lock with what only its file knows. All names are normalised."""

    lock: Lock
    #: The line each pin stands at.
    lines: dict[str, int] = {}
    #: What asked for a pin, by its ``# via`` annotation: ``-r requirements.in``, ``demo (pyproject.toml)``, ``idna``.
    via: dict[str, tuple[str, ...]] = {}
    #: The extras that stand in a pin's own line.
    extras: dict[str, tuple[str, ...]] = {}
    options: tuple[Option, ...] = ()
    unnamed: tuple[Unnamed, ...] = ()
    #: Left out on purpose by the tool that made it (pip-compile calls setuptools "unsafe").
    excluded: tuple[str, ...] = ()
    made: Made = Made()
    #: Sentences for a person about the file itself.
    notes: tuple[str, ...] = ()

    def where(self, name: str) -> str:
        """``requirements.txt:41`` for a pin's name."""
        line = self.lines.get(name, 0)
        return f"{self.lock.path}:{line}" if line else self.lock.path


def applies(marker: Marker | None, markers: Mapping[str, str], *, extra: str = "") -> bool:
    """Whether a requirement with this marker is meant for the leg. ``markers`` must hold every PEP 508 name."""
    if marker is None:
        return True
    require_all(markers)
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName

    try:
        return marker.evaluate({**markers, "extra": extra})
    except (UndefinedComparison, UndefinedEnvironmentName) as error:
        raise LockError(f"the marker {shown(str(marker))!r} has no meaning here: {shown(str(error))}") from error


def require_all(markers: Mapping[str, str]) -> None:
    """:class:`ValueError` where a caller gives fewer than all of the leg's markers."""
    if missing := MARKER_NAMES - markers.keys():
        raise ValueError(f"markers of the leg lack {', '.join(sorted(missing))}")


def shown(text: str) -> str:
    """Text of a person's file for a message: one line, without credentials, and not for ever."""
    line = _redact(" ".join(text.split()))
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


def text_digest(text: str) -> str:
    """SHA-256 of the text in UTF-8: that of the file's bytes where it has no byte order mark."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sha256_only(pairs: Iterable[tuple[str, str]], *, what: str, file: str, line: int) -> tuple[str, ...]:
    """The SHA-256 hashes among ``(algorithm, hexadecimal)`` pairs, as ``sha256:<hex>``, sorted.

    Raises :class:`LockError` for a hash that is misspelt or too weak to trust, and where there are hashes but no
    SHA-256: that is the one that installed files are compared with.
    """
    kept, seen = set(), set()
    for name, value in pairs:
        algorithm, digest = name.lower(), value.lower()
        seen.add(algorithm)
        if algorithm not in _STRONG:
            raise LockError(
                f"{what} is pinned with {shown(algorithm)}, which proves nothing",
                hint="renew the lock with SHA-256 hashes",
                file=file,
                line=line,
            )
        if algorithm == "sha256":
            if not _SHA256.fullmatch(digest):
                raise LockError(
                    f"{what} has a SHA-256 of {len(digest)} characters; it must be 64 hexadecimal digits",
                    hint="the file was cut or edited: restore it or renew the lock",
                    file=file,
                    line=line,
                )
            kept.add(f"sha256:{digest}")
    if seen and not kept:
        raise LockError(
            f"{what} has no SHA-256 hash, only {', '.join(sorted(seen))}",
            hint="renew the lock with SHA-256 hashes",
            file=file,
            line=line,
        )
    return tuple(sorted(kept))


def file_pin(location: str) -> tuple[str, str] | None:
    """The normalised name and the version that a wheel's or an sdist's file name tells, if it is one."""
    from packaging.utils import (
        InvalidSdistFilename,
        InvalidWheelFilename,
        parse_sdist_filename,
        parse_wheel_filename,
    )

    name = location.partition("#")[0].partition("?")[0].replace("\\", "/").rpartition("/")[2]
    try:
        if name.endswith(".whl"):
            project, version, _, _ = parse_wheel_filename(name)
        elif name.endswith((".tar.gz", ".zip")):
            project, version = parse_sdist_filename(name)
        else:
            return None
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
    return project, str(version)


def plain_location(url: str) -> str:
    """The address without credentials, and without what a fragment says besides ``subdirectory``."""
    address, _, fragment = url.partition("#")
    kept = [part for part in fragment.split("&") if part.startswith("subdirectory=")]
    try:
        urlsplit(address)
    except ValueError:
        return _redact(address)
    return without_credentials(address) + (f"#{kept[0]}" if kept else "")


def merged(pins: Iterable[tuple[int, Pin]], path: str) -> dict[str, tuple[int, Pin]]:
    """Pins by name. Two that say the same are one; :class:`LockError` names both lines of two that do not."""
    found: dict[str, tuple[int, Pin]] = {}
    for line, pin in pins:
        first, other = found.setdefault(pin.name, (line, pin))
        if other != pin:
            difference = "" if other.version != pin.version else " with other hashes or from another place"
            raise LockError(
                f"{pin.name}=={pin.version} is pinned already in line {first}, as {other.name}=={other.version}"
                f"{difference}, and both apply to this leg",
                hint="keep one of the two lines, or renew the lock",
                file=path,
                line=line,
            )
    return found
