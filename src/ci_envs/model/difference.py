"""What differs between two records."""

from __future__ import annotations

from typing import Literal

import msgspec

from ci_envs.model.record import SCHEMA_VERSION, Finding

__all__ = ["Change", "Difference", "PackageChange"]

PackageChangeKind = Literal["added", "removed", "changed", "rebuilt"]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One named value on both sides; empty where a side has none."""

    name: str
    before: str
    after: str


class PackageChange(msgspec.Struct, frozen=True, kw_only=True):
    """One package. ``rebuilt``: the version is the same and the locked files are others."""

    name: str
    kind: PackageChangeKind
    #: ``dpkg``, ``apk`` or ``rpm``; empty for a package of Python or conda, which are what a lock names.
    manager: str = ""
    #: Versions; for ``rebuilt``, the locked hashes that only this side has, separated by blanks.
    before: str = ""
    after: str = ""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Two records side by side. Times are never compared: they always differ."""

    schema_version: Literal[1] = SCHEMA_VERSION
    #: The leg ids of the two.
    before: str
    after: str
    same: bool
    #: The leg, its status, Python, lock, environment and image.
    facts: tuple[Change, ...] = ()
    packages: tuple[PackageChange, ...] = ()
    tools: tuple[Change, ...] = ()
    #: How many tests passed, failed, were skipped.
    tests: tuple[Change, ...] = ()
    findings_new: tuple[Finding, ...] = ()
    findings_gone: tuple[Finding, ...] = ()
