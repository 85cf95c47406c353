"""The job that this runs in: whether there is one, whose it is, and where its folders are."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_envs.model.record import JobFacts

__all__ = [
    "acting",
    "in_actions",
    "job_facts",
    "project_file",
    "run_identity",
    "runner",
    "temporary_folder",
    "workspace_path",
]


def in_actions(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this is a job of GitHub Actions."""
    return environ.get("GITHUB_ACTIONS") == "true"


def acting(environ: Mapping[str, str] = os.environ) -> str:
    """Which of our own actions runs this and waits for its outputs: the name of its step, or nothing."""
    return environ.get("CI_ENVS_ACTION", "") if in_actions(environ) else ""


def run_identity(environ: Mapping[str, str] = os.environ) -> str:
    """``<repository>/<run id>``, the same for all jobs of a run and all attempts at it; empty outside of a job."""
    repository, number = environ.get("GITHUB_REPOSITORY", ""), environ.get("GITHUB_RUN_ID", "")
    return f"{repository}/{number}" if in_actions(environ) and repository and number else ""


def job_facts(root: Path, environ: Mapping[str, str] = os.environ) -> JobFacts | None:
    """What a leg's record says of the job that it ran in; nothing outside of one. ``root`` holds the projects."""
    run = run_identity(environ)
    if not run:
        return None
    from ci_envs.model.record import JobFacts  # a program that is asked for its help need not know

    attempt = environ.get("GITHUB_RUN_ATTEMPT", "")
    folder = workspace_path(root, environ)
    return JobFacts(
        run=run,
        attempt=int(attempt) if re.fullmatch(r"[1-9]\d{0,8}", attempt, re.ASCII) else 1,
        commit=environ.get("GITHUB_SHA", ""),
        # A checkout beside the workspace has no path in the repository.
        root=folder if not Path(folder).is_absolute() else ".",
    )


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


def workspace_path(path: Path, environ: Mapping[str, str] = os.environ) -> str:
    """A path relative to the checked-out repository where it is inside, as ``hashFiles`` and annotations want it."""
    workspace = Path(environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    absolute = path.resolve()
    return (absolute.relative_to(workspace) if absolute.is_relative_to(workspace) else absolute).as_posix()


def project_file(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """A file that an error names, as annotations want it: relative to the repository.

    Errors name files relative to the project, which the input ``working-directory`` says, or to where we were started.
    """
    project = Path(environ.get("INPUT_WORKING_DIRECTORY", "").strip() or ".")
    beside = project / name
    return workspace_path(Path(name) if not beside.exists() and Path(name).exists() else beside, environ)
