"""``pylock.toml`` (PEP 751, https://packaging.python.org/specifications/pylock-toml/), read by ``packaging``. Pure."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, cast

from ci_envs.errors import LockError
from ci_envs.locks.reading import Made, ReadLock, merged, plain_location, require_all, sha256_only, shown, text_digest
from ci_envs.model.lock import Lock, Pin, SourceKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from packaging.markers import Environment
    from packaging.pylock import Package, Pylock
    from packaging.tags import Tag

__all__ = ["is_pylock_name", "parsed_pylock", "read_pylock"]

_NAME = re.compile(r"pylock(\.[^.]+)?\.toml")
_PACKAGE = re.compile(r"\s*\[\[\s*packages\s*\]\]")


def is_pylock_name(name: str) -> bool:
    """Whether a file's name is ``pylock.toml`` or ``pylock.<name>.toml``."""
    return _NAME.fullmatch(name) is not None


def read_pylock(
    text: str,
    *,
    path: str,
    markers: Mapping[str, str],
    extras: Collection[str] = (),
    groups: Collection[str] | None = None,
    sha256: str = "",
) -> ReadLock:
    """The lock that a ``pylock.toml`` is, for the leg with these PEP 508 ``markers`` (all of them).

    ``groups`` are dependency groups; ``None`` means the file's own default ones. All files of a package that applies
    are kept by their hash, whether or not the leg's platform can use them: an installer chooses, a lock allows.
    Raises :class:`LockError` for a file that PEP 751 does not allow, or that is not meant for this leg.
    """
    lock = parsed_pylock(text, path)
    lines = _package_lines(text, len(lock.packages))
    numbers = {id(package): line for package, line in zip(lock.packages, lines, strict=True)}
    chosen = _selected(lock, path, markers, extras, groups)
    found = merged(((numbers[id(package)], _pin(package, path, numbers[id(package)])) for package in chosen), path)
    return ReadLock(
        lock=Lock(
            path=path,
            format="pylock",
            sha256=sha256 or text_digest(text),
            pins=tuple(sorted(pin for _, pin in found.values())),
        ),
        lines={name: line for name, (line, _) in found.items() if line},
        made=Made(tool=shown(lock.created_by), universal=True),
        notes=_notes(lock),
    )


def _notes(lock: Pylock) -> tuple[str, ...]:
    minor = lock.lock_version.minor
    return (f"lock-version 1.{minor} is newer than 1.0: what it adds is not looked at",) if minor else ()


def parsed_pylock(text: str, path: str) -> Pylock:
    """The file as ``packaging`` has it. Raises :class:`LockError` where PEP 751 does not allow it."""
    import logging

    from packaging.pylock import Pylock, PylockUnsupportedVersionError, PylockValidationError

    # It warns of a newer minor version by logging, which would land on standard error; a note says it instead.
    if not (logger := logging.getLogger("packaging.pylock")).handlers:
        logger.addHandler(logging.NullHandler())
    try:
        return Pylock.from_dict(tomllib.loads(text.removeprefix("\ufeff")))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise LockError(f"is not valid TOML: {shown(str(error))}", file=path) from error
    except PylockUnsupportedVersionError as error:
        raise LockError(shown(str(error)), hint="write it as lock-version 1.0", file=path) from error
    except PylockValidationError as error:
        raise LockError(f"is not what PEP 751 allows: {shown(str(error))}", hint="renew the lock", file=path) from error


def _selected(
    lock: Pylock,
    path: str,
    markers: Mapping[str, str],
    extras: Collection[str],
    groups: Collection[str] | None,
) -> list[Package]:
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
    from packaging.pylock import PylockSelectError

    require_all(markers)
    _known("extra", extras, lock.extras, path)
    _known("dependency group", groups or (), lock.dependency_groups, path)
    try:
        selected = lock.select(
            environment=cast("Environment", dict(markers)),
            tags=_every_tag(lock),
            extras=extras,
            dependency_groups=groups,
        )
        return [package for package, _ in selected]
    except PylockSelectError as error:
        raise LockError(
            f"does not fit this leg: {shown(str(error))}", hint="renew the lock for this Python", file=path
        ) from error
    except (UndefinedComparison, UndefinedEnvironmentName) as error:
        raise LockError(f"a marker has no meaning here: {shown(str(error))}", file=path) from error


def _known(kind: str, asked: Iterable[str], known: Iterable[str] | None, path: str) -> None:
    from packaging.utils import canonicalize_name

    names = {canonicalize_name(name) for name in known or ()}
    for name in asked:
        if canonicalize_name(name) not in names:
            raise LockError(f"was not made for the {kind} {name!r}", hint="renew the lock with it", file=path)


def _every_tag(lock: Pylock) -> list[Tag]:
    """The tags of all wheels in the file, so that selecting never asks what the machine that reads can install."""
    from packaging.utils import parse_wheel_filename

    wheels = [wheel for package in lock.packages for wheel in package.wheels or ()]
    return sorted({tag for wheel in wheels for tag in parse_wheel_filename(wheel.filename)[3]}, key=str)


def _pin(package: Package, path: str, line: int) -> Pin:
    version = str(package.version) if package.version else ""
    what = f"{package.name}=={version}" if version else package.name
    if package.vcs is not None:
        place, vcs = package.vcs.url or package.vcs.path or "", package.vcs
        folder = f"#subdirectory={vcs.subdirectory}" if vcs.subdirectory else ""
        location = plain_location(f"{vcs.type}+{place}@{vcs.commit_id}{folder}")
        return Pin(name=package.name, version=version, source="vcs", location=location)
    if package.directory is not None:
        return Pin(name=package.name, version=version, source="path", location=package.directory.path)
    if package.archive is not None:
        hashes = sha256_only(_pairs(package.archive.hashes), what=what, file=path, line=line)
        location = plain_location(package.archive.url or package.archive.path or "")
        kind: SourceKind = "url" if package.archive.url and not location.startswith("file:") else "path"
        return Pin(name=package.name, version=version, source=kind, location=location, hashes=hashes)
    files = [*(package.wheels or ()), *([package.sdist] if package.sdist else ())]
    hashes = tuple(
        sorted({h for file in files for h in sha256_only(_pairs(file.hashes), what=what, file=path, line=line)})
    )
    return Pin(name=package.name, version=version, hashes=hashes)


def _pairs(hashes: Mapping[str, str]) -> list[tuple[str, str]]:
    # PEP 751 asks for one hash at least, and a weak one beside SHA-256 does no harm: only what is relied on counts.
    return [(name, value) for name, value in hashes.items() if "sha256" not in hashes or name == "sha256"]


def _package_lines(text: str, count: int) -> list[int]:
    """The line of each ``[[packages]]``; zeros where the packages are written in another way."""
    found = [number for number, line in enumerate(text.splitlines(), start=1) if _PACKAGE.match(line)]
    return found if len(found) == count else [0] * count
