"""A conda lock made anew, for every platform that the file is for; nothing is written here."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from ci_envs.conda.pip_part import resolve_pip
from ci_envs.conda.targets import platform_of, target
from ci_envs.error_findings import error_finding
from ci_envs.errors import LockError, UsageError
from ci_envs.model.conda import PLATFORMS, CondaLock, MatchLine
from ci_envs.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_envs.conda.asked import Asked
    from ci_envs.conda.solving import SolveRequest
    from ci_envs.model.conda import LockedPackage
    from ci_envs.work import Work

__all__ = ["left_out", "new_lock", "platforms_for"]


def platforms_for(work: Work, asked: Asked, old: CondaLock | None) -> tuple[str, ...]:
    """The platforms of a lock: those that are configured, else that the intent names, else that the file has; and the
    leg's own.

    Raises :class:`UsageError` for a configured one that conda does not have.
    """
    configured = work.config.lock.platforms
    for name in configured:
        if name not in PLATFORMS:
            raise UsageError(
                f"lock.platforms names {name!r}, and no lock is made for that{nearest(name, PLATFORMS)}",
                hint=f"locks are made for {', '.join(PLATFORMS)}",
            )
    named = configured or asked.intent.platforms or (old.platforms if old else ())
    return tuple(sorted({*(name for name in named if name in PLATFORMS), platform_of(work.leg)}))


def left_out(old: CondaLock | None) -> tuple[str, ...]:
    """The platforms of a lock that another tool made, and that no lock is made for here."""
    return tuple(name for name in old.platforms if name not in PLATFORMS) if old is not None else ()


def new_lock(
    work: Work, asked: Asked, old: CondaLock | None, path: str, *, platforms: tuple[str, ...] = (), bare: bool = True
) -> CondaLock:
    """What a solve of today comes to; packages of ``old`` stay where they fit, unless the policy is ``update``.

    ``platforms`` are those of the file where none are given. Not ``bare``: a pip that nobody asks for, and that the
    old lock has beside its Python, stays, as conda and conda-lock put it there.
    """
    platforms = platforms or platforms_for(work, asked, old)
    before = None if work.policy.mode == "update" else old
    kept = {platform: before.of(platform) if before else () for platform in platforms}
    try:
        conda = _solved(work, [_request(work, asked, platform, kept[platform], bare=bare) for platform in platforms])
    except LockError as error:
        _tell(error, work)
        raise
    packages: list[LockedPackage] = []
    for platform in platforms:
        packages += (*conda[platform], *_pip(work, asked, platform, conda[platform], kept[platform]))
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


def _tell(error: LockError, work: Work) -> None:
    """What to run when it is mended, and a finding at each further line of a conflict."""
    command = f"then run {work.lock_command()}"
    error.hint = f"{error.hint}, {command}" if error.hint else f"change what is asked for, {command}"
    if found := error_finding(error, work.leg.id, work.findings):
        work.findings.append(found)
    from ci_envs.conda.explaining import ConflictError  # py-rattler's words: who solves with it has it

    for line in error.also if isinstance(error, ConflictError) else ():
        message = f"{line.text} takes part in what {error.file}:{error.line} cannot be met with"
        work.find("LOCK041", "warning", error.title, message, file=line.file, line=line.line)


def _request(work: Work, asked: Asked, platform: str, kept: tuple[LockedPackage, ...], *, bare: bool) -> SolveRequest:
    from ci_envs.conda.solving import SolveRequest

    before = tuple(package for package in kept if package.manager == "conda")
    specs = asked.specs(platform)
    if not bare and any(package.name == "pip" for package in before) and all(spec.name != "pip" for spec in specs):
        specs = (*specs, MatchLine(text="pip", name="pip"))
    return SolveRequest(
        platform=platform,
        specs=tuple(map(asked.unmasked, specs)),
        channels=asked.channels,
        settings=asked.settings,
        virtual=asked.virtual_list(platform),
        kept=before,
        as_of=work.policy.as_of,
        resolution=work.leg.resolution,
        offline=work.policy.offline,
    )


def _solved(work: Work, requests: Sequence[SolveRequest]) -> Mapping[str, tuple[LockedPackage, ...]]:
    """The conda packages of each platform. conda-lock keeps no pins, so it has no say in whether a lock still holds."""
    if work.config.conda.locker == "conda-lock" and not work.policy.solve:
        from ci_envs.conda.conda_lock_tool import solve_with_conda_lock

        return solve_with_conda_lock(requests, work)
    from ci_envs.conda.solving import solve

    return {request.platform: solve(request, work) for request in requests}


def _pip(
    work: Work,
    asked: Asked,
    platform: str,
    conda: tuple[LockedPackage, ...],
    kept: tuple[LockedPackage, ...],
) -> tuple[LockedPackage, ...]:
    python = next((package for package in conda if package.name == "python"), None)
    if python is None:
        raise LockError(f"the solve for {platform} holds no Python", file=asked.intent.files[0])
    return resolve_pip(
        work,
        tuple(map(asked.unmasked, asked.pip(platform))),
        target(platform, python.version, python.build, asked.virtual(platform)),
        conda,
        kept={package.name: package.version for package in kept if package.manager == "pip"},
        canonical=asked.canonical,
    )
