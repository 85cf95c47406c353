"""Pattern ``uv``: uv.lock projects, requirements projects and pylock.toml, with uv itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci_envs import detect, trouble
from ci_envs.environments.scheme import Scheme
from ci_envs.errors import LockError
from ci_envs.locks.insync import Stale, in_sync
from ci_envs.locks.pylock import read_pylock
from ci_envs.locks.reading import ReadLock
from ci_envs.model.lock import Lock
from ci_envs.packages.installing import install_stored
from ci_envs.patterns import Contained, Tool
from ci_envs.patterns.installing import (
    environment,
    fail_build,
    fail_install,
    install_project,
    python_words,
    uv,
    uv_compile,
)
from ci_envs.patterns.pylock_file import lock_pylock
from ci_envs.patterns.requirement_locks import lock_requirements, stale_error, unsatisfied
from ci_envs.patterns.unsatisfied import tell_missing_extras
from ci_envs.selection import runtime_files, select

if TYPE_CHECKING:
    from ci_envs.environments import Environment
    from ci_envs.model.config import Config
    from ci_envs.model.detect import Evidence
    from ci_envs.model.leg import Leg
    from ci_envs.project import Project
    from ci_envs.selection import Selection
    from ci_envs.work import Work

__all__ = ["Uv"]

_INSTANT = re.compile(r'^exclude-newer = "([^"]+)"$', re.MULTILINE)
#: Of uv.lock, where its options stand.
_HEAD = 4000


class Uv:
    """uv, as its users run it: ``uv lock`` and ``uv sync``, or ``uv pip compile`` and ``uv pip sync``."""

    name = "uv"
    built = True
    brings_python = False
    contained: Contained = ""
    requires = (Tool(name="uv", get="pip install uv"),)

    def detect(self, project: Project) -> tuple[Evidence, ...]:
        """uv.lock, [tool.uv], pylock.toml, or any requirements."""
        return detect.evidence_for(self.name, project)

    def select(self, leg: Leg, project: Project, config: Config) -> Selection:
        """The runtime requirements, and those of the groups that the leg or its tests ask for."""
        return select(leg, project, config)

    def lock(self, leg: Leg, work: Work) -> Lock:
        """``uv.lock``, ``pylock.toml`` or a requirements lock, whichever the project keeps."""
        match lock_format(work):
            case "uv.lock":
                return _lock_uv_project(work)
            case "pylock":
                return lock_pylock(leg, work, _selected(work))
            case _:
                return lock_requirements(leg, work, uv_compile)

    def create(self, lock: Lock, work: Work) -> None:  # noqa: ARG002 - another pattern's depends on it
        """An empty virtual environment."""
        create = uv(work, "venv", "--no-project", "--python", work.interpreter.executable, work.prefix, network=False)
        fail_build(work, create, "uv venv")

    def build(self, leg: Leg, lock: Lock, work: Work) -> Environment:  # noqa: ARG002 - the protocol's signature
        """A virtual environment made and filled by uv."""
        self.create(lock, work)
        if install_stored(work, lock, Scheme.of(work.prefix).python):
            install_project(work)
            return environment(work)
        if lock.format == "uv.lock":
            outcome = uv(
                work,
                *("sync", "--frozen", "--exact", "--no-install-project", "--python", work.interpreter.executable),
                *_selected(work),
                env={"UV_PROJECT_ENVIRONMENT": str(work.prefix)},
            )
        else:
            demand = ("--require-hashes",) if lock.hashed and lock.format == "requirements" else ()
            outcome = uv(work, "pip", "sync", "--python", work.prefix, *demand, *lock.files)
        fail_install(work, outcome, lock)
        install_project(work)
        return environment(work)


def lock_format(work: Work) -> str:
    """Which lock the leg goes by: what is configured, else what the project keeps, else what it is described by.

    ``uv.lock`` holds one resolution, of what stands in pyproject.toml. A leg that asks for the lowest versions has a
    requirements lock of its own, and so has one whose tests' needs stand in requirement files, unless uv.lock is there.
    """
    asked, project = work.config.lock.format, work.project
    if asked != "auto":
        return asked
    if work.leg.resolution != "highest":
        return "requirements"
    if project.exists("uv.lock"):
        return "uv.lock"
    if project.exists("pylock.toml") and not project.exists("requirements.in"):
        return "pylock"
    if work.selection.beside:
        return "requirements"
    is_uv_project = bool(project.table("project")) and not runtime_files(project)
    return "uv.lock" if is_uv_project or project.table("tool", "uv") else "requirements"


def _selected(work: Work) -> list[str]:
    words = ["--no-default-groups"]
    words += [f"--group={name}" for name in work.selection.groups]
    words += [f"--extra={name}" for name in work.selection.extras]
    return words


def _lock_uv_project(work: Work) -> Lock:
    mode, exists = work.policy.mode, work.project.exists("uv.lock")
    if not exists and mode in ("locked", "frozen"):
        raise LockError(
            f"there is no lock for {work.leg.id}", hint=f"make it with: {work.lock_command()}", file="uv.lock"
        )
    # One writer at a time: the legs of a project share its uv.lock.
    with work.alone(f"project-{work.project_key}"):
        if mode == "update":
            _uv_lock(work, "--upgrade")
        elif not exists:
            _uv_lock(work)
        elif mode != "frozen" and (stale := _stale(work)):
            if mode == "locked":
                raise stale_error(work, stale)
            _uv_lock(work)
    if beside := work.selection.beside:
        work.find(
            "LOCK005",
            "warning",
            "not in uv.lock",
            f"{', '.join(beside)}: what it asks for is not installed, since uv.lock holds what "
            "pyproject.toml asks for; write it into [dependency-groups], or set lock: {format: requirements}",
            file=beside[0],
        )
    return _exported(work)


def _uv_lock(work: Work, *words: str) -> None:
    newer = ("--exclude-newer", work.policy.as_of) if work.policy.as_of else ()
    work.begins()
    before = work.project.path("uv.lock").read_bytes() if work.project.exists("uv.lock") else None
    outcome = uv(work, "lock", *python_words(work), *newer, *words)
    if not outcome:
        raise unsatisfied(work, outcome, whole_project=True)
    tell_missing_extras(work, outcome)
    work.project.forget("uv.lock")
    if before is None:
        work.find("LOCK003", "info", "lock made", "uv.lock was made: commit it", file="uv.lock")
    elif before != work.project.path("uv.lock").read_bytes():
        work.find("LOCK003", "info", "lock renewed", "uv.lock was renewed: commit it", file="uv.lock")


def _stale(work: Work) -> tuple[Stale, ...]:
    """What uv.lock no longer satisfies; empty where uv itself, which resolves again with every pin kept, is content.

    The network is asked only where nothing else can tell: uv without it, and what the pins say.
    """
    words = ("lock", "--check", *python_words(work), *_own_instant(work))
    offline = uv(work, *words, "--offline", network=False)
    if offline:
        return ()
    stale = _unsatisfied(work)
    if not stale and "needs to be updated" not in offline.output and uv(work, *words):
        return ()
    return stale or (Stale(code="unsatisfied", message="uv would resolve uv.lock to something else", file="uv.lock"),)


def _own_instant(work: Work) -> tuple[str, ...]:
    """The instant that uv.lock says it was made up to: uv calls a lock stale that was made up to another one.

    What pyproject.toml says of it is uv's to compare.
    """
    told = "exclude-newer" in work.project.table("tool", "uv")
    found = None if told else _INSTANT.search(work.project.text("uv.lock") or "", 0, _HEAD)
    return ("--exclude-newer", found[1]) if found else ()


def _unsatisfied(work: Work) -> tuple[Stale, ...]:
    """By the pins alone; nothing where they cannot tell."""
    if work.project.table("tool", "uv").get("override-dependencies"):
        return ()
    try:
        lock = _exported(work)
    except LockError:  # a group that the lock does not know yet
        return ()
    return in_sync(ReadLock(lock=lock), lock.direct, markers=work.interpreter.markers).stale


def _exported(work: Work) -> Lock:
    """The pins of uv.lock that apply to this leg, as uv itself selects them."""
    outcome = uv(
        work,
        *("export", "--frozen", "--quiet", "--format", "pylock.toml", "--no-header", "--no-emit-project"),
        *python_words(work),
        *_selected(work),
        network=False,
    )
    if not outcome:
        raise LockError(f"uv.lock cannot be read: {trouble.reason(outcome)}", file="uv.lock")
    read = read_pylock(outcome.stdout, path="uv.lock", markers=work.interpreter.markers)
    return Lock(
        path="uv.lock",
        format="uv.lock",
        sha256=work.file_digest("uv.lock"),
        pins=read.lock.pins,
        direct=work.direct,
    )
