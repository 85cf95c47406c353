"""``ci-envs doctor``: what this machine can build, and the command that brings what is missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ci_envs import console
from ci_envs.cli.options import common
from ci_envs.doctor import diagnose, refuse_unready
from ci_envs.patterns.registry import ALL_PATTERNS

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.doctor import Diagnosis, FoundTool

__all__ = ["command"]


@click.command("doctor")
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@common
def command(*, patterns: tuple[str, ...], project: Path, as_json: bool, quiet: bool, verbose: int) -> None:  # noqa: ARG001 - the machine is the same for every project
    """Which patterns this machine can build, and what is missing for the others.

    Asked for patterns by name, it ends with exit code 4 where one of them is not ready; asked for none, with 0.
    """
    console.configure(quiet=quiet, verbose=verbose)
    diagnosis = diagnose(
        patterns, built={name: pattern.built for name, pattern in ALL_PATTERNS.items()}, environ=os.environ
    )
    if as_json:
        console.show_json(diagnosis)
    else:
        _show(diagnosis, quiet=quiet)
    if patterns:
        refuse_unready(diagnosis)


def _show(diagnosis: Diagnosis, *, quiet: bool) -> None:
    shown = [state for state in diagnosis.patterns if not quiet or state.status == "ready"]
    rows = [(state.pattern, state.status, _tools(state.tools), state.get) for state in shown]
    console.show_table("Patterns", ("pattern", "status", "tools", "get it with"), rows)
    if quiet:
        return
    pythons = [
        (one.python, one.version, one.arch, "yes" if one.ensurepip else "no (environments come without pip)", one.path)
        for one in diagnosis.pythons
    ]
    console.show_table("Pythons", ("python", "version", "arch", "ensurepip", "path"), pythons)
    if not pythons:
        console.show_text("no Python here (uv python install 3.13)")
    console.show_table(
        "Beside them", ("tool", "version", "path"), [(t.name, t.version, t.path) for t in diagnosis.tools]
    )
    for gpu in diagnosis.gpus:
        console.show_text(f"GPU: {gpu.name}, driver {gpu.version}")
    for note in diagnosis.notes:
        console.show_detail(note)


def _tools(tools: tuple[FoundTool, ...]) -> str:
    return ", ".join(f"{tool.name} {tool.version}".strip() for tool in tools)
