"""What a run asks of one leg, and making ready for it: pattern, evidence, interpreter, selection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_envs import interpreters, machine
from ci_envs.errors import BrokenError, Skip, UsageError
from ci_envs.model.leg import CONTAINED
from ci_envs.patterns.registry import ALL_PATTERNS
from ci_envs.project import Project
from ci_envs.pythons import download_python
from ci_envs.work import LockPolicy, Work

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_envs.content import HashCache
    from ci_envs.layout import Layout
    from ci_envs.model.config import Config
    from ci_envs.model.detect import Evidence
    from ci_envs.model.inventory import Interpreter
    from ci_envs.model.leg import Leg
    from ci_envs.model.record import JobFacts, StageName
    from ci_envs.patterns import Pattern

__all__ = ["Order", "prepare"]


@dataclass(frozen=True, slots=True)
class Order:
    """One leg with everything that was decided for it before it runs."""

    leg: Leg
    config: Config
    policy: LockPolicy
    layout: Layout
    environ: Mapping[str, str]
    stages: frozenset[StageName]
    hashes: HashCache
    #: The command that makes this leg again.
    reproduce: str = ""
    #: How many processes this leg may keep busy at once.
    workers: int = 1
    #: Builds anew even where nothing has changed.
    fresh: bool = False
    #: Reads every byte of a kept environment again, not only the files' sizes and times.
    deep: bool = False
    #: Whether an environment that is not what it should be is built anew, or told of.
    repair: bool = True
    #: Whether the record is written.
    recorded: bool = True
    #: The job of a CI system that it runs in.
    job: JobFacts | None = None
    #: The file that keeps a built image as an archive.
    archive: Path | None = None
    #: Whether a generated Dockerfile is written into the project.
    keep_dockerfile: bool = False

    @property
    def project_folder(self) -> Path:
        """The leg's project."""
        return self.layout.root / self.leg.project


def prepare(order: Order) -> tuple[Pattern, Work, tuple[Evidence, ...]]:
    """Everything that a leg needs before its lock.

    Raises :class:`Skip` for another machine's leg and for a Python that is not here, :class:`BrokenError` for a
    pattern that cannot be built yet, :class:`UsageError` where the project does not describe the pattern.
    """
    leg = order.leg
    pattern = ALL_PATTERNS[leg.pattern]
    _refuse_other_machines(leg)
    if not pattern.built:
        raise BrokenError(f"pattern {leg.pattern} is not built yet by this version of ci-envs")
    project = Project(order.project_folder, leg.project)
    evidence = pattern.detect(project)
    if not evidence:
        raise UsageError(
            f"nothing in {leg.project!r} describes a {leg.pattern} environment",
            hint=f"ci-envs detect --project {leg.project} says what is described",
        )
    interpreter = _interpreter(order, pattern)
    _refuse_unwanted_python(project, interpreter)
    work = Work(
        leg=leg,
        project=project,
        config=order.config,
        layout=order.layout,
        interpreter=interpreter,
        selection=pattern.select(leg, project, order.config),
        policy=order.policy,
        environ=order.environ,
        reproduce=order.reproduce,
        stage="detect",
        anew=order.fresh,
        archive=order.archive,
        keep_dockerfile=order.keep_dockerfile,
    )
    return pattern, work, evidence


def _refuse_other_machines(leg: Leg) -> None:
    here = machine.facts()
    # Containers are Linux's on every machine.
    os = "linux" if leg.pattern in CONTAINED else here.os
    if (leg.os, leg.arch) != (os, here.arch):
        raise Skip(f"this machine is {here.os}-{here.arch}, the leg is {leg.platform}")


def _refuse_unwanted_python(project: Project, interpreter: Interpreter) -> None:
    """A Python outside of ``requires-python`` is said at once, and not by a resolver minutes later."""
    wanted = project.table("project").get("requires-python")
    if not isinstance(wanted, str):
        return
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        version = interpreter.markers.get("python_full_version", interpreter.version)
        fits = SpecifierSet(wanted).contains(version, prereleases=True)
    except InvalidSpecifier as error:
        raise UsageError(
            f"project.requires-python is {wanted!r}, which is no specifier", file="pyproject.toml"
        ) from error
    if not fits:
        raise UsageError(
            f"project.requires-python is {wanted!r}, and this leg has Python {interpreter.version}",
            file="pyproject.toml",
            hint="exclude the leg from the matrix, with a reason",
        )


def _interpreter(order: Order, pattern: Pattern) -> Interpreter:
    leg = order.leg
    if pattern.brings_python:
        from ci_envs.conda.targets import asked_interpreter

        return asked_interpreter(leg)
    found = interpreters.find_interpreter(leg.python, arch=leg.arch, environ=order.environ)
    if found is None and leg.pattern == "uv" and order.config.uv.python_downloads and not order.policy.offline:
        download_python(leg.python, order.environ, order.layout.log(leg.id, "detect"))
        found = interpreters.find_interpreter(leg.python, arch=leg.arch, environ=order.environ)
    if found is None:
        raise Skip(interpreters.missing_python(leg.python))
    return found
