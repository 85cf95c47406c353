"""A conda lock in the normal form that all locks have. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.conda.lock_rules import commit_of, is_from_index
from ci_envs.locks.reading import file_pin, plain_location
from ci_envs.model.lock import Pin, SourceKind

if TYPE_CHECKING:
    from ci_envs.model.conda import CondaLock, LockedPackage

__all__ = ["pin_of", "to_pins"]

#: What conda-lock writes as the version of a distribution that only a build could tell.
UNKNOWN_VERSION = "0.0.0"


def to_pins(lock: CondaLock, platform: str, categories: tuple[str, ...] | None = None) -> tuple[Pin, ...]:
    """The pins of one platform, of some categories or of all; sorted."""
    return tuple(sorted(pin_of(package) for package in lock.of(platform, categories)))


def pin_of(package: LockedPackage) -> Pin:
    """conda packages come from a ``channel`` and carry their build; an MD5 is a hash only where there is no SHA-256.

    A channel's address enters no pin, and neither does an index's: the same lock is the same behind a mirror.
    """
    hashes = (f"sha256:{package.sha256}",) if package.sha256 else (f"md5:{package.md5}",) if package.md5 else ()
    if package.manager == "conda":
        return Pin(name=package.name, version=package.version, source="channel", build=package.build, hashes=hashes)
    if is_from_index(package):
        return Pin(name=package.name, version=package.version, hashes=hashes)
    return _pin_of_address(package, hashes)


def _pin_of_address(package: LockedPackage, hashes: tuple[str, ...]) -> Pin:
    location = plain_location(package.url)
    source: SourceKind = "vcs" if commit_of(package) else "path" if location.startswith("file:") else "url"
    known = file_pin(location)
    version = "" if package.version == UNKNOWN_VERSION else package.version
    if known is not None and known[0] == package.name:
        version = known[1]
    return Pin(name=package.name, version=version, source=source, location=location, hashes=hashes)
