"""``ci-envs init``: the first files of a pattern, made from what the project's other files say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ci_envs import console
from ci_envs.cli.options import common
from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.nix.initial import Started
    from ci_envs.nix.templates import Form, Installer

__all__ = ["command"]


@click.command("init")
@click.option("--pattern", default="nix", show_default=True, metavar="NAME", help="What to begin: nix.")
@click.option(
    "--form",
    type=click.Choice(["flake", "shell"]),
    default="flake",
    show_default=True,
    help="flake.nix, or shell.nix with the nixpkgs that it pins.",
)
@click.option(
    "--installer",
    type=click.Choice(["nixpkgs", "uv"]),
    default="nixpkgs",
    show_default=True,
    help="Packages of nixpkgs, or nix's Python and uv.lock.",
)
@click.option("--python", default="", metavar="VERSION", help="The Python: 3.12.  [default: what the project asks for]")
@click.option("--direnv", is_flag=True, help="An .envrc beside it, for direnv.")
@common
def command(
    *,
    pattern: str,
    form: Form,
    installer: Installer,
    python: str,
    direnv: bool,
    project: Path,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> int:
    """Begin with a pattern: write its first files from the project's requirements.

    A file that is there already is never changed.
    """
    from ci_envs.nix.initial import start
    from ci_envs.project import Project
    from ci_envs.settings import project_layers, resolve

    console.configure(quiet=quiet or as_json, verbose=verbose)
    if pattern != "nix":
        raise UsageError(
            f"init writes files for nix, and none for {pattern!r}",
            hint="every other pattern begins with the files that its own tool makes: `ci-envs detect` lists them",
        )
    root = Project(project)
    config = resolve(project_layers(root)).config
    started = start(root, config, form=form, installer=installer, python=python, direnv=direnv)
    if as_json:
        console.show_json({"written": started.written, "to_check": started.to_check, "next": started.next_steps})
    else:
        _show(started)
    return 0


def _show(started: Started) -> None:
    for name in started.written:
        console.show_note(f"{name} is written")
    for sentence in started.to_check:
        console.show_note(f"to check: {sentence}")
    console.show_text("\n".join(started.next_steps))
