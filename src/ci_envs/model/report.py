"""The records of one run, merged: which legs there were, where their packages differ, what was found."""

from __future__ import annotations

from typing import Literal

import msgspec

from ci_envs.model.leg import Resolution
from ci_envs.model.plan import LeftOut
from ci_envs.model.record import SCHEMA_VERSION, Severity, Stage, Status, TestCounts

__all__ = ["LegFinding", "LegImage", "LegResult", "Parity", "PlanFacts", "Report"]


class LegImage(msgspec.Struct, frozen=True, kw_only=True):
    """A leg's image as a report shows it; the record has all that is known."""

    name: str
    #: ``sha256:<hex>`` of the manifest, else the engine's id.
    digest: str
    bytes: int = 0
    #: ``Debian GNU/Linux 12 (bookworm)``, and how many packages of its own are in it.
    system: str = ""
    packages: int = 0
    #: Why the list of packages is not whole; empty where it is.
    note: str = ""
    #: What containers of it may do beyond what the engine allows by default, each in words.
    relaxed: tuple[str, ...] = ()


class LegResult(msgspec.Struct, frozen=True, kw_only=True):
    """One leg as a report shows it."""

    id: str
    status: Status
    reason: str = ""
    #: Whether all this is what its record says; else the leg left none that counts, and only its plan is known.
    recorded: bool = True
    pattern: str = ""
    python: str = ""
    os: str = ""
    arch: str = ""
    accelerator: str = ""
    project: str = "."
    groups: tuple[str, ...] = ()
    resolution: Resolution = "highest"
    variables: dict[str, str] = {}
    stages: tuple[Stage, ...] = ()
    #: All stages together.
    seconds: float = 0.0
    lock_digest: str = ""
    environment_digest: str = ""
    image: LegImage | None = None
    tests: TestCounts | None = None
    reproduce: str = ""


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """A package whose version is not the same in all legs of one project that have it."""

    package: str
    project: str = "."
    #: By leg id, in the order of the report's legs.
    versions: dict[str, str]


class LegFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding, and the legs of one project that have it."""

    code: str
    severity: Severity
    title: str
    message: str
    #: Relative to the project.
    file: str = ""
    line: int = 0
    project: str = "."
    legs: tuple[str, ...]

    @property
    def where(self) -> str:
        """The file, relative to the root, and the line; empty where it is about no file."""
        file = self.file if self.project == "." or not self.file else f"{self.project}/{self.file}"
        return f"{file}:{self.line}" if file and self.line else file


class PlanFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The plan whose legs a report is about, as far as a reader of the report wants it."""

    matrix: str = ""
    tier: str = ""
    strategy: str = ""
    #: Legs that are planned, and combinations that the matrix has.
    legs: int = 0
    combinations: int = 0
    #: How many were left out, and the first of them.
    left_out: int = 0
    examples: tuple[LeftOut, ...] = ()
    #: What the names of the run's artifacts begin with.
    artifact: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All legs of one run.

    ``status`` is the worst of the legs that were not skipped; ``skipped`` where all were. A leg of a plan was asked for
    by name: where one was skipped, the report of the plan is ``broken`` at best. It is ``skipped`` where nothing was
    planned.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    status: Status
    #: Why it is so, where no leg says that.
    reason: str = ""
    plan: PlanFacts | None = None
    legs: tuple[LegResult, ...] = ()
    parity: tuple[Parity, ...] = ()
    #: The worst first.
    findings: tuple[LegFinding, ...] = ()
    #: What was wrong with the records themselves: two of one leg, one of a leg that nobody has planned.
    warnings: tuple[str, ...] = ()
    #: The root's path in the repository, where the records say that they are of one.
    root: str = ""

    def count(self, status: Status) -> int:
        """How many legs ended so."""
        return sum(leg.status == status for leg in self.legs)
