"""One leg's record: the versioned JSON that jobs hand each other."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ci_envs.model.closure import Closure
from ci_envs.model.detect import Evidence
from ci_envs.model.image import ImageFacts
from ci_envs.model.inventory import Distribution
from ci_envs.model.leg import Leg
from ci_envs.model.lock import Pin

__all__ = [
    "SCHEMA_VERSION",
    "STAGES",
    "EnvironmentFacts",
    "Finding",
    "JobFacts",
    "LockFacts",
    "Machine",
    "RunRecord",
    "SelectionFacts",
    "Severity",
    "Stage",
    "StageName",
    "Status",
    "TestCounts",
    "worst",
]

#: Fields may be added within a version, never renamed or removed.
SCHEMA_VERSION: Literal[1] = 1

Status = Literal["passed", "failed", "skipped", "broken"]
Severity = Literal["error", "warning", "info"]
StageName = Literal["detect", "lock", "build", "check", "test"]

STAGES: tuple[StageName, ...] = ("detect", "lock", "build", "check", "test")

# A failed leg is the project's news, a broken one the world's; both outrank a skip, and a skip is no pass.
_RANK: dict[Status, int] = {"passed": 0, "skipped": 1, "broken": 2, "failed": 3}


def worst(statuses: list[Status]) -> Status:
    """The status that speaks for all of them; ``skipped`` where there is none."""
    return max(statuses, key=_RANK.__getitem__, default="skipped")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person should know: what, how bad, where, and what to do about it."""

    code: str
    severity: Severity
    title: str
    message: str
    #: Relative to the project.
    file: str = ""
    line: int = 0


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """How one stage of a leg went."""

    name: StageName
    status: Status
    reason: str = ""
    seconds: float = 0.0
    #: The exit code of the error that ended it (see ``errors.py``); 0 where none did.
    exit_code: int = 0


class SelectionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What of the project's intent the leg installs beside the runtime dependencies, and what says so."""

    #: Dependency groups and extras, as written.
    groups: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    #: Requirement files, relative to the project; those of the runtime dependencies are among them.
    files: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()


class LockFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The lock that the leg was built from."""

    path: str
    format: str
    #: Of the file's bytes; where there are more files, of all of them in their order.
    sha256: str
    digest: str
    more: tuple[str, ...] = ()
    pins: tuple[Pin, ...] = ()


class EnvironmentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The environment that was built: where it is, and the digest that says which bytes are in it."""

    #: Relative to the root for a host prefix; for a container ``image``, its image's name, is set instead.
    path: str = ""
    image: str = ""
    #: The full version of the interpreter inside.
    python: str = ""
    #: ``sha256:<hex>`` over the content, the same at another path; see docs/architecture.md.
    digest: str = ""
    bytes: int = 0
    files: int = 0


class TestCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What the project's tests said, and how they were run. All counts are 0 where the runner did not tell any."""

    __test__ = False  # pytest must not collect it

    passed: int = 0
    #: Failures and errors.
    failed: int = 0
    #: Those that were expected to fail, and did, too.
    skipped: int = 0
    #: Kept JUnit XML, relative to the root; empty where the runner made none.
    junit: str = ""
    command: str = ""
    #: What says that this is the command, and the sentence that says why.
    evidence: tuple[Evidence, ...] = ()
    why: str = ""

    @property
    def total(self) -> int:
        """All tests that were counted."""
        return self.passed + self.failed + self.skipped


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine a leg ran on, without names that would tell whose it is."""

    os: str = ""
    arch: str = ""
    release: str = ""
    libc: str = ""
    cpus: int = 0


class JobFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The job of a CI system that a leg ran in."""

    #: ``<repository>/<run id>``: the same for all jobs of a run, and for all attempts at it.
    run: str
    #: The number of the attempt, from 1.
    attempt: int = 1
    #: The commit that was built.
    commit: str = ""
    #: The root's path in the repository; ``.`` where it is the repository's own folder.
    root: str = "."


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of one leg; written anew after each stage."""

    schema_version: Literal[1] = SCHEMA_VERSION
    leg: Leg
    status: Status
    reason: str = ""
    #: When the leg was begun and when this record was written, ISO 8601 in UTC.
    started: str = ""
    written: str = ""
    ci_envs: str = ""
    #: What describes the pattern.
    evidence: tuple[Evidence, ...] = ()
    selection: SelectionFacts | None = None
    stages: tuple[Stage, ...] = ()
    lock: LockFacts | None = None
    environment: EnvironmentFacts | None = None
    #: What is known of the image, where the environment is one.
    image: ImageFacts | None = None
    #: What the environment needs of nix's store, where it is a shell of nix's.
    closure: Closure | None = None
    inventory: tuple[Distribution, ...] = ()
    findings: tuple[Finding, ...] = ()
    tests: TestCounts | None = None
    tools: dict[str, str] = {}
    machine: Machine = Machine()
    #: Where the leg ran, where that was a CI system that we know.
    job: JobFacts | None = None
    #: The command that makes this leg again on a laptop.
    reproduce: str = ""
    #: What the build depended on, by name: a later run that finds the same values keeps the environment.
    inputs: dict[str, str] = {}
    #: Room for what later patterns must say of their own.
    extra: dict[str, Any] = {}

    def stage(self, name: str) -> Stage | None:
        """The stage of that name, if it was reached."""
        return next((stage for stage in self.stages if stage.name == name), None)
