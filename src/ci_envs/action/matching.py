"""Problem matchers: while a leg runs, tracebacks in what it prints become annotations beside their lines.

What the runner does with them: actions/runner, src/Runner.Worker/IssueMatcher.cs and Handlers/OutputManager.cs.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs import console
from ci_envs.github.runner import acting, workspace_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["matcher_files", "problem_matchers"]


@contextmanager
def problem_matchers(project: Path, environ: Mapping[str, str] = os.environ) -> Iterator[tuple[str, ...]]:
    """Adds them, and removes them at the end; nothing where this is no leg of ours, or nobody wants them.

    Gives the commands that remove them, for whoever prints what they are not to read.
    """
    files = matcher_files(project, environ) if _wanted(environ) else []
    removal = tuple(f"::remove-matcher owner={owner}::" for path in files for owner in _owners(path))
    console.show_commands(f"::add-matcher::{path}" for path in files)
    try:
        yield removal
    finally:
        console.show_commands(removal)


def matcher_files(project: Path, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The files of the matchers that tell the truth for this project.

    A traceback names files by their whole paths. pytest names them relative to the folder that it runs in, and the
    runner takes them to be relative to the repository: elsewhere that would be another file, or none.
    """
    folder = Path(__file__).parents[1] / "resources" / "problem-matchers"
    names = ("python", "pytest") if workspace_path(project, environ) == "." else ("python",)
    return [folder / f"{name}.json" for name in names]


def _wanted(environ: Mapping[str, str]) -> bool:
    if acting(environ) != "leg":
        return False
    from ci_envs.github.inputs import LegInputs, read_inputs

    return read_inputs(LegInputs, environ).add_problem_matchers


def _owners(path: Path) -> list[str]:
    import json

    return [matcher["owner"] for matcher in json.loads(path.read_text(encoding="utf-8"))["problemMatcher"]]
