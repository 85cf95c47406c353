"""``ci-envs detect``: which patterns a project describes, by what evidence, and which of them ``auto`` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ci_envs import console
from ci_envs.cli.options import common
from ci_envs.detect import BUILT_PATTERNS, RECOGNISED, detect
from ci_envs.errors import NothingToDo, UsageError
from ci_envs.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.model.detect import Detection

__all__ = ["command"]


@click.command("detect")
@common
def command(*, project: Path, as_json: bool, quiet: bool, verbose: int) -> int:
    """Which patterns this project describes, and by what evidence.

    The first one is what a matrix with `pattern: auto` takes. Nothing is run and nothing is written. A file that
    cannot be read is an error (exit code 2), told after what the others say.
    """
    console.configure(quiet=quiet, verbose=verbose)
    detection = detect(Project(project), buildable=BUILT_PATTERNS)
    if as_json:
        console.show_json(detection)
    elif detection.patterns:
        _show(detection, quiet=quiet)
    for problem in detection.problems:
        console.show_error(UsageError(problem.message, file=problem.file, line=problem.line, hint=problem.hint))
    if detection.problems:
        return UsageError.exit_code
    if not detection.patterns:
        raise NothingToDo("no file here describes an environment", hint=f"known files are {RECOGNISED}")
    return 0


def _show(detection: Detection, *, quiet: bool) -> None:
    if quiet:
        console.show_text(detection.patterns[0].pattern)
        return
    rows = [
        (f"{found.pattern} (auto)" if found.chosen else found.pattern, ", ".join(map(str, found.evidence)), found.why)
        for found in detection.patterns
    ]
    console.show_table("Patterns that this project describes", ("pattern", "evidence", "why"), rows)
