"""The inputs of our actions, typed, and the arguments of ``ci-envs`` that each set of them stands for.

``action.yml`` and ``actions/*/action.yml`` hand every input on as ``INPUT_<NAME>``; it is read here and nowhere else.
An empty input is the same as none. Each value stands behind its ``=``, or behind ``--``, so that none can be read as a
flag.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ci_envs.errors import UsageError
from ci_envs.github.input_values import read_value, spelt

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CollectInputs",
    "EnvironmentInputs",
    "LegInputs",
    "PlanInputs",
    "ReportInputs",
    "ShardInputs",
    "environment_arguments",
    "leg_arguments",
    "plan_arguments",
    "read_inputs",
    "report_arguments",
    "shard_arguments",
]

_REQUIRED = frozenset(("leg", "plan", "records", "shard"))


@dataclass(frozen=True, slots=True)
class EnvironmentInputs:
    """Of ``action.yml``: one environment. An empty text leaves the choice to the project's configuration."""

    pattern: str = "auto"
    python_version: str = ""
    working_directory: str = "."
    lock_mode: str = ""
    groups: tuple[str, ...] = ()
    enable_cache: str = "auto"
    cache_suffix: str = ""
    activate_environment: bool = False
    check: bool = True
    test: bool = True
    test_command: str = ""
    expect_gpu: str = ""


@dataclass(frozen=True, slots=True)
class LegInputs:
    """Of ``actions/leg``: one leg of a matrix. The upload alone reads its artifact's name and retention."""

    leg: str = ""
    artifact_name: str = field(default="", metadata={"kind": "artifact"})
    retention_days: int = 0
    matrix: str = ""
    working_directory: str = "."
    lock_mode: str = ""
    as_of: str = ""
    test_command: str = ""
    expect_gpu: str = ""
    enable_cache: str = "auto"
    cache_environment: bool = False
    cache_suffix: str = ""
    add_problem_matchers: bool = True


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """Of ``actions/plan``. 0 minutes are those that our data name."""

    matrix: str = ""
    working_directory: str = "."
    tier: str = "auto"
    strategy: str = ""
    matrix_filter: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    changed_only: bool = False
    runs_on: str = ""
    timeout_minutes: int = 0
    max_legs: int = 256
    artifact_name: str = "ci-envs"


@dataclass(frozen=True, slots=True)
class ShardInputs:
    """Of ``actions/shard``."""

    plan: str = ""
    shard: int = 0


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """Of ``actions/report``; ``plan_result`` is that of the job that planned, as GitHub's ``needs`` context has it."""

    plan: str = ""
    records: str = ""
    plan_result: str = ""


@dataclass(frozen=True, slots=True)
class CollectInputs:
    """Of the step of ``actions/leg`` that collects what a leg has left."""

    leg: str = ""
    working_directory: str = "."


Inputs = TypeVar("Inputs", EnvironmentInputs, LegInputs, PlanInputs, ShardInputs, ReportInputs, CollectInputs)


def read_inputs(kind: type[Inputs], environ: Mapping[str, str] = os.environ) -> Inputs:
    """The inputs of one kind; :class:`UsageError` names what a wrong one takes."""
    read: dict[str, Any] = {}
    for one in fields(kind):
        text = environ.get(f"INPUT_{one.name.upper()}", "").strip()
        if text:
            read[one.name] = read_value(one.name, text, one.metadata.get("kind", ""))
        elif one.name in _REQUIRED:
            raise UsageError(f"input {spelt(one.name)} is not given")
    return kind(**read)


def environment_arguments(inputs: EnvironmentInputs) -> list[str]:
    """``ci-envs run`` for one environment."""
    # The pattern is always said: without it `run` would take the project's matrix, and one step makes one environment.
    arguments = ["run", f"--project={inputs.working_directory}", f"--pattern={inputs.pattern}"]
    arguments += _options(inputs, "lock_mode", "test_command", "expect_gpu")
    arguments += [f"--python={inputs.python_version}"] if inputs.python_version else []
    arguments += [f"--group={name}" for name in inputs.groups]
    if not (inputs.check and inputs.test):
        stages = ["lock", "build", *(["check"] if inputs.check else []), *(["test"] if inputs.test else [])]
        arguments.append(f"--stages={','.join(stages)}")
    return arguments


def leg_arguments(inputs: LegInputs) -> list[str]:
    """``ci-envs run`` for one leg."""
    arguments = ["run", f"--project={inputs.working_directory}", f"--only={inputs.leg}"]
    arguments += _options(inputs, "lock_mode", "as_of", "test_command", "expect_gpu")
    return [*arguments, *_matrix(inputs)]


def plan_arguments(inputs: PlanInputs) -> list[str]:
    """``ci-envs plan`` for a workflow."""
    arguments = ["plan", f"--project={inputs.working_directory}", f"--tier={inputs.tier}"]
    arguments += [f"--max-legs={inputs.max_legs}", f"--artifact-name={inputs.artifact_name}"]
    arguments += [f"--timeout-minutes={inputs.timeout_minutes}"] if inputs.timeout_minutes else []
    arguments += _options(inputs, "strategy", "runs_on")
    arguments += ["--changed-only"] if inputs.changed_only else []
    for word in inputs.matrix_filter:
        arguments.append(f"--skip={word[1:]}" if word.startswith("!") else f"--only={word}")
    arguments += [f"--label={label}" for label in inputs.labels]
    return [*arguments, *_matrix(inputs)]


def shard_arguments(inputs: ShardInputs) -> list[str]:
    """``ci-envs plan`` for a shard of a plan that was made before."""
    return ["plan", f"--from={inputs.plan}", f"--shard={inputs.shard}", "--github"]


def report_arguments(inputs: ReportInputs) -> list[str]:
    """``ci-envs report`` for the legs of a plan."""
    return ["report", f"--plan={inputs.plan}", "--exit-code", "--", inputs.records]


def _options(inputs: object, *names: str) -> list[str]:
    given = ((name, getattr(inputs, name)) for name in names)
    return [f"--{name.replace('_', '-')}={value}" for name, value in given if value]


def _matrix(inputs: LegInputs | PlanInputs) -> list[str]:
    """A matrix is named relative to the working directory, as its project folders are."""
    return ["--", (Path(inputs.working_directory) / inputs.matrix).as_posix()] if inputs.matrix else []
