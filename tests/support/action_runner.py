"""Runs a composite action as GitHub's runner does: its scripts under bash, its environment files as real files.

The action is read and its expressions are evaluated by GitHub's own packages (``tests/support/node``). Actions that a
step uses are not run: what they were given is kept. :mod:`tests.support.workflow_runner` walks whole workflows.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.workflow_runner.command_files import StepFiles, read_command_file, read_path_file
from tests.support.workflow_runner.node import shared_node
from tests.support.workflow_runner.templates import Expression, Scope

from ci_envs.command import Command, run

__all__ = ["ActionRun", "command_outputs", "read_command_file", "run_action"]

_SUCCESS = Expression("success()", ("success(0,0)",))


@dataclass
class ActionRun:
    """What a job sees of an action after it ran."""

    ok: bool = True
    log: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    #: What the environment files held, over all steps.
    env: dict[str, str] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    summary: str = ""
    #: Outputs by step id, and the inputs of each action that was used, by step name.
    steps: dict[str, dict[str, str]] = field(default_factory=dict)
    used: dict[str, dict[str, str]] = field(default_factory=dict)


def run_action(
    action: Path,
    inputs: dict[str, str],
    environ: dict[str, str],
    *,
    given: dict[str, dict[str, str]] | None = None,
    only: set[str] | None = None,
) -> ActionRun:
    """Runs the steps in order; after one that failed, those alone whose condition asks for it.

    ``environ`` is the job's: RUNNER_TEMP and GITHUB_WORKSPACE must be in it. Steps whose id is in ``given`` are not run
    and have those outputs; neither are actions that a step uses. With ``only``, no other steps are run.
    """
    parsed = shared_node().parse_action(action.name, action.read_text(encoding="utf-8"))
    assert not parsed.errors, parsed.errors
    defaults = {name: str(told.get("default", "")) for name, told in parsed.document["inputs"].items()}
    assert inputs.keys() <= defaults.keys(), f"action.yml has no input {inputs.keys() - defaults.keys()}"
    known = {**defaults, **inputs}
    result = ActionRun(steps=dict(given or {}))
    job = {**environ, "GITHUB_ACTION_PATH": str(action.parent)}
    for step in parsed.document["runs"]["steps"]:
        if step.get("id") in (given or {}) or (only is not None and step.get("id") not in only):
            continue
        scope = _scope(known, job, result)
        if not scope.holds(step.get("if") or _SUCCESS):
            continue
        if "uses" in step:
            result.used[step["name"]] = scope.texts(step["with"])
        else:
            _run_step(step, scope, job, result)
    result.outputs = {
        name: _scope(known, job, result).text(told["value"]) for name, told in parsed.document["outputs"].items()
    }
    return result


def _scope(inputs: dict[str, str], job: dict[str, str], result: ActionRun) -> Scope:
    """What an expression in a composite action knows ("Contexts reference", context availability), where ours ask."""
    runner = {name: job.get(f"RUNNER_{name.upper()}", "") for name in ("temp", "os", "arch", "environment")}
    steps = {name: {"outputs": outputs} for name, outputs in result.steps.items()}
    status = {"success": result.ok, "failure": not result.ok}
    return Scope(shared_node(), {"inputs": inputs, "steps": steps, "runner": runner}, status)


def _run_step(step: dict[str, Any], scope: Scope, job: dict[str, str], result: ActionRun) -> None:
    assert step["shell"] == "bash"
    assert isinstance(step["run"], str), "the runner would paste an expression into the script"
    folder = Path(tempfile.mkdtemp(prefix="step_", dir=job["RUNNER_TEMP"]))
    files = StepFiles(folder / "files")
    (folder / "script.sh").write_text(step["run"], encoding="utf-8")
    env = {**job, **result.env, **scope.texts(step.get("env")), **files.variables}
    env["PATH"] = os.pathsep.join([*reversed(result.path), job["PATH"]])
    argv = ("bash", "--noprofile", "--norc", "-eo", "pipefail", str(folder / "script.sh"))
    outcome = run(Command(argv=argv, cwd=Path(job["GITHUB_WORKSPACE"]), env=env, timeout=300))
    result.ok = result.ok and bool(outcome)
    result.log += f"{outcome.output}\n"
    result.summary += files.path("GITHUB_STEP_SUMMARY").read_text(encoding="utf-8")
    result.env.update(read_command_file(files.path("GITHUB_ENV")))
    result.path = read_path_file(files.path("GITHUB_PATH"), result.path)
    if "id" in step:
        result.steps[step["id"]] = read_command_file(files.path("GITHUB_OUTPUT"))


def command_outputs(environ: dict[str, str]) -> dict[str, str]:
    """The outputs that a step with these variables has set."""
    path = Path(environ["GITHUB_OUTPUT"])
    return read_command_file(path) if path.exists() else {}
