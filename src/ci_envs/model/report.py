"""The records of one run, merged: which legs there were, where their packages differ, what was found."""

from __future__ import annotations

from typing import Literal

import msgspec

from ci_envs.model.leg import Resolution
from ci_envs.model.record import SCHEMA_VERSION, Severity, Stage, Status, TestCounts

__all__ = ["LegFinding", "LegImage", "LegResult", "Parity", "Report"]


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
