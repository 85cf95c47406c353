"""``ci-envs diff``: what differs between two records."""

from __future__ import annotations

from pathlib import Path

import click

from ci_envs import console
from ci_envs.cli.options import common
from ci_envs.diff import compare, render
from ci_envs.errors import DriftFound
from ci_envs.record_files import read_record

__all__ = ["command"]

_RECORD = click.Path(path_type=Path, dir_okay=False)


@click.command("diff")
@click.argument("before", type=_RECORD)
@click.argument("after", type=_RECORD)
@click.option(
    "--exit-code", "exit_code", is_flag=True, help="Exit with 9 where they differ, as `git diff` does with 1."
)
@common
def command(
    *,
    before: Path,
    after: Path,
    exit_code: bool,
    project: Path,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> int:
    """What differs between two records, for a person.

    BEFORE and AFTER are files; a name that is not there is looked up in --project.
    """
    console.configure(quiet=quiet, verbose=verbose)
    difference = compare(read_record(_found(before, project)), read_record(_found(after, project)))
    if as_json:
        console.show_json(difference)
    elif not quiet:
        console.show_text(render(difference))
    return DriftFound.exit_code if exit_code and not difference.same else 0


def _found(path: Path, project: Path) -> Path:
    return path if path.exists() or not (project / path).exists() else project / path
