"""Outputs, variables and the summary of a step: files that the runner reads after it."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SUMMARY_LIMIT", "add_path", "export", "set_output", "summary", "summary_room"]

#: What GitHub keeps of the summary of one step, in bytes.
SUMMARY_LIMIT = 1024 * 1024

_SUMMARY_CUT = "\n\n*Cut: the rest does not fit into a step summary.*\n"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


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
    room = summary_room(environ)
    text = markdown if markdown.endswith("\n") else f"{markdown}\n"
    if len(text.encode()) > room:
        whole = text.encode()[: max(0, room - len(_SUMMARY_CUT.encode()))].decode("utf-8", "ignore")
        text = whole.rpartition("\n")[0] + _SUMMARY_CUT if room >= len(_SUMMARY_CUT.encode()) else ""
    _append("GITHUB_STEP_SUMMARY", text, environ)


def summary_room(environ: Mapping[str, str] = os.environ) -> int:
    """How many bytes more the summary of this step may have."""
    path = environ.get("GITHUB_STEP_SUMMARY")
    taken = Path(path).stat().st_size if path and Path(path).exists() else 0
    return max(0, SUMMARY_LIMIT - taken)


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
