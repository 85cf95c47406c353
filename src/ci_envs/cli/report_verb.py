"""``ci-envs report``: many records, one report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ci_envs import console
from ci_envs.cli.options import common
from ci_envs.errors import UsageError
from ci_envs.layout import Layout, write_atomically
from ci_envs.record_files import read_records
from ci_envs.report.markdown import SUMMARY_LIMIT, summary
from ci_envs.report.merge import exit_code, merge

if TYPE_CHECKING:
    from ci_envs.model.report import Report

__all__ = ["command"]


@click.command("report")
@click.argument("records", nargs=-1, type=click.Path(path_type=Path))
@click.option("--expect", multiple=True, metavar="LEG", help="A leg that must have a record; without one it is broken.")
@click.option("--markdown", is_flag=True, help="Print Markdown, as for a step summary.")
@click.option("--limit", default=SUMMARY_LIMIT, show_default=True, help="Cut the Markdown at so many bytes.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write there instead of printing."
)
@click.option("--exit-code", "with_exit_code", is_flag=True, help="Exit as `ci-envs run` would have for these legs.")
@common
def command(
    *,
    records: tuple[Path, ...],
    expect: tuple[str, ...],
    markdown: bool,
    limit: int,
    output: Path | None,
    with_exit_code: bool,
    project: Path,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> int:
    """Merge records: terminal, Markdown, JSON.

    RECORDS are files or folders of them; by default those of --project.
    """
    console.configure(quiet=quiet, verbose=verbose)
    if as_json and markdown:
        raise UsageError("--json and --markdown exclude each other")
    report = merge(read_records(records or [_default(project)]), expect)
    _show(report, as_json=as_json, markdown=markdown, limit=limit, output=output)
    return exit_code(report) if with_exit_code else 0


def _default(project: Path) -> Path:
    folder = Layout.at(project, os.environ).record("any").parent
    if not folder.is_dir():
        raise UsageError(f"there are no records in {folder}", hint="`ci-envs run` makes them; or name files")
    return folder


def _show(report: Report, *, as_json: bool, markdown: bool, limit: int, output: Path | None) -> None:
    if output is not None:
        import msgspec

        text = msgspec.json.format(msgspec.json.encode(report)) if as_json else summary(report, limit=limit).encode()
        write_atomically(output, text)
    elif as_json:
        console.show_json(report)
    elif markdown:
        console.show_text(summary(report, limit=limit).rstrip("\n"))
    else:
        console.show_report(report)
