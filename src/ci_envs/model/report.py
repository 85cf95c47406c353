"""The records of one run, merged: which legs there were, where their packages differ, what was found."""

from __future__ import annotations

from typing import Literal

import msgspec

from ci_envs.model.leg import Resolution
from ci_envs.model.record import SCHEMA_VERSION, Severity, Stage, Status, TestCounts

__all__ = ["LegFinding", "LegResult", "Parity", "Report"]


class LegResult(msgspec.Struct, frozen=True, kw_only=True):
    """One leg as a report shows it. A leg that left no record has its id, its status and the reason only."""

    id: str
    status: Status
    reason: str = ""
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
    tests: TestCounts | None = None
    reproduce: str = ""


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """A package whose version is not the same in all legs of one project that have it."""

    package: str
    project: str = "."
    #: By leg id, in the order of the report's legs.
    versions: dict[str, str]


class LegFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding, and the legs that have it."""

    code: str
    severity: Severity
    title: str
    message: str
    file: str = ""
    line: int = 0
    legs: tuple[str, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All legs of one run. ``status`` is the worst of the legs that were not skipped; ``skipped`` where all were."""

    schema_version: Literal[1] = SCHEMA_VERSION
    status: Status
    legs: tuple[LegResult, ...] = ()
    parity: tuple[Parity, ...] = ()
    #: The worst first.
    findings: tuple[LegFinding, ...] = ()

    def count(self, status: Status) -> int:
        """How many legs ended so."""
        return sum(leg.status == status for leg in self.legs)
