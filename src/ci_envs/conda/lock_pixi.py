"""``pixi.lock``, read by rattler: the packages of its default environment."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_envs.conda.engine import require_rattler
from ci_envs.conda.lock_reading import UNDERSTOOD
from ci_envs.conda.lock_rules import Entry, plain_address, together
from ci_envs.conda.lock_yaml import load_lock_yaml
from ci_envs.errors import LockError
from ci_envs.locks.reading import shown
from ci_envs.model.conda import CondaLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["read_pixi"]

_VERSIONS = (4, 5, 6, 7)
_ENVIRONMENT = "default"
# ``conda_source`` and paths are built, or taken from the folder as it is now: no hash says which bytes were meant.
_PROJECT = re.compile(r"\.?/?")


def read_pixi(text: str, *, path: str) -> CondaLock:
    """The default environment of a ``pixi.lock``. The project itself is left out, since it is installed apart.

    Raises :class:`LockError` for what rattler cannot read, a lock without that environment, and for packages that
    no hash can hold: folders, and packages that are built from their sources.
    """
    data = _checked(text, path)
    require_rattler()
    lock = _parsed(text, path)
    environment = lock.environment(_ENVIRONMENT)
    if environment is None:
        named = shown(", ".join(sorted(name for name, _ in lock.environments()))) or "none"
        raise LockError(f"has no environment {_ENVIRONMENT!r}; it has {named}", file=path)
    by_platform = {str(platform.subdir): found for platform, found in environment.packages_by_platform().items()}
    if len(by_platform) < len(environment.packages_by_platform()):
        raise LockError("has two lists of packages for one platform of conda's", file=path)
    found = together(_entries(by_platform, path), path)
    return CondaLock(
        path=path,
        format="pixi",
        packages=tuple(sorted(found.packages, key=lambda one: (one.manager, one.name, one.platform))),
        platforms=tuple(sorted({*by_platform, *_platforms(data)})),
        channels=tuple(plain_address(str(channel))[0].rstrip("/") for channel in environment.channels()),
        findings=found.findings,
    )


def _checked(text: str, path: str) -> Mapping[str, Any]:
    """Its data, for what rattler would only say in its own words: it names no lines."""
    data = load_lock_yaml(text, path=path).data
    if not isinstance(data, dict) or not isinstance(data.get("environments"), dict):
        raise LockError("is no pixi.lock: it holds no environments", file=path, line=1)
    if data.get("version") not in _VERSIONS:
        said = "says no version" if "version" not in data else f"is of version {str(data['version'])[:20]}"
        raise LockError(f"{said}; {UNDERSTOOD} understood", hint="let pixi renew it", file=path, line=1)
    return data


def _platforms(data: Mapping[str, Any]) -> list[str]:
    """Those that the default environment names, with packages or without."""
    named = data["environments"].get(_ENVIRONMENT)
    lists = named.get("packages") if isinstance(named, dict) else None
    of = {
        one["name"]: one.get("subdir", one["name"])
        for one in data.get("platforms", ())
        if isinstance(one, dict) and isinstance(one.get("name"), str)
    }
    return [str(of.get(name, name)) for name in lists or ()]


def _parsed(text: str, path: str) -> Any:
    import rattler
    from rattler.exceptions import ParseCondaLockError

    # rattler reads a lock from a file only.
    with tempfile.TemporaryDirectory(prefix="ci-envs-") as folder:
        file = Path(folder) / "pixi.lock"
        file.write_text(text, encoding="utf-8")
        try:
            return rattler.LockFile.from_path(file)
        except (ParseCondaLockError, OSError, ValueError) as error:
            raise LockError(f"cannot be read: {shown(str(error).replace(folder, ''))}", file=path) from error


def _entries(by_platform: Mapping[str, list[Any]], path: str) -> Iterator[Entry]:
    for platform in sorted(by_platform):
        python = next((str(one.version) for one in by_platform[platform] if one.name == "python"), "")
        for package in by_platform[platform]:
            kind = type(package).__name__
            location = package.location.removeprefix("direct+")
            if kind == "PypiLockedPackage" and _PROJECT.fullmatch(location):
                continue
            if kind == "CondaLockedSourcePackage" or "://" not in location:
                raise LockError(
                    f"{shown(package.name)} comes from {plain_address(location)[0][:100]!r}, which no hash holds",
                    hint="a lock that is built from elsewhere can hold files of channels and of indexes",
                    file=path,
                )
            is_conda = kind == "CondaLockedBinaryPackage"
            yield _conda(package, platform) if is_conda else _pypi(package, platform, location, python)


def _conda(package: Any, platform: str) -> Entry:
    record = package.package_record
    return Entry(
        name=record.name.normalized,
        version=str(record.version),
        manager="conda",
        platform=platform,
        url=package.location,
        md5=record.md5.hex() if record.md5 else None,
        sha256=record.sha256.hex() if record.sha256 else None,
        depends=record.depends,
    )


def _pypi(package: Any, platform: str, location: str, python: str) -> Entry:
    try:
        hashes = package.hashes
        md5, sha256 = hashes.md5, hashes.sha256
    except AttributeError:  # py-rattler 0.28 has no answer where there are none
        md5, sha256 = None, None
    return Entry(
        name=package.name,
        version=package.version or "",
        manager="pip",
        platform=platform,
        url=location,
        md5=md5.hex() if md5 else None,
        sha256=sha256.hex() if sha256 else None,
        depends=_applying(package.requires_dist, platform, python),
    )


def _applying(lines: list[str], platform: str, python: str) -> list[str]:
    """The requirements of a distribution that hold on a platform, without their markers and extras."""
    from packaging.requirements import InvalidRequirement, Requirement

    from ci_envs.conda.targets import target
    from ci_envs.locks.reading import applies
    from ci_envs.model.conda import PLATFORMS

    kept = []
    for line in lines:
        try:
            one = Requirement(line)
        except InvalidRequirement:
            continue
        if one.marker is not None and (platform not in PLATFORMS or not python):
            continue
        if one.marker is None or applies(one.marker, target(platform, python).markers):
            kept.append(f"{one.name} {one.specifier}")
    return kept
