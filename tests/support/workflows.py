"""Workflows, composite actions and what stands around them, as typed values that know their lines.

A :class:`Repository` is made from texts by name, so that a test can change a text and look at what comes of it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.workflow_tables import Table, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ROOT", "Action", "Job", "Repository", "Step", "Workflow", "files_of"]

ROOT = Path(__file__).parents[2]

#: What is read as text, by path; of all other files the name alone counts.
_READ = re.compile(
    r"\.github/.*|(actions/[^/]+/)?action\.ya?ml|(actions|\.ci|examples)/.*\.sh|\.ci/.*|(examples/.*/)?Makefile|SECURITY\.md"
    r"|(examples/|src/).*(Dockerfile|Containerfile)[^/]*|requirements/.*|src/ci_envs/resources/.*\.(j2|ya?ml|txt|in)"
    r"|examples/.*\.(txt|in|ya?ml|toml|json|cfg)|matrices/.*|pyproject\.toml|noxfile\.py|tests/support/.*package-lock\.json"
)
_NOT_OURS = frozenset({".git", ".venv", ".nox", ".ci-envs", "dist", "__pycache__", ".hypothesis", "node_modules"})


@dataclass(frozen=True)
class Step:
    """One step of a job or of a composite action."""

    file: str
    table: Table

    @property
    def id(self) -> str:
        return self.table.text("id")

    @property
    def uses(self) -> str:
        return self.table.text("uses")

    @property
    def action(self) -> str:
        """``owner/name/path`` without its version; our own as ``$/path``."""
        return self.uses.partition("@")[0]

    @property
    def run(self) -> str:
        return self.table.text("run")

    @property
    def given(self) -> Table:
        """What ``with:`` hands on."""
        return self.table.sub("with")

    @property
    def env(self) -> Table:
        return self.table.sub("env")

    @property
    def condition(self) -> str:
        return self.table.text("if")

    def at(self, key: str) -> int:
        return self.table.at(key)


@dataclass(frozen=True)
class Job:
    """One job of a workflow; ``uses`` where it calls another workflow."""

    file: str
    key: str
    table: Table
    line: int
    steps: tuple[Step, ...]

    @property
    def uses(self) -> str:
        return self.table.text("uses")

    @property
    def given(self) -> Table:
        return self.table.sub("with")

    @property
    def condition(self) -> str:
        return self.table.text("if")

    @property
    def outputs(self) -> Table:
        return self.table.sub("outputs")

    @property
    def needs(self) -> tuple[str, ...]:
        told = self.table.get("needs", [])
        return (told,) if isinstance(told, str) else tuple(told)

    @property
    def permissions(self) -> Table:
        return self.table.sub("permissions")

    @property
    def writes(self) -> frozenset[str]:
        """The permissions with which this job may change something."""
        return frozenset(name for name, level in self.permissions.items() if level == "write")

    @property
    def environment(self) -> str:
        told = self.table.get("environment", "")
        return told if isinstance(told, str) else told.text("name")

    @property
    def publishes(self) -> bool:
        """Whether what this job does is seen outside: it may write, or has what a protected environment holds."""
        return bool(self.writes or self.environment)

    def at(self, key: str) -> int:
        return self.table.lines.get(key, self.line)


@dataclass(frozen=True)
class Workflow:
    """One file of ``.github/workflows``."""

    file: str
    table: Table
    jobs: dict[str, Job]

    @property
    def on(self) -> Table:
        """The events, each with its table; an event that is only named has an empty one."""
        told = self.table.get("on", "")
        if isinstance(told, Table):
            return told
        events = Table(self.table.at("on"))
        events.update(dict.fromkeys([told] if isinstance(told, str) else told, ""))
        return events

    def inputs(self, event: str = "workflow_call") -> Table:
        return self.on.sub(event).sub("inputs")

    @property
    def outputs(self) -> Table:
        return self.on.sub("workflow_call").sub("outputs")

    @property
    def steps(self) -> Iterator[Step]:
        for job in self.jobs.values():
            yield from job.steps


@dataclass(frozen=True)
class Action:
    """One composite action of ours."""

    file: str
    table: Table
    steps: tuple[Step, ...]

    @property
    def folder(self) -> str:
        return self.file.rpartition("/")[0]

    @property
    def inputs(self) -> Table:
        return self.table.sub("inputs")

    @property
    def outputs(self) -> Table:
        return self.table.sub("outputs")


@dataclass(frozen=True)
class Repository:
    """Texts by path, and the names of all other files."""

    files: Mapping[str, str]
    others: frozenset[str] = frozenset()
    workflows: dict[str, Workflow] = field(init=False)
    #: By what stands behind ``$/`` of a ``uses:``; the root's is the empty text.
    actions: dict[str, Action] = field(init=False)

    def __post_init__(self) -> None:
        paths = sorted(self.files)
        flows = [path for path in paths if re.fullmatch(r"\.github/workflows/[^/]+\.ya?ml", path)]
        acts = [path for path in paths if re.fullmatch(r"(actions/[^/]+/)?action\.ya?ml", path)]
        object.__setattr__(self, "workflows", {path: _workflow(path, self.files[path]) for path in flows})
        object.__setattr__(
            self, "actions", {one.folder: one for one in (_action(path, self.files[path]) for path in acts)}
        )

    @property
    def names(self) -> frozenset[str]:
        return self.others | self.files.keys()

    @property
    def jobs(self) -> Iterator[Job]:
        for workflow in self.workflows.values():
            yield from workflow.jobs.values()

    @property
    def steps(self) -> Iterator[Step]:
        """Every step of every workflow and of every action."""
        for workflow in self.workflows.values():
            yield from workflow.steps
        for action in self.actions.values():
            yield from action.steps

    def line(self, file: str, number: int) -> str:
        """A line as it is written, with its comment; ``number`` is from 1."""
        return self.files[file].splitlines()[number - 1]


# A text that a test has not changed is parsed once: nobody writes to what was read.
@cache
def _workflow(path: str, text: str) -> Workflow:
    read = table(text)
    jobs = read.sub("jobs")
    made = {
        key: Job(path, key, jobs.sub(key), jobs.at(key), _steps(path, jobs.sub(key).get("steps", []))) for key in jobs
    }
    return Workflow(path, read, made)


@cache
def _action(path: str, text: str) -> Action:
    read = table(text)
    return Action(path, read, _steps(path, read.sub("runs").get("steps", [])))


def _steps(path: str, steps: list[Table]) -> tuple[Step, ...]:
    return tuple(Step(path, step) for step in steps)


def files_of(root: Path = ROOT) -> Repository:
    """What the checkout at ``root`` holds."""
    files: dict[str, str] = {}
    others: set[str] = set()
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _NOT_OURS and not name.endswith("_cache")]
        for name in names:
            path = Path(folder, name).relative_to(root).as_posix()
            if _READ.fullmatch(path):
                files[path] = Path(folder, name).read_text(encoding="utf-8")
            else:
                others.add(path)
    return Repository(files, frozenset(others))
