"""The lock of a conda leg: where it lies, whether it is in sync, and making it anew.

A project has one ``conda-lock.yml`` where its intent says which Python; else each Python has a lock of its own, and so
has each accelerator. All front ends share them: a lock is made for platforms, and not for a tool.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from ci_envs.conda.asked import Asked, read_asked
from ci_envs.conda.lock_pins import to_pins
from ci_envs.conda.lock_reading import findings_of, read_lock
from ci_envs.conda.pip_part import resolve_pip
from ci_envs.conda.targets import platform_of, target
from ci_envs.errors import LockError
from ci_envs.layout import write_atomically
from ci_envs.locks.insync import Stale
from ci_envs.model.conda import CondaLock
from ci_envs.model.lock import Lock
from ci_envs.patterns.requirement_locks import stale_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_envs.model.conda import LockedPackage
    from ci_envs.model.leg import Leg
    from ci_envs.work import Work

__all__ = ["installed_packages", "lock_conda", "lock_path", "read"]

#: Where conda-lock writes, and where the tools that read its format look.
PROJECT_LOCK = "conda-lock.yml"


def lock_path(leg: Leg) -> str:
    """``locks/conda-py312-cuda12.conda-lock.yml``: one for each Python, accelerator and resolution.

    micromamba takes a file for a lock by the end of its name, ``-lock.yml``.
    """
    words = ["conda", leg.python_tag]
    words += [leg.accelerator] if leg.accelerator != "cpu" else []
    words += [leg.resolution] if leg.resolution != "highest" else []
    return f"locks/{'-'.join(words)}.conda-lock.yml"


def lock_conda(leg: Leg, work: Work) -> Lock:
    """The leg's lock as the policy asks: checked, made, renewed or taken as it is."""
    asked, platform, mode = read_asked(leg, work), platform_of(leg), work.policy.mode
    path = _existing(leg, work, asked)
    if not path and mode in ("locked", "frozen"):
        raise LockError(
            f"there is no lock for {leg.id}",
            file=_new(leg, asked),
            hint=f"make it with: {work.lock_command()}",
        )
    with work.alone(f"project-{work.project_key}"):
        path = path or _existing(leg, work, asked)  # another leg may have made it by now
        lock = read(work, path) if path else None
        stale = [] if lock is None or mode in ("frozen", "update") else judge(asked, lock, platform)
        if stale and mode == "locked":
            raise stale_error(work, stale)
        if lock is None or stale or mode == "update":
            path = _make(leg, work, asked, lock)
            lock = read(work, path)
            if stale := judge(asked, lock, platform):
                raise stale_error(work, stale)
    work.findings += [*asked.intent.findings, *findings_of(lock)]
    return Lock(
        path=path,
        format=lock.format,
        sha256=work.file_digest(path),
        pins=to_pins(lock, platform, asked.categories),
        direct=work.direct,
    )


def read(work: Work, path: str) -> CondaLock:
    """A lock file of the project; read once for each text that it has had."""
    text = work.project.text(path)
    if text is None:
        raise LockError("there is no such lock", file=path)
    known = work.conda_locks.get(path)
    if known is None or known[0] != text:
        known = text, read_lock(text, path=path)
        work.conda_locks[path] = known
    return known[1]


def installed_packages(leg: Leg, work: Work, lock: Lock) -> tuple[LockedPackage, ...]:
    """What a build installs: the packages of the leg's platform and categories, in the lock's order."""
    return read(work, lock.path).of(platform_of(leg), read_asked(leg, work).categories)


def judge(asked: Asked, lock: CondaLock, platform: str) -> list[Stale]:
    """What of the intent a lock does not satisfy on one platform; nothing is solved and nobody is asked."""
    from ci_envs.conda.staleness import stale

    return list(
        stale(
            lock,
            specs=asked.specs(platform),
            pip=asked.pip(platform),
            platform=platform,
            categories=None,
            virtual=asked.virtual(platform),
            channels=asked.channel_names if asked.intent.files else None,
        )
    )


def _existing(leg: Leg, work: Work, asked: Asked) -> str:
    """The lock that the leg goes by: its own, else the project's where that is for this Python; empty for none."""
    own, platform = lock_path(leg), platform_of(leg)
    if work.project.exists(own):
        return own
    if leg.accelerator != "cpu" or leg.resolution != "highest":
        return ""
    for name in (PROJECT_LOCK, "conda-lock.yaml", f"conda-{platform}.lock", "pixi.lock"):
        if work.project.exists(name) and _fits(read(work, name), leg, asked):
            return name
    return ""


def _fits(lock: CondaLock, leg: Leg, asked: Asked) -> bool:
    """Whether a lock is for the leg's Python: it has it, or has no packages yet for this platform and could."""
    platform = platform_of(leg)
    pythons = {p.version for p in lock.packages if p.name == "python" and p.manager == "conda"}
    of_this = {p.version for p in lock.of(platform) if p.name == "python" and p.manager == "conda"}
    wanted = leg.python.removesuffix("t")
    return all(f"{version}.".startswith(f"{wanted}.") for version in of_this or pythons) or asked.pins_python


def _new(leg: Leg, asked: Asked) -> str:
    is_the_projects = asked.pins_python and leg.accelerator == "cpu" and leg.resolution == "highest"
    return PROJECT_LOCK if is_the_projects else lock_path(leg)


def _make(leg: Leg, work: Work, asked: Asked, old: CondaLock | None) -> str:
    """Locks every platform that the file is for, and writes it; its path."""
    if not asked.intent.files:
        raise LockError(
            f"there is nothing that {old.path if old else 'a lock'} could be made from: no environment.yml",
            file=old.path if old else "",
            hint="write an environment.yml, or let the tool that made the lock renew it",
        )
    work.begins()
    path = old.path if old is not None and old.format == "conda-lock" else _new(leg, asked)
    new = _solved(leg, work, asked, old, path)
    from ci_envs.conda.lock_writing import write_conda_lock

    text, before = write_conda_lock(new), work.project.text(path)
    if text != before:
        write_atomically(work.project.path(path), text.encode())
        work.project.forget(path)
        verb = "renewed" if before is not None else "made"
        work.find("LOCK003", "info", f"lock {verb}", f"{path} was {verb}: commit it", file=path)
    return path


def _platforms(leg: Leg, work: Work, asked: Asked, old: CondaLock | None) -> tuple[str, ...]:
    """Those that are configured, else that the intent names, else that the file has; and the leg's own."""
    named = work.config.lock.platforms or asked.intent.platforms or (old.platforms if old else ())
    return tuple(sorted({*named, platform_of(leg)}))


def _solved(leg: Leg, work: Work, asked: Asked, old: CondaLock | None, path: str) -> CondaLock:
    packages: list[LockedPackage] = []
    platforms = _platforms(leg, work, asked, old)
    if work.config.conda.locker == "conda-lock":
        from ci_envs.conda.conda_lock_tool import lock_with_conda_lock

        return lock_with_conda_lock(work, asked, platforms, path=path, old=old)
    for platform in platforms:
        packages += _solved_platform(work, asked, old, platform)
    return CondaLock(
        path=path,
        format="conda-lock",
        packages=tuple(packages),
        platforms=platforms,
        channels=asked.channel_names,
        # As conda-lock writes them: relative to the lock.
        sources=tuple(posixpath.relpath(name, posixpath.dirname(path) or ".") for name in asked.intent.files),
        content_hash={platform: asked.content_hash(platform) for platform in platforms},
    )


def _solved_platform(work: Work, asked: Asked, old: CondaLock | None, platform: str) -> tuple[LockedPackage, ...]:
    from ci_envs.conda.solving import SolveRequest, solve

    kept = () if old is None or work.policy.mode == "update" else old.of(platform)
    conda = solve(
        SolveRequest(
            platform=platform,
            specs=tuple(map(asked.unmasked, asked.specs(platform))),
            channels=asked.channels,
            settings=asked.settings,
            virtual=asked.virtual_list(platform),
            kept=tuple(p for p in kept if p.manager == "conda"),
            as_of=work.policy.as_of,
            resolution=work.leg.resolution,
            offline=work.policy.offline,
        ),
        work,
    )
    python = next((p for p in conda if p.name == "python"), None)
    if python is None:
        raise LockError(f"the solve for {platform} holds no Python", file=asked.intent.files[0])
    pip = resolve_pip(
        work,
        tuple(map(asked.unmasked, asked.pip(platform))),
        target(platform, python.version, python.build, asked.virtual(platform)),
        conda,
        kept={p.name: p.version for p in kept if p.manager == "pip"},
        canonical=asked.canonical,
    )
    return (*conda, *pip)


def resolve_anew(leg: Leg, work: Work, lock: Lock) -> Sequence[Stale]:
    """What a full solve that keeps its pins would change: what judging without one cannot see."""
    asked, platform, old = read_asked(leg, work), platform_of(leg), read(work, lock.path)
    before = {(p.manager, p.name): p for p in old.of(platform)}
    after = {(p.manager, p.name): p for p in _solved_platform(work, asked, old, platform)}
    return [
        _changed(lock.path, before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if _identity(before.get(key)) != _identity(after.get(key))
    ]


def _identity(package: LockedPackage | None) -> tuple[str, ...]:
    return () if package is None else (package.version, package.build, package.sha256)


def _changed(path: str, old: LockedPackage | None, new: LockedPackage | None) -> Stale:
    found = old or new
    assert found is not None  # noqa: S101 - the key came from one of the two
    if new is None:
        message = f"{path}: a solve of today leaves {found.name} out"
    elif old is None:
        message = f"{path}: a solve of today adds {new.name} {new.version} {new.build}".rstrip()
    elif (old.version, old.build) == (new.version, new.build):
        message = f"{path}: {old.name} {old.version} {old.build} is another file today than the one that is locked"
    else:
        message = f"{path}: {old.name} {old.version} {old.build} would be {new.version} {new.build}".rstrip()
    return Stale(code="unsatisfied", message=message, name=found.name, file=path)
