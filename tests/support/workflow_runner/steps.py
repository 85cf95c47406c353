"""The steps of a job, or of a composite action: StepsRunner.cs and CompositeActionHandler.cs of actions/runner."""

from __future__ import annotations

import errno
import os
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.workflow_runner.artifacts import StandInError
from tests.support.workflow_runner.command_files import (
    MOST_SUMMARY,
    CommandFileError,
    StepFiles,
    read_command_file,
    read_path_file,
)
from tests.support.workflow_runner.errors import NotKnownError
from tests.support.workflow_runner.log_commands import Annotation, LogReader
from tests.support.workflow_runner.node import EvaluationError
from tests.support.workflow_runner.processes import SHELLS, run_script
from tests.support.workflow_runner.results import StepRun
from tests.support.workflow_runner.stand_ins import Asked, Done, stand_in
from tests.support.workflow_runner.templates import Expression, Scope
from tests.support.workflow_runner.workflow_file import check_keys

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.workflow_runner.log_commands import Masks
    from tests.support.workflow_runner.matchers import IssueMatcher
    from tests.support.workflow_runner.node import Node
    from tests.support.workflow_runner.repositories import Repository

__all__ = ["Frame", "JobState", "Shared", "Source", "run_steps"]

#: The runner does not let a step set it for others.
_BLOCKED = ("NODE_OPTIONS",)


@dataclass(frozen=True)
class Source:
    """A repository at a commit: what ``$/`` means in a file of it."""

    repository: Repository
    sha: str


@dataclass
class Shared:
    """A step whose script holds these words is run once, and others like it have its outputs: see :class:`Server`."""

    words: str
    lock: threading.Lock
    outputs: dict[str, str] | None = None


@dataclass
class JobState:
    """What the steps of one job have in common."""

    node: Node
    machine: Mapping[str, str]
    folders: Mapping[str, Path]
    repositories: Mapping[str, Repository]
    masks: Masks
    #: ``github``, ``inputs``, ``vars``, ``needs``, ``strategy``, ``matrix``, ``secrets``, ``job``, ``runner``.
    contexts: dict[str, Any]
    #: Of the workflow and the job, then what GITHUB_ENV has set.
    env: dict[str, str]
    deadline: float
    cancel: threading.Event
    #: Done with an action: (uses, asked) -> what it left.
    asked: Callable[[Mapping[str, str]], Asked]
    actions: Path
    defaults: Mapping[str, str] = field(default_factory=dict)
    shared: Shared | None = None
    #: GITHUB_PATH: what was added last is first on PATH.
    path: list[str] = field(default_factory=list)
    matchers: dict[str, IssueMatcher] = field(default_factory=dict)
    status: str = "success"


@dataclass
class Frame:
    """Where steps stand: in the job, or in an action that a step of it uses."""

    source: Source
    contexts: dict[str, Any]
    steps: dict[str, Any] = field(default_factory=dict)
    #: The ``env`` of the steps that use this action, which GITHUB_ENV does not change.
    overrides: dict[str, str] = field(default_factory=dict)
    action_path: Path | None = None
    status: str = "success"

    @property
    def composite(self) -> bool:
        """Whether this is an action."""
        return self.action_path is not None


def run_steps(job: JobState, frame: Frame, steps: list[dict[str, Any]]) -> list[StepRun]:
    """Runs them in order; ``frame.status`` and ``job.status`` say how it went."""
    return [_run_step(job, frame, step, number) for number, step in enumerate(steps)]


def _run_step(job: JobState, frame: Frame, step: dict[str, Any], number: int) -> StepRun:
    check_keys("uses step" if "uses" in step else "run step", step)
    done = StepRun(_fallback_name(step), step.get("id", ""), step.get("uses", ""))
    if job.cancel.is_set() and job.status != "cancelled":
        job.status = "cancelled"
    _Step(job, frame, step, done, number).run()
    if "id" in step:
        frame.steps[step["id"]] = {"outputs": done.outputs, "outcome": done.outcome, "conclusion": done.conclusion}
    if done.conclusion in ("failure", "cancelled") and frame.status != "cancelled":
        frame.status = done.conclusion
    if not frame.composite and done.conclusion in ("failure", "cancelled") and job.status != "cancelled":
        job.status = done.conclusion
    return done


def _fallback_name(step: dict[str, Any]) -> str:
    named = step.get("name")
    if isinstance(named, str):
        return named
    return f"Run {step.get('uses') or str(step['run']).partition(chr(10))[0]}"


class _Step:
    """One step while it runs."""

    def __init__(self, job: JobState, frame: Frame, step: dict[str, Any], done: StepRun, number: int) -> None:
        self.job, self.frame, self.step, self.done = job, frame, step, done
        self.label = f"{len(list(job.folders['commands'].iterdir()))}-{number}"
        self.log = LogReader(job.folders["workspace"], job.masks, job.matchers)
        self.env = dict(job.env) | frame.overrides
        self.own_env: dict[str, str] = {}

    def run(self) -> None:
        """Sets the outcome and the conclusion."""
        try:
            self.own_env = self.scope().texts(self.step.get("env"))
            self.env |= self.own_env
            if not self.scope().holds(self.step.get("if") or _SUCCESS):
                return
            self.name()
            self.done.outcome = self.act()
        except (EvaluationError, StandInError, CommandFileError) as error:
            self.fail(str(error))
            self.done.outcome = "failure"
        self.done.annotations += self.log.annotations
        self.done.conclusion = self.concluded()

    def scope(self) -> Scope:
        """The contexts as they are now."""
        job, frame = self.job, self.frame
        github = {**job.contexts["github"], **frame.contexts.get("github", {})}
        told = {"job": {**job.contexts["job"], "status": job.status}, "env": self.env, "steps": frame.steps}
        contexts = {**job.contexts, **frame.contexts, **told, "github": github}
        status = "cancelled" if job.status == "cancelled" else frame.status if frame.composite else job.status
        return Scope(job.node, contexts, {name: status == name for name in ("success", "failure", "cancelled")})

    def name(self) -> None:
        """The display name, whose expressions know all contexts."""
        if "name" in self.step:
            self.done.name = self.scope().text(self.step["name"])

    def concluded(self) -> str:
        """The outcome after continue-on-error."""
        tolerated = self.done.outcome == "failure" and self.scope().value(self.step.get("continue-on-error", False))
        return "success" if tolerated else self.done.outcome

    def act(self) -> str:
        """Runs the script or the action."""
        if "run" in self.step:
            return self.script()
        uses: str = self.step["uses"]
        self.done.inputs = self.scope().texts(self.step.get("with"))
        do = stand_in(uses)
        return self.stand_in(do) if do is not None else self.composite(uses)

    def fail(self, message: str) -> None:
        """An error of the runner's own."""
        self.print(f"Error: {message}")
        self.done.annotations.append(Annotation("error", message))

    def print(self, line: str) -> None:
        """A line of the log; a command is obeyed, and people do not see it."""
        self.done.raw_log += f"{line}\n"
        if not self.log.read(line):
            self.done.log += f"{self.job.masks(line)}\n"

    # --- scripts

    def script(self) -> str:
        """``run``."""
        shared = self.job.shared
        script = self.scope().text(self.step["run"])
        if shared is None or shared.words not in script:
            return self.run_script(script)
        with shared.lock:
            if shared.outputs is None:
                outcome = self.run_script(script)
                shared.outputs = dict(self.done.outputs) if outcome == "success" else None
                return outcome
        self.done.outputs |= shared.outputs
        return "success"

    def run_script(self, script: str) -> str:
        """Runs it with files of its own, and reads these."""
        job, scope = self.job, self.scope()
        shell = scope.text(self.step.get("shell")) or ("" if self.frame.composite else job.defaults.get("shell", ""))
        if shell not in SHELLS:
            raise NotKnownError(f"shell: {shell}")
        files = StepFiles(job.folders["commands"] / self.label)
        path = job.folders["temp"] / f"{uuid.uuid4()}.sh"
        path.write_text(script, encoding="utf-8")
        folder = job.folders["workspace"] / self.working_directory(scope)
        limit, why = self.seconds(scope)
        try:
            code = run_script(path, shell, folder, env=self.variables(files), seconds=limit, line=self.print)
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
            self.fail(f"An error occurred trying to start process 'bash': {error.strerror}")
            return "failure"
        self.read(files)
        if code is None:
            return self.timed_out(why)
        if code != 0:
            self.fail(f"Process completed with exit code {code}.")
        for failure in self.log.failures:
            self.fail(failure)
        return "failure" if code or self.log.failures else "success"

    def working_directory(self, scope: Scope) -> str:
        """Relative to the workspace."""
        own = scope.text(self.step.get("working-directory"))
        return own or ("" if self.frame.composite else self.job.defaults.get("working-directory", ""))

    def seconds(self, scope: Scope) -> tuple[float, str]:
        """How long the step may go on, and whose limit that is."""
        left = max(0.1, self.job.deadline - time.monotonic())
        own = scope.value(self.step.get("timeout-minutes"))
        return (own * 60, "step") if own and own * 60 < left else (left, "job")

    def timed_out(self, whose: str) -> str:
        """A step that is too slow fails; a job is cancelled, and its always() steps have five minutes."""
        if whose == "step":
            self.fail(f"The action '{self.done.name}' has timed out.")
            return "failure"
        self.fail("The job has exceeded the maximum execution time.")
        self.job.status = "cancelled"
        self.job.deadline = time.monotonic() + 300
        return "cancelled"

    def variables(self, files: StepFiles) -> dict[str, str]:
        """The environment of a script: the machine's, the job's, and at last what the runner sets."""
        job = self.job
        path = os.pathsep.join([*reversed(job.path), self.env.get("PATH", job.machine["PATH"])])
        return {**job.machine, **self.env, **_runner_variables(self.scope().contexts), **files.variables, "PATH": path}

    def read(self, files: StepFiles) -> None:
        """What the script has told by its files."""
        job = self.job
        self.done.outputs |= self.log.outputs | read_command_file(files.path("GITHUB_OUTPUT"))
        job.path[:] = read_path_file(files.path("GITHUB_PATH"), job.path)
        read_command_file(files.path("GITHUB_STATE"))
        for name, value in read_command_file(files.path("GITHUB_ENV")).items():
            if name.upper() in _BLOCKED:
                self.fail(f"Can't store {name} output parameter using '$GITHUB_ENV' command.")
            else:
                job.env[name] = value
        summary = files.path("GITHUB_STEP_SUMMARY")
        if summary.stat().st_size > MOST_SUMMARY:
            self.fail(f"$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of {MOST_SUMMARY // 1024}k")
        else:
            self.done.summary = job.masks(summary.read_text(encoding="utf-8"))

    # --- actions

    def stand_in(self, do: Callable[[Asked], Done]) -> str:
        """An action that is done here."""
        left = do(self.job.asked(self.done.inputs))
        self.done.outputs |= left.outputs
        self.job.env |= left.env
        self.job.path += left.path
        for warning in left.warnings:
            self.print(f"Warning: {warning}")
            self.done.annotations.append(Annotation("warning", warning))
        return "success"

    def composite(self, uses: str) -> str:
        """An action of a repository that the server has."""
        job = self.job
        source, path = self.found(uses)
        folder = source.repository.export(
            source.sha, job.actions / f"{source.repository.name.replace('/', '_')}-{source.sha}"
        )
        document = self.action(source, path)
        scope = self.scope()
        declared = document.get("inputs") or {}
        for name in self.done.inputs.keys() - declared.keys():
            self.done.annotations.append(Annotation("warning", f"Unexpected input(s) '{name}'"))
        defaults = {name: scope.text((told or {}).get("default")) for name, told in declared.items()}
        inputs = {**defaults, **self.done.inputs}
        action_path = folder / path
        github = {**self.frame.contexts.get("github", {}), "action_path": str(action_path)}
        contexts = {**self.frame.contexts, "inputs": inputs, "github": github}
        inner = Frame(source, contexts, overrides=self.frame.overrides | self.own_env, action_path=action_path)
        self.done.steps = run_steps(job, inner, document["runs"]["steps"])
        self.done.outputs |= self.outputs(document, inner)
        return inner.status

    def action(self, source: Source, path: str) -> dict[str, Any]:
        """Its ``action.yml``; only composite ones are known."""
        text = source.repository.read(source.sha, f"{path}/action.yml".removeprefix("/"))
        parsed = self.job.node.parse_action(f"{path}/action.yml", text)
        if parsed.errors:
            raise StandInError(f"{path}/action.yml: {parsed.errors[0]}")
        document: dict[str, Any] = parsed.document
        check_keys("action", document)
        if document["runs"]["using"] != "composite":
            raise NotKnownError(f"{path}: runs.using is {document['runs']['using']}")
        check_keys("composite", document["runs"])
        return document

    def outputs(self, document: Mapping[str, Any], inner: Frame) -> dict[str, str]:
        """They are read also where a step has failed."""
        scope = _Step(self.job, inner, {}, StepRun(""), 0).scope()
        return {name: scope.text(told["value"]) for name, told in (document.get("outputs") or {}).items()}

    def found(self, uses: str) -> tuple[Source, str]:
        """``$/path`` is of the repository that this file is of; ``owner/name/path@ref`` of another one."""
        if uses.startswith("$/"):
            return self.frame.source, uses[2:]
        name, _, ref = uses.partition("@")
        owner, repo, *path = name.split("/")
        repository = self.job.repositories.get(f"{owner}/{repo}")
        if repository is None or not ref:
            raise NotKnownError(f"uses: {uses} is no action that is stood in for, and of no repository that is here")
        return Source(repository, repository.sha(ref)), "/".join(path)


_SUCCESS = Expression("success()", ("success(0,0)",))

#: "Variables reference", default environment variables: from the github and runner contexts.
_GITHUB = (
    "action", "action_path", "actor", "api_url", "base_ref", "event_name", "event_path", "head_ref", "job", "ref",
    "ref_name", "ref_type", "repository", "repository_owner", "retention_days", "run_attempt", "run_id", "run_number",
    "server_url", "sha", "triggering_actor", "workflow", "workflow_ref", "workflow_sha", "workspace",
)  # fmt: skip


def _runner_variables(contexts: Mapping[str, Any]) -> dict[str, str]:
    github, runner = contexts["github"], contexts["runner"]
    told = {f"GITHUB_{name.upper()}": str(github[name]) for name in _GITHUB if name in github}
    told |= {f"RUNNER_{name.upper()}": str(value) for name, value in runner.items()}
    return {"CI": "true", "GITHUB_ACTIONS": "true", **told}
