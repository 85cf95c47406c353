"""The only module that knows GitHub Actions: its variables, inputs, outputs, summary and workflow commands.

Sources: "Workflow commands for GitHub Actions", "Variables reference" (docs.github.com), and for what the runner takes
for a command, actions/runner, src/Runner.Common/ActionCommand.cs. Nothing here prints: a workflow command is returned
as text, and ``console.py`` writes it.
"""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.errors import UsageError
from ci_envs.plain import one_line, plain, without_commands

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ci_envs.model.record import Finding, RunRecord

__all__ = [
    "Inputs",
    "action_arguments",
    "action_outputs",
    "add_path",
    "annotate",
    "annotation",
    "cache_choice",
    "export",
    "group",
    "in_action",
    "in_actions",
    "read_inputs",
    "runner",
    "set_output",
    "summary",
    "temporary_folder",
    "workspace_path",
]

#: What GitHub keeps of the summary of one step, in bytes.
SUMMARY_LIMIT = 1024 * 1024

#: GitHub shows this many annotations of each level for one step and drops the rest without a word.
ANNOTATION_LIMIT = 10

_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}
_SUMMARY_CUT = "\n\n*Cut: the rest does not fit into a step summary.*\n"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_BOOLEANS = ("true", "false")


def in_actions(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this is a job of GitHub Actions."""
    return environ.get("GITHUB_ACTIONS") == "true"


def in_action(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether our own ``action.yml`` runs this, and waits for its outputs."""
    return environ.get("CI_ENVS_ACTION") == "1"


# --- inputs


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of ``action.yml``, typed; an empty text leaves the choice to the project's configuration."""

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


def read_inputs(environ: Mapping[str, str] = os.environ) -> Inputs:
    """The inputs that ``action.yml`` hands on as ``INPUT_<NAME>``; :class:`UsageError` names a wrong one's choices."""
    values = {
        name: value.strip()
        for name in Inputs.__dataclass_fields__
        if (value := environ.get(f"INPUT_{name.upper()}", "")).strip()
    }
    for name, value in values.items():
        if "\n" in value and name != "groups":
            raise UsageError(f"input {_spelt(name)} has more than one line", hint=_LINES.get(name, "give one value"))
    return Inputs(
        pattern=_word(values, "pattern", r"[a-z][a-z0-9-]*", "auto", "uv, venv, conda, ... or auto"),
        python_version=_word(values, "python_version", r"(pypy)?\d+\.\d+t?", "", "for example 3.12, 3.13t or pypy3.10"),
        working_directory=values.get("working_directory", "."),
        lock_mode=_choice(values, "lock_mode", ("locked", "auto", "frozen", "update"), ""),
        groups=_groups(values.get("groups", "")),
        enable_cache=_choice(values, "enable_cache", ("auto", *_BOOLEANS), "auto"),
        cache_suffix=_word(
            values,
            "cache_suffix",
            r"\w[\w.-]{0,63}",
            "",
            "a letter or digit, then letters, digits, '.', '_' and '-', at most 64",
        ),
        activate_environment=_choice(values, "activate_environment", _BOOLEANS, "false") == "true",
        check=_choice(values, "check", _BOOLEANS, "true") == "true",
        test=_choice(values, "test", _BOOLEANS, "true") == "true",
        test_command=values.get("test_command", ""),
        expect_gpu=_choice(values, "expect_gpu", ("auto", *_BOOLEANS), ""),
    )


def _groups(text: str) -> tuple[str, ...]:
    """Names as PEP 735 and PEP 685 have them."""
    names = tuple(re.findall(r"[^\s,]+", text))
    for name in names:
        _word({"groups": name}, "groups", r"[a-zA-Z0-9][\w.-]*", "", "names of dependency groups or extras")
    return names


_LINES = {
    "test_command": "put several commands into a script, and give the command that runs it",
    "python_version": "one step makes one environment: list versions in the job's strategy.matrix",
    "pattern": "one step makes one environment: list patterns in the job's strategy.matrix",
}


def _spelt(name: str) -> str:
    return repr(name.replace("_", "-"))


def _choice(values: Mapping[str, str], name: str, choices: Sequence[str], default: str) -> str:
    value = values.get(name, default)
    if value not in choices and value != default:
        raise UsageError(
            f"input {_spelt(name)} is {one_line(value, 60)!r}", hint=f"it takes one of: {', '.join(choices)}"
        )
    return value


def _word(values: Mapping[str, str], name: str, grammar: str, default: str, hint: str) -> str:
    value = values.get(name, default)
    if value and not re.fullmatch(grammar, value, re.ASCII):
        raise UsageError(f"input {_spelt(name)} is {one_line(value, 60)!r}", hint=hint)
    return value


def action_arguments(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The inputs as arguments of ``ci-envs``. Each value stands behind its ``=``, so none can be read as a flag."""
    inputs = read_inputs(environ)
    # The pattern is always said: without it `run` would take the project's matrix, and one step makes one environment.
    arguments = ["run", f"--project={inputs.working_directory}", f"--pattern={inputs.pattern}"]
    named = (("python", inputs.python_version), ("lock-mode", inputs.lock_mode), ("test-command", inputs.test_command))
    arguments += [f"--{name}={value}" for name, value in (*named, ("expect-gpu", inputs.expect_gpu)) if value]
    arguments += [f"--group={name}" for name in inputs.groups]
    if not (inputs.check and inputs.test):
        stages = ["lock", "build", *(["check"] if inputs.check else []), *(["test"] if inputs.test else [])]
        arguments.append(f"--stages={','.join(stages)}")
    return arguments


def cache_choice(inputs: Inputs, environ: Mapping[str, str] = os.environ) -> tuple[bool, str]:
    """Whether the package cache is restored and saved, and the sentence that says why.

    A cache can be written by a run that is trusted less than the one that reads it, so ``auto`` keeps away from
    those that publish or that run with a base branch's rights. A self-hosted runner keeps its own.
    """
    if inputs.enable_cache != "auto":
        return inputs.enable_cache == "true", f"enable-cache is {inputs.enable_cache}"
    event = environ.get("GITHUB_EVENT_NAME", "")
    if environ.get("GITHUB_REF", "").startswith("refs/tags/") or event == "release":
        return False, "auto: off for tags and releases"
    if event in ("pull_request_target", "workflow_run"):
        return False, f"auto: off for {event}"
    if environ.get("RUNNER_ENVIRONMENT") == "self-hosted":
        return False, "auto: off on self-hosted runners, which keep their own cache"
    if environ.get("UV_CACHE_DIR"):
        return False, "auto: off since UV_CACHE_DIR is set, and whoever set it keeps that cache"
    return True, "auto: on"


def runner(environ: Mapping[str, str] = os.environ) -> str:
    """``linux-x64-ubuntu24``: what built wheels depend on beside their Python."""
    parts = (environ.get("RUNNER_OS", ""), environ.get("RUNNER_ARCH", ""), environ.get("ImageOS", ""))
    return "-".join(re.sub(r"[^a-z0-9.]+", "_", part.lower()) for part in parts if part) or "unknown"


def temporary_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder that the runner empties before and after each job; :class:`UsageError` outside of a job."""
    named = environ.get("RUNNER_TEMP")
    if not named:
        raise UsageError("RUNNER_TEMP is not set", hint="this part runs as a step of a GitHub Actions job")
    return Path(named)


# --- outputs: files that the runner reads after the step


def set_output(name: str, value: str, environ: Mapping[str, str] = os.environ) -> None:
    """Sets an output of the step; the value may hold anything, line ends and delimiters too."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for an output")
    # The delimiter is drawn after the value is known and nobody can guess it: no line of the value ends the value.
    delimiter = f"ci_envs_{uuid.uuid4().hex}"
    _append("GITHUB_OUTPUT", f"{name}<<{delimiter}\n{value}\n{delimiter}\n", environ)


def export(name: str, value: str, environ: Mapping[str, str] = os.environ) -> None:
    """Sets a variable for later steps. Only for values that we made: a line end in one is refused."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a variable")
    _append("GITHUB_ENV", f"{name}={_own_line(value)}\n", environ)


def add_path(folder: str, environ: Mapping[str, str] = os.environ) -> None:
    """Puts a folder in front of the PATH of later steps. A line end in it is refused."""
    _append("GITHUB_PATH", f"{_own_line(folder)}\n", environ)


def summary(markdown: str, environ: Mapping[str, str] = os.environ) -> None:
    """Adds Markdown to the summary of the step, as far as GitHub takes it; past that, it says that it was cut."""
    path = environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    room = SUMMARY_LIMIT - (Path(path).stat().st_size if Path(path).exists() else 0)
    text = markdown if markdown.endswith("\n") else f"{markdown}\n"
    if len(text.encode()) > room:
        whole = text.encode()[: max(0, room - len(_SUMMARY_CUT.encode()))].decode("utf-8", "ignore")
        text = whole.rpartition("\n")[0] + _SUMMARY_CUT if room >= len(_SUMMARY_CUT.encode()) else ""
    _append("GITHUB_STEP_SUMMARY", text, environ)


def _own_line(value: str) -> str:
    if "\n" in value or "\r" in value:
        raise ValueError("a line end would set another variable")
    return value


def _append(variable: str, text: str, environ: Mapping[str, str]) -> None:
    """Outside of Actions there is no such file, and nobody to tell."""
    path = environ.get(variable)
    if path:
        with Path(path).open("a", encoding="utf-8", newline="") as stream:
            stream.write(text)


# --- workflow commands: lines for console.py to write


def annotation(finding: Finding, base: str = "") -> str:
    """The workflow command that shows a finding beside its line; ``base`` is the project's path in the repository."""
    file = f"{base}/{finding.file}" if finding.file and base not in ("", ".") else finding.file
    properties = {"file": file, "line": str(finding.line) if file and finding.line else ""}
    properties["title"] = one_line(f"{finding.code}: {finding.title}", 200)
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    return f"::{_LEVELS[finding.severity]} {written}::{_data(plain(finding.message or finding.title))}"


def annotate(findings: Iterable[tuple[Finding, str]]) -> list[str]:
    """The commands for many findings, each with its base; no more of a level than GitHub shows."""
    counts = dict.fromkeys(_LEVELS, 0)
    commands = []
    for finding, base in findings:
        counts[finding.severity] += 1
        if counts[finding.severity] <= ANNOTATION_LIMIT:
            commands.append(annotation(finding, base))
    return commands


def group(title: str, body: str) -> str:
    """A folded group of log lines; the body is outside text, and nothing in it is taken for a command."""
    lines = without_commands(plain(body)).strip("\n")
    return f"::group::{_data(one_line(title))}\n{lines}\n::endgroup::"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(plain(text)).replace(":", "%3A").replace(",", "%2C")


# --- what the action's outputs say of a record


def workspace_path(path: Path, environ: Mapping[str, str] = os.environ) -> str:
    """A path relative to the checked-out repository where it is inside, as ``hashFiles`` and annotations want it."""
    workspace = Path(environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    absolute = path.resolve()
    return (absolute.relative_to(workspace) if absolute.is_relative_to(workspace) else absolute).as_posix()


def action_outputs(
    record: RunRecord, root: Path, record_path: Path, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The outputs of ``action.yml`` for one leg; empty where the leg did not get that far.

    ``environment-path`` and ``python-path`` are absolute, ``lock-file`` and ``record`` relative to the repository.
    """
    lock, environment = record.lock, record.environment
    prefix = root.resolve() / environment.path if environment and environment.path else None
    return {
        "pattern": record.leg.pattern,
        "environment-path": str(prefix or ""),
        "python-path": str(prefix / _python(record.leg.os)) if prefix else "",
        "python-version": environment.python if environment else "",
        "lock-file": workspace_path(root / record.leg.project / lock.path, environ) if lock else "",
        "lock-digest": lock.digest if lock else "",
        "environment-digest": environment.digest if environment else "",
        "image": record.image.name if record.image else "",
        "image-digest": record.image.digest if record.image else "",
        "record": workspace_path(record_path, environ),
        "reproduce-command": record.reproduce,
    }


def _python(os_name: str) -> str:
    return "Scripts/python.exe" if os_name == "windows" else "bin/python"
