"""Runs a composite action as GitHub's runner does: its scripts under bash, its environment files as real files.

Only what ``action.yml`` uses is known: ``inputs.<name>``, ``steps.<id>.outputs.<name>``, texts in single quotes,
``==``, ``!=`` and ``&&``. Anything else raises.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ci_envs.command import Command, run

__all__ = ["ActionRun", "read_command_file", "run_action"]

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")
_REFERENCE = re.compile(r"(inputs|steps)\.([\w-]+)(?:\.outputs\.([\w-]+))?")


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
    """Runs the steps in order until one fails.

    ``environ`` is the job's: RUNNER_TEMP and GITHUB_WORKSPACE must be in it. Steps whose id is in ``given`` are not run
    and have those outputs; neither are actions that a step uses. With ``only``, no other steps are run.
    """
    document = yaml.safe_load(action.read_text(encoding="utf-8"))
    defaults = {name: str(spec.get("default", "")) for name, spec in document["inputs"].items()}
    assert inputs.keys() <= defaults.keys(), f"action.yml has no input {inputs.keys() - defaults.keys()}"
    known = {**defaults, **inputs}
    result = ActionRun(steps=dict(given or {}))
    job = {**environ, "GITHUB_ACTION_PATH": str(action.parent)}
    for step in document["runs"]["steps"]:
        if only is not None and step.get("id") not in only:
            continue
        if step.get("id") in (given or {}) or not result.ok or not _condition(step.get("if"), known, result):
            continue
        if "uses" in step:
            result.used[step["name"]] = {name: _text(value, known, result) for name, value in step["with"].items()}
        else:
            _run_step(step, known, job, result)
    result.outputs = {name: _text(spec["value"], known, result) for name, spec in document["outputs"].items()}
    return result


def _run_step(step: dict[str, Any], inputs: dict[str, str], job: dict[str, str], result: ActionRun) -> None:
    assert step["shell"] == "bash"
    assert "${{" not in step["run"], "the runner would paste an expression into the script"
    folder = Path(tempfile.mkdtemp(prefix="step_", dir=job["RUNNER_TEMP"]))
    files = {
        name: folder / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
    }
    for path in files.values():
        path.touch()
    (folder / "script.sh").write_text(step["run"], encoding="utf-8")
    own = {name: _text(value, inputs, result) for name, value in step.get("env", {}).items()}
    env = {**job, **result.env, **own, **{name: str(path) for name, path in files.items()}}
    env["PATH"] = os.pathsep.join([*reversed(result.path), job["PATH"]])
    argv = ("bash", "--noprofile", "--norc", "-eo", "pipefail", str(folder / "script.sh"))
    outcome = run(Command(argv=argv, cwd=Path(job["GITHUB_WORKSPACE"]), env=env, timeout=300))
    result.ok = bool(outcome)
    result.log += f"{outcome.output}\n"
    result.summary += files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
    result.env.update(read_command_file(files["GITHUB_ENV"]))
    result.path += files["GITHUB_PATH"].read_text(encoding="utf-8").splitlines()
    if "id" in step:
        result.steps[step["id"]] = read_command_file(files["GITHUB_OUTPUT"])


def read_command_file(path: Path) -> dict[str, str]:
    """GITHUB_OUTPUT and GITHUB_ENV as the runner reads them: ``name=value``, or ``name<<delimiter`` up to it."""
    values: dict[str, str] = {}
    lines = iter(path.read_bytes().decode("utf-8").split("\n"))
    for line in lines:
        name, equals, value = line.partition("=")
        heredoc = re.match(r"([^=]*?)<<(.+)", line)
        if heredoc:
            taken = []
            for inner in lines:
                if inner == heredoc[2]:
                    break
                taken.append(inner)
            else:
                raise AssertionError(f"{heredoc[1]} has no end")
            values[heredoc[1]] = "\n".join(taken)
        elif equals:
            values[name] = value
        else:
            assert not line, f"not a line of a command file: {line!r}"
    return values


def _condition(text: str | None, inputs: dict[str, str], result: ActionRun) -> bool:
    return text is None or _value(text, inputs, result) == "true"


def _text(template: str, inputs: dict[str, str], result: ActionRun) -> str:
    return _EXPRESSION.sub(lambda match: _value(match[1], inputs, result), str(template))


def _value(expression: str, inputs: dict[str, str], result: ActionRun) -> str:
    if "&&" in expression:
        return "true" if all(_value(part, inputs, result) == "true" for part in expression.split("&&")) else "false"
    compared = re.fullmatch(r"(.+?)(==|!=)(.+)", expression.strip())
    if compared:
        same = _value(compared[1], inputs, result) == _value(compared[3], inputs, result)
        return "true" if same == (compared[2] == "==") else "false"
    word = expression.strip()
    if re.fullmatch(r"'[^']*'", word):
        return word[1:-1]
    reference = _REFERENCE.fullmatch(word)
    assert reference, f"an expression that is not known here: {word}"
    if reference[1] == "inputs":
        return inputs[reference[2]]
    return result.steps.get(reference[2], {}).get(reference[3], "")
