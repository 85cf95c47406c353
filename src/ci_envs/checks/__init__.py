"""The health check: one small class per check, the same for every pattern.

A check never asks what made the environment. It gets a :class:`Context` and yields findings; none is good news.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ci_envs.checks.accelerator import AcceleratorIsVisible
from ci_envs.checks.commands import OwnCheckPasses
from ci_envs.checks.conda import (
    ActivationIsWhole,
    ChannelsAreNotMixed,
    CondaDependenciesAreMet,
    ManagersDoNotOverlap,
    PipHasWhatCondaHas,
)
from ci_envs.checks.cuda import CudaPartsAgree, DriverIsNewEnough
from ci_envs.checks.imports import DirectDependenciesImport
from ci_envs.checks.installed import DeclaredIsInstalled, ExpectedVersions, InstalledEqualsLocked, MetadataIsConsistent
from ci_envs.checks.interpreter import InterpreterIsTheOneAskedFor
from ci_envs.checks.leftovers import NothingLeftInTemp
from ci_envs.checks.libraries import LibrariesAreFound
from ci_envs.checks.lockfile import LockIsSafe

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ci_envs.environments import Environment
    from ci_envs.model.config import CheckConfig
    from ci_envs.model.inventory import Inventory
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.model.record import Finding
    from ci_envs.project import Project

__all__ = ["ALL_CHECKS", "FACTS", "Check", "Context", "advice_for", "run_checks"]

#: What checks may put into a record's ``extra``: the CUDA that packages are for with the driver that it needs, and how
#: many shared objects were read with the libraries that were not found.
FACTS = ("cuda", "libraries")


@dataclass(frozen=True, slots=True)
class Context:
    """What a check may look at."""

    leg: Leg
    lock: Lock
    inventory: Inventory
    environment: Environment
    config: CheckConfig
    project: Project
    #: Normalised names that are there beside the lock: what the environment was seeded with, and the project itself.
    seeds: frozenset[str]
    own: frozenset[str]
    #: The TMPDIR that the build and the checks were given.
    temp: Path
    log: Path
    #: How many processes a check may run at once.
    workers: int
    #: What each check had to leave out, for the stage's reason: ``accelerator: no GPU on this machine``.
    left_out: list[str] = field(default_factory=list)
    #: The names of the packages that the leg's channels have, as Python's are spelt; empty where nobody has looked.
    conda_names: frozenset[str] = frozenset()
    #: What checks have learnt that the record is to say, under the names of :data:`FACTS`.
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)


class Check(Protocol):
    """One health check. ``code`` heads its findings: a check that makes several kinds counts on from it."""

    code: str
    title: str
    #: What to do about its findings; ``{leg}`` stands for the leg's id, ``{run}`` and ``{lock}`` for the commands that
    #: run and lock it again.
    advice: str

    def run(self, context: Context) -> Iterable[Finding]:
        """What is wrong; nothing where all is well."""


#: In the order in which they run: what later ones build on comes first.
ALL_CHECKS: tuple[Check, ...] = (
    InterpreterIsTheOneAskedFor(),
    LockIsSafe(),
    InstalledEqualsLocked(),
    DeclaredIsInstalled(),
    ExpectedVersions(),
    MetadataIsConsistent(),
    CondaDependenciesAreMet(),
    ManagersDoNotOverlap(),
    ChannelsAreNotMixed(),
    PipHasWhatCondaHas(),
    ActivationIsWhole(),
    CudaPartsAgree(),
    LibrariesAreFound(),
    DirectDependenciesImport(),
    OwnCheckPasses(),
    AcceleratorIsVisible(),
    DriverIsNewEnough(),
    NothingLeftInTemp(),
)


def run_checks(context: Context, checks: tuple[Check, ...] = ALL_CHECKS) -> list[Finding]:
    """Everything that the checks have found."""
    return [finding for check in checks for finding in check.run(context)]


def advice_for(code: str, *, leg: str, run: str, lock: str) -> str:
    """What to do about a finding of that code, with the leg's id and commands; empty where no check makes it."""
    known = [check for check in ALL_CHECKS if check.code <= code and check.code[:3] == code[:3]]
    return max(known, key=lambda check: check.code).advice.format(leg=leg, run=run, lock=lock) if known else ""
