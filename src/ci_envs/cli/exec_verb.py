"""``ci-envs exec``: a command inside a built environment, with this terminal."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ci_envs import console
from ci_envs.cli.options import common
from ci_envs.errors import BuildError, UsageError

__all__ = ["command"]


@click.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("leg", metavar="LEG")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@common
def command(*, leg: str, words: tuple[str, ...], project: Path, as_json: bool, quiet: bool, verbose: int) -> int:
    """Run a command inside a built environment.

    The exit code is the command's own. It runs where you stand, with the environment's programs first on PATH.
    """
    from ci_envs.building import built_environment
    from ci_envs.layout import Layout
    from ci_envs.record_files import is_leg_id, read_record

    console.configure(quiet=quiet, verbose=verbose)
    if as_json:
        raise UsageError("exec has nothing to say in JSON: what is printed is the command's")
    layout = Layout.at(project, os.environ)
    if not is_leg_id(leg) or not layout.record(leg).is_file():
        raise BuildError(f"there is no environment of {leg!r}", hint=f"build it with: ci-envs run --only {leg!r}")
    with built_environment(layout, read_record(layout.record(leg)).leg, os.environ) as environment:
        return environment.hand_over(words, cwd=Path.cwd())
