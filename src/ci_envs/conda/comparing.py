"""What would be another in a lock that is made today, package by package. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.locks.insync import Stale

if TYPE_CHECKING:
    from ci_envs.model.conda import CondaLock, LockedPackage

__all__ = ["changes"]


def changes(old: CondaLock, new: CondaLock) -> tuple[Stale, ...]:
    """Each change by itself, with the platforms where it is one; empty where the two name the same files.

    Looked at are the platforms of ``new``. Two builds are the same where version and build are, and no hash that both
    locks have says otherwise.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for platform in new.platforms:
        before, after = _by_name(old, platform), _by_name(new, platform)
        for key in sorted(before.keys() | after.keys()):
            if said := _change(before.get(key), after.get(key)):
                found.setdefault((key[1], said), []).append(platform)
    is_one = len(new.platforms) == 1
    return tuple(
        Stale(
            code="unsatisfied",
            message=said if is_one else f"{said} ({', '.join(platforms)})",
            name=name,
            file=old.path,
        )
        for (name, said), platforms in found.items()
    )


def _by_name(lock: CondaLock, platform: str) -> dict[tuple[str, str], LockedPackage]:
    return {(package.manager, package.name): package for package in lock.of(platform)}


def _change(old: LockedPackage | None, new: LockedPackage | None) -> str:
    """A sentence; empty where nothing changes."""
    if new is None:
        return f"a solve of today leaves {_named(old)} out"
    if old is None:
        return f"a solve of today adds {_named(new)}"
    if (old.version, old.build) != (new.version, new.build):
        return f"{_named(old)} would be {_which(new)}"
    return f"{_named(old)} is another file today than the one that is locked" if _is_another_file(old, new) else ""


def _is_another_file(old: LockedPackage, new: LockedPackage) -> bool:
    """Of a distribution there are several files, and which of them a tool chooses is its own affair."""
    if old.manager == "pip" and old.url.rpartition("/")[2] != new.url.rpartition("/")[2]:
        return False
    return any(was and is_now and was != is_now for was, is_now in ((old.sha256, new.sha256), (old.md5, new.md5)))


def _named(package: LockedPackage | None) -> str:
    return f"{package.name} {_which(package)}" if package is not None else ""


def _which(package: LockedPackage) -> str:
    return f"{package.version} {package.build}".rstrip()
