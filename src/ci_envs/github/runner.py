"""The job that this runs in: whether there is one, whose it is, and where its folders are."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["acting", "in_actions", "runner", "temporary_folder", "workspace_path"]


def in_actions(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this is a job of GitHub Actions."""
    return environ.get("GITHUB_ACTIONS") == "true"


def acting(environ: Mapping[str, str] = os.environ) -> str:
    """Which of our own actions runs this and waits for its outputs: the name of its step, or nothing."""
    return environ.get("CI_ENVS_ACTION", "") if in_actions(environ) else ""


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
