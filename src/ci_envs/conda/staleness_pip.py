"""The ``pip:`` part of a conda lock against its lines, judged as every other lock is, beside what conda brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.conda.lock_pins import pin_of
from ci_envs.conda.lock_rules import need
from ci_envs.conda.pip_part import brought_by_conda, is_the_project
from ci_envs.conda.targets import target
from ci_envs.locks.insync import in_sync
from ci_envs.locks.reading import ReadLock
from ci_envs.model.conda import PLATFORMS
from ci_envs.model.lock import Lock, Pin, Requirement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_envs.locks.insync import Stale
    from ci_envs.model.conda import CondaLock, LockedPackage, PipLine

__all__ = ["stale_pip"]


def stale_pip(
    lock: CondaLock,
    locked: Sequence[LockedPackage],
    lines: Sequence[PipLine],
    *,
    platform: str,
    virtual: Mapping[str, str],
) -> list[Stale]:
    """What the distributions among ``locked``, and those that its conda packages bring, do not meet.

    Lines that name files or folders (``-r``, ``-e``, ``./x``) are not judged. With one of them, or in a lock that does
    not know what extras bring, no distribution is called unneeded.
    """
    python = next((one for one in locked if one.manager == "conda" and one.name == "python"), None)
    if python is None or platform not in PLATFORMS:
        return []
    added = {one.name: one for one in locked if one.manager == "pip"}
    beside = {name: version for name, version in _beside(lock, locked).items() if name not in added}
    pins = [pin_of(one) for one in added.values()]
    pins += [Pin(name=name, version=_comparable(version)) for name, version in beside.items()]
    direct = [one for line in lines if (one := _requirement(line)) is not None]
    is_whole = lock.format == "conda-lock" and len(direct) == sum(not is_the_project(line) for line in lines)
    known = {pin.name for pin in pins}
    verdict = in_sync(
        ReadLock(lock=Lock(path=lock.path, format=lock.format, sha256="", pins=tuple(sorted(pins)))),
        direct,
        markers=target(platform, python.version, python.build, virtual).markers,
        metadata={name: _needs(added[name], known) if name in added else () for name in known},
    )
    return [one for one in verdict.stale if one.code != "unneeded" or (is_whole and one.name in added)]


def _beside(lock: CondaLock, locked: Sequence[LockedPackage]) -> dict[str, str]:
    """The distributions that conda packages bring; without dependencies, any package may bring the one of its name."""
    if lock.format != "explicit":
        return brought_by_conda(locked)
    from packaging.utils import canonicalize_name

    return {canonicalize_name(one.name): one.version for one in locked if one.manager == "conda"}


def _comparable(version: str) -> str:
    """A version as Python's tools compare it; empty, which any requirement takes, where they cannot."""
    from packaging.version import InvalidVersion, Version

    try:
        return str(Version(version))
    except InvalidVersion:
        return ""


def _requirement(line: PipLine) -> Requirement | None:
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Parsed

    text = line.text.strip()
    try:
        name = Parsed(text).name
    except InvalidRequirement:
        return None
    return Requirement(text=text, name=name, file=line.file, line=line.line)


def _needs(package: LockedPackage, known: set[str]) -> list[str]:
    """What a distribution needs, as PEP 508 spells it; versions in Poetry's own spelling are left out.

    A name without a version was written by ci-envs, which knows what conda brings: it has to be there. conda-lock
    knows further names of conda packages, so what it names with a version, and is not found, may be one of these.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    for text in package.depends:
        name, said = need(text)
        if said and name not in known:
            continue
        try:
            found.append(str(Requirement(f"{name} {said.removeprefix('*')}")))
        except InvalidRequirement:
            found.append(name)
    return found
