"""The options that verbs share, and how a verb's errors become exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["common", "matrix_argument", "selection"]

F = TypeVar("F", bound="Callable[..., Any]")


def common(function: F) -> F:
    """``--project DIR``, ``--json``, ``-q`` and ``-v``: every verb takes them."""
    for option in reversed(
        (
            click.option(
                "--project",
                type=click.Path(path_type=Path, file_okay=False, exists=True),
                default=Path(),
                help="The project's folder.  [default: this folder]",
            ),
            click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else on standard output."),
            click.option("-q", "--quiet", is_flag=True, help="Only the verdict and errors."),
            click.option("-v", "--verbose", count=True, help="More: commands as they run; twice: their output."),
        )
    ):
        function = option(function)
    return function


def matrix_argument(function: F) -> F:
    """``[MATRIX]``: a file; by default ``matrices/default.yml``, else what ``detect`` finds."""
    return click.argument("matrix", required=False, type=click.Path(path_type=Path, dir_okay=False), default=None)(
        function
    )


def selection(function: F) -> F:
    """``--only GLOB`` and ``--skip GLOB``, over leg ids, both repeatable."""
    function = click.option("--skip", multiple=True, metavar="GLOB", help="Leave legs out whose id matches.")(function)
    return click.option("--only", multiple=True, metavar="GLOB", help="Only legs whose id matches.")(function)
