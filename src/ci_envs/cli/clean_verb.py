"""``ci-envs clean``: what ci-envs made in this project, and nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ci_envs import console
from ci_envs.cli.options import common
from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]


@click.command("clean")
@click.argument("legs", nargs=-1, metavar="[LEG]...")
@click.option("--cache", "also_cache", is_flag=True, help="The package cache of ci-envs, too, which projects share.")
@common
def command(
    *, legs: tuple[str, ...], also_cache: bool, project: Path, as_json: bool, quiet: bool, verbose: int
) -> None:
    """Remove what ci-envs made in this project.

    Environments, records and logs of the legs that are named, else the whole state folder. Lock files stay.
    """
    from ci_envs.cleaning import clean

    console.configure(quiet=quiet, verbose=verbose)
    if legs and also_cache:
        raise UsageError("--cache removes what all legs share; it does not go with single legs")
    removed = clean(project, legs, also_cache=also_cache, environ=os.environ)
    if as_json:
        console.show_json({"removed": removed})
    elif not quiet:
        console.show_text("\n".join(f"removed {path}" for path in removed) or "nothing to remove")
