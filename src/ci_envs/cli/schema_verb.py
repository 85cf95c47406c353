"""``ci-envs schema``: the JSON schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ci_envs import console, schemas
from ci_envs.cli.options import common

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]


@click.command("schema")
@click.argument("name", required=False, metavar="[NAME]")
@common
def command(*, name: str | None, project: Path, as_json: bool, quiet: bool, verbose: int) -> None:  # noqa: ARG001 - the options that all verbs take
    """The JSON schemas.

    Without NAME, what there are.
    """
    console.configure(quiet=quiet, verbose=verbose)
    if name is not None:
        console.show_json(schemas.schema(name))
    elif as_json:
        console.show_json({known: title for known, (_, title) in schemas.NAMES.items()})
    else:
        console.show_table("", ("name", "of"), [[known, title] for known, (_, title) in schemas.NAMES.items()])
