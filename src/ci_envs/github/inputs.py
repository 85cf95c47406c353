"""The inputs of our actions, typed, and the arguments of ``ci-envs`` that each set of them stands for.

``action.yml`` and ``actions/*/action.yml`` hand every input on as ``INPUT_<NAME>``; it is read here and nowhere else. An
empty input is the same as none. Each value stands behind its ``=``, so that none can be read as a flag.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from ci_envs.errors import UsageError
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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

_BOOLEANS = ("true", "false")
_LOCK_MODES = ("locked", "auto", "frozen", "update")

T = TypeVar("T")


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
    """Of ``actions/leg``: one leg of a matrix."""

    leg: str = ""
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
    """Of ``actions/report``; ``results`` is GitHub's ``needs`` context as JSON."""

    plan: str = ""
    records: str = ""
    results: str = ""


@dataclass(frozen=True, slots=True)
class CollectInputs:
    """Of the step of ``actions/leg`` that collects what a leg has left."""

    leg: str = ""
    working_directory: str = "."


Inputs = TypeVar("Inputs", EnvironmentInputs, LegInputs, PlanInputs, ShardInputs, ReportInputs, CollectInputs)


def read_inputs(kind: type[Inputs], environ: Mapping[str, str] = os.environ) -> Inputs:
    """The inputs of one kind; :class:`UsageError` names what a wrong one takes."""
    read: dict[str, Any] = {}
    for field in fields(kind):
        text = environ.get(f"INPUT_{field.name.upper()}", "").strip()
        if text:
            read[field.name] = _READERS.get(field.name, _line)(field.name, text)
        elif field.name in _REQUIRED:
            raise UsageError(f"input {_spelt(field.name)} is not given")
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
    if not inputs.matrix:
        return []
    folder = inputs.working_directory.rstrip("/")
    return ["--", inputs.matrix if folder in ("", ".") else f"{folder}/{inputs.matrix}"]


# --- how each input is read


def _line(name: str, text: str) -> str:
    if "\n" in text:
        raise UsageError(f"input {_spelt(name)} has more than one line", hint=_LINES.get(name, "give one value"))
    return text


_LINES = {
    "test_command": "put several commands into a script, and give the command that runs it",
    "python_version": "one step makes one environment: list versions in the job's strategy.matrix",
    "pattern": "one step makes one environment: list patterns in the job's strategy.matrix",
}


def _choice(*choices: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        if _line(name, text) not in choices:
            raise UsageError(
                f"input {_spelt(name)} is {one_line(text, 60)!r}", hint=f"it takes one of: {', '.join(choices)}"
            )
        return text

    return read


def _flag(name: str, text: str) -> bool:
    return _choice(*_BOOLEANS)(name, text) == "true"


def _word(grammar: str, hint: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        if not re.fullmatch(grammar, _line(name, text), re.ASCII):
            raise UsageError(f"input {_spelt(name)} is {one_line(text, 60)!r}", hint=hint)
        return text

    return read


def _number(low: int, high: int) -> Callable[[str, str], int]:
    def read(name: str, text: str) -> int:
        # GitHub writes a number as JavaScript does; none of ours has a fraction.
        if not re.fullmatch(r"\d{1,6}", _line(name, text), re.ASCII) or not low <= int(text) <= high:
            raise UsageError(f"input {_spelt(name)} is {one_line(text, 60)!r}", hint=f"a number from {low} to {high}")
        return int(text)

    return read


def _words(grammar: str, hint: str, separator: str = r"[\s,]+") -> Callable[[str, str], tuple[str, ...]]:
    def read(name: str, text: str) -> tuple[str, ...]:
        words = tuple(word for part in re.split(separator, text) if (word := part.strip()))
        for word in words:
            _word(grammar, hint)(name, word)
        return words

    return read


_LEG = r"[a-z0-9_][a-z0-9_.-]{0,99}"

_READERS: dict[str, Callable[[str, str], Any]] = {
    "activate_environment": _flag,
    "add_problem_matchers": _flag,
    "artifact_name": _word(r"[A-Za-z0-9_][\w.-]{0,63}", "a letter or digit, then letters, digits, '.', '_' and '-', at most 64"),
    "cache_environment": _flag,
    "cache_suffix": _word(r"\w[\w.-]{0,63}", "a letter or digit, then letters, digits, '.', '_' and '-', at most 64"),
    "changed_only": _flag,
    "check": _flag,
    "enable_cache": _choice("auto", *_BOOLEANS),
    "expect_gpu": _choice("auto", *_BOOLEANS),
    # Names as PEP 735 and PEP 685 have them.
    "groups": _words(r"[a-zA-Z0-9][\w.-]*", "names of dependency groups or extras"),
    "labels": _words(r"[^\x00-\x1f\x7f]{1,100}", "labels, one a line", r"\n"),
    "leg": _word(_LEG, "a leg's id, as `ci-envs plan` lists it"),
    "lock_mode": _choice(*_LOCK_MODES),
    "matrix_filter": _words(r"!?[a-z0-9_.*?\[\]-]{1,100}", "globs on leg ids, for example uv-* or !*-windows-*", r"\s+"),
    "max_legs": _number(1, 256),
    "pattern": _word(r"[a-z][a-z0-9-]*", "uv, venv, conda, ... or auto"),
    "python_version": _word(r"(pypy)?\d+\.\d+t?", "for example 3.12, 3.13t or pypy3.10"),
    "results": lambda _name, text: text,
    "shard": _number(0, 255),
    "strategy": _choice("all", "pairwise", "ends"),
    "test": _flag,
    "tier": _choice("auto", "pull-request", "nightly", "release", "all"),
    "timeout_minutes": _number(0, 7200),
}  # fmt: skip

_REQUIRED = frozenset(("leg", "plan", "records"))


def _spelt(name: str) -> str:
    return repr(name.replace("_", "-"))
