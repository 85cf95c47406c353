"""What a walk leaves to be looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.workflow_runner.artifacts import Artifacts
    from tests.support.workflow_runner.log_commands import Annotation

__all__ = ["JobRun", "StepRun", "Walk"]


@dataclass
class StepRun:
    """One step. ``outcome`` is what it was before continue-on-error, ``conclusion`` after: success, failure, cancelled,
    skipped.
    """

    name: str
    id: str = ""
    uses: str = ""
    outcome: str = "skipped"
    conclusion: str = "skipped"
    outputs: dict[str, str] = field(default_factory=dict)
    #: The inputs that an action was given, as texts.
    inputs: dict[str, str] = field(default_factory=dict)
    #: As people see it, masked; and as it was printed, commands too.
    log: str = ""
    raw_log: str = ""
    annotations: list[Annotation] = field(default_factory=list)
    summary: str = ""
    #: The steps of a composite action.
    steps: list[StepRun] = field(default_factory=list)

    def all_steps(self) -> list[StepRun]:
        """This one, and those within it."""
        return [self, *(inner for step in self.steps for inner in step.all_steps())]


@dataclass
class JobRun:
    """One job, or one of those that a matrix makes."""

    key: str
    name: str
    result: str = "skipped"
    #: Why GitHub refused it, where it did.
    reason: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    matrix: dict[str, Any] | None = None
    labels: tuple[str, ...] = ()
    timeout_minutes: float = 360
    permissions: dict[str, str] = field(default_factory=dict)
    steps: list[StepRun] = field(default_factory=list)
    folder: Path | None = None
    attempt: int = 1

    def all_steps(self) -> list[StepRun]:
        """Those of composite actions among them."""
        return [inner for step in self.steps for inner in step.all_steps()]

    def step(self, name: str) -> StepRun:
        """The step with that name or id, wherever it stands."""
        found = [step for step in self.all_steps() if name in (step.name, step.id)]
        assert found, f"{self.name} has no step {name!r}"
        return found[0]

    @property
    def log(self) -> str:
        """Of all steps."""
        return "".join(step.log for step in self.all_steps())

    @property
    def told(self) -> str:
        """The log with what became of the job and of each step."""
        steps = (f"--- {step.name}: {step.outcome}/{step.conclusion}\n{step.log}" for step in self.all_steps())
        return "\n".join([f"=== {self.key} ({self.name}): {self.result} {self.reason}", *steps])

    @property
    def annotations(self) -> list[Annotation]:
        """Of all steps."""
        return [one for step in self.all_steps() for one in step.annotations]

    @property
    def summary(self) -> str:
        """Of all steps."""
        return "".join(step.summary for step in self.all_steps())


@dataclass
class Walk:
    """One attempt of a run."""

    jobs: dict[str, JobRun] = field(default_factory=dict)
    result: str = "success"
    #: Why GitHub would not start it.
    reason: str = ""
    #: Of the workflow, where it is a called one; by the caller's job.
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    attempt: int = 1
    run_id: int = 0
    artifacts: Artifacts | None = None

    def job(self, key: str) -> JobRun:
        """By its key: ``plan``, ``envs/plan``, ``envs/leg (2)``; or by its display name."""
        found = self.jobs.get(key) or next((job for job in self.jobs.values() if job.name == key), None)
        assert found is not None, f"there was no job {key!r}, but {', '.join(self.jobs)}"
        return found

    @property
    def log(self) -> str:
        """Of all jobs, with what became of them."""
        return "\n".join(job.told for job in self.jobs.values())

    @property
    def trouble(self) -> str:
        """Of the jobs that are no success: what a failing test prints."""
        return "\n".join([self.reason, *(job.told for job in self.jobs.values() if job.result != "success")])

    @property
    def annotations(self) -> list[Annotation]:
        """Of all jobs."""
        return [one for job in self.jobs.values() for one in job.annotations]

    @property
    def summary(self) -> str:
        """Of all jobs."""
        return "".join(job.summary for job in self.jobs.values())
