"""``ci-envs check``: the health check of an environment that is there, every byte of it read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from ci_envs import console
from ci_envs.asking import Asked, order_for
from ci_envs.cli.legs import carry_out
from ci_envs.cli.options import common

__all__ = ["command"]


@click.command("check")
@click.argument("leg", metavar="LEG")
@click.option("--matrix", type=click.Path(path_type=Path, dir_okay=False), default=None, help="The leg's matrix.")
@common
def command(*, leg: str, matrix: Path | None, project: Path, as_json: bool, quiet: bool, verbose: int) -> int:
    """Only the health check of a built environment.

    Nothing is built, locked or mended: an environment that is missing or was changed is an error.
    """
    console.configure(quiet=quiet or as_json, verbose=verbose)
    asked = Asked(
        root=project,
        matrix=matrix,
        mode="frozen",
        offline=True,
        stages=frozenset({"detect", "lock", "build", "check"}),
        deep=True,
        recorded=False,
    )
    order = replace(order_for(asked, leg), repair=False)
    return carry_out([order], jobs=1, as_json=as_json, by_name=frozenset({leg})).code
