"""``ci-envs export``: a built conda leg in the files that conda's own commands read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ci_envs import console
from ci_envs.asking import Asked, order_for
from ci_envs.cli.options import common
from ci_envs.errors import BuildError, UsageError

if TYPE_CHECKING:
    from ci_envs.conda.exporting import Form

__all__ = ["command"]


@click.command("export")
@click.argument("leg", metavar="LEG")
@click.option("--from-history", is_flag=True, help="What was asked for, and nothing that only depends on it.")
@click.option("--explicit", is_flag=True, help="Addresses with hashes: for `conda create --file`.")
@click.option("--no-builds", is_flag=True, help="Versions without builds: for other platforms.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=None, help="Write to this file.", metavar="FILE"
)
@click.option("--matrix", type=click.Path(path_type=Path, dir_okay=False), default=None, help="The leg's matrix.")
@common
def command(
    *,
    leg: str,
    from_history: bool,
    explicit: bool,
    no_builds: bool,
    output: Path | None,
    matrix: Path | None,
    project: Path,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> int:
    """Write a built conda environment as environment.yml, or as an explicit list.

    Without a flag: every package with version and build, as `conda env export` does.
    """
    from ci_envs.conda.exporting import export
    from ci_envs.project import Project
    from ci_envs.record_files import find_record

    console.configure(quiet=quiet or as_json, verbose=verbose)
    form = _form(from_history=from_history, explicit=explicit, no_builds=no_builds)
    order = order_for(Asked(root=project, matrix=matrix), leg)
    record = find_record(order.layout.record(order.leg.id))
    if record is None:
        raise BuildError(f"{order.leg.id} was not built", hint=f"build it with: {order.reproduce}")
    text = export(record, Project(order.project_folder, order.leg.project), order.config, form)
    if output is not None:
        _write(output, text)
        console.show_note(f"{leg}: written to {output}")
    if as_json:
        console.show_json({"leg": order.leg.id, "form": form, "text": text})
    elif output is None:
        console.show_text(text.rstrip("\n"))
    return 0


def _write(output: Path, text: str) -> None:
    from ci_envs.layout import write_atomically

    try:
        write_atomically(output.absolute(), text.encode())
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror or error}") from error


def _form(*, from_history: bool, explicit: bool, no_builds: bool) -> Form:
    if from_history + explicit + no_builds > 1:
        raise UsageError("--from-history, --explicit and --no-builds are three forms: choose one")
    return "from-history" if from_history else "explicit" if explicit else "no-builds" if no_builds else "full"
