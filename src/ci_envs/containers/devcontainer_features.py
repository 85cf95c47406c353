"""devcontainer-lock.json: which features are asked for, which bytes they are, and whether the two agree. Pure.

The file is the tool's own (``devcontainer upgrade``): https://containers.dev/implementors/spec/#lockfile
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from ci_envs.decoding import decode
from ci_envs.errors import LockError, UsageError
from ci_envs.locks.insync import Stale
from ci_envs.locks.reading import plain_location, shown
from ci_envs.model.lock import Pin

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "FeatureLock",
    "LockedFeature",
    "feature_name",
    "feature_pins",
    "locked_ids",
    "read_feature_lock",
    "renewed",
    "stale_features",
    "write_feature_lock",
]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_VERSION = re.compile(r"\d+(\.\d+){0,2}")


class LockedFeature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One feature as it was resolved."""

    version: str
    #: ``registry/path@sha256:...``, or the address of a tarball.
    resolved: str
    #: ``sha256:<hex>`` of the feature's manifest, or of the tarball.
    integrity: str
    #: The features that it brings, as it names them.
    depends_on: tuple[str, ...] = msgspec.field(default=(), name="dependsOn")


class FeatureLock(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file: an entry for each feature, by the name that it is asked for with."""

    features: dict[str, LockedFeature] = {}


def read_feature_lock(text: str, path: str) -> FeatureLock:
    """Reads the file. :class:`LockError` where it is none, or where a digest is no SHA-256."""
    try:
        # An empty file asks the tool to fill it.
        lock = decode(text, FeatureLock) if text.strip() else FeatureLock()
    except (msgspec.DecodeError, RecursionError) as error:
        raise LockError(f"cannot be read: {error}", file=path, hint="make it anew with: ci-envs lock") from error
    for asked, entry in lock.features.items():
        if not _DIGEST.fullmatch(entry.integrity):
            raise LockError(
                f"{shown(asked)} is locked with {shown(entry.integrity)!r}, which is no SHA-256",
                file=path,
                hint="the file was cut or edited: restore it or renew it",
            )
    return lock


def locked_ids(asked: Iterable[str], path: str) -> tuple[str, ...]:
    """The features that a lock must name: all but those that lie in the project.

    :class:`UsageError` for a name of old (``docker-in-docker``), which stands for another address on another day.
    """
    for name in asked:
        if "/" not in name:
            raise UsageError(
                f"the feature {shown(name)!r} has no address",
                file=path,
                hint=f"write ghcr.io/devcontainers/features/{shown(name)}, with a version",
            )
    return tuple(name for name in asked if not name.startswith(("./", "../", "/")))


def stale_features(asked: Iterable[str], lock: FeatureLock, path: str) -> tuple[Stale, ...]:
    """What of the features the lock does not satisfy, and what in it nobody asks for."""
    wanted = _closure(asked, lock)
    misfits = [(name, why) for name in wanted if (why := _misfit(name, lock.features.get(name)))]
    idle = [name for name in lock.features if name not in wanted]
    return (
        *(Stale(code="unsatisfied", message=why, name=feature_name(name), file=path) for name, why in misfits),
        *(Stale(code="unneeded", message=f"nothing asks for {shown(name)} any more", file=path) for name in idle),
    )


def _closure(asked: Iterable[str], lock: FeatureLock) -> dict[str, None]:
    """Those that are asked for, and those that they bring."""
    wanted: dict[str, None] = {}
    waiting = list(asked)
    while waiting:
        name = waiting.pop(0)
        if name not in wanted:
            wanted[name] = None
            entry = lock.features.get(name)
            waiting += entry.depends_on if entry else ()
    return wanted


def _misfit(name: str, entry: LockedFeature | None) -> str:
    """Why an entry cannot be what a name asks for; empty where it can."""
    if entry is None:
        return f"{shown(name)} is not in the lock"
    if name.startswith(("http://", "https://")):
        return "" if entry.resolved == name else f"{shown(name)} is locked as {shown(entry.resolved)}"
    where, _, digest = entry.resolved.partition("@")
    if where.lower() != feature_name(name).lower():
        return f"{shown(name)} is locked as {shown(entry.resolved)}"
    if digest != entry.integrity:
        return f"{shown(name)} is locked to two digests, {shown(digest)} and {entry.integrity}"
    if not _covers(name, entry):
        return f"{shown(name)} is locked to {shown(entry.version)}"
    return ""


def _covers(name: str, entry: LockedFeature) -> bool:
    """Whether the tag or digest of a name may stand for the locked version: ``:1`` stands for ``1.2.3``."""
    _, _, digest = name.partition("@")
    if digest:
        return digest == entry.integrity
    tag = _tag(name)
    if not _VERSION.fullmatch(tag):
        return True  # ``latest``, or none, is whatever it was that day
    return entry.version == tag or entry.version.startswith(f"{tag}.")


def _tag(name: str) -> str:
    """What follows the last colon after the last slash."""
    return name.rpartition("/")[2].partition("@")[0].partition(":")[2]


def feature_name(name: str) -> str:
    """``ghcr.io/devcontainers/features/git`` for the same with a tag or digest; a tarball's address as it is."""
    if name.startswith(("http://", "https://")):
        return plain_location(name)
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition('@')[0].partition(':')[0]}"


def feature_pins(lock: FeatureLock) -> tuple[Pin, ...]:
    """A pin for each feature."""
    return tuple(
        Pin(name=feature_name(name), version=entry.version, source="image", hashes=(entry.integrity,))
        for name, entry in lock.features.items()
    )


def renewed(asked: Iterable[str], old: FeatureLock, new: FeatureLock) -> FeatureLock:
    """A lock with the entries that still fit kept, and the others as they are resolved now."""
    pool = {**new.features, **{n: e for n, e in old.features.items() if not _misfit(n, e)}}
    wanted = _closure(asked, FeatureLock(features=pool))
    # The tool writes its own order and compares the file with it.
    order = [*new.features, *sorted(name for name in wanted if name not in new.features)]
    return FeatureLock(features={name: pool[name] for name in order if name in wanted and name in pool})


def write_feature_lock(lock: FeatureLock) -> str:
    """The file's text, as the tool writes it."""
    return msgspec.json.format(msgspec.json.encode(lock), indent=2).decode() + "\n"
