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
from ci_envs.record_files import RECORD_NAME, read_record, read_records, record_paths
from ci_envs.report.markdown import SUMMARY_LIMIT, summary
from ci_envs.report.merge import exit_code, merge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ci_envs.model.plan import Plan
    from ci_envs.model.report import Report
    from ci_envs.report.planned import PlannedLegs

__all__ = ["command"]


@click.command("report")
@click.argument("records", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--plan",
    "plan_path",
    type=click.Path(path_type=Path),
    default=None,
    help="The plan whose legs must have records, as `ci-envs plan --json` prints it, or the folder of its plan.json.",
)
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
    plan_path: Path | None,
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

    RECORDS are files or folders of them; by default those of --project. With --plan they are looked for in folders
    below, too, as artifacts lie where they were downloaded, and each leg of the plan must have passed.
    """
    console.configure(quiet=quiet, verbose=verbose)
    if as_json and markdown:
        raise UsageError("--json and --markdown exclude each other")
    if plan_path and expect:
        raise UsageError("--plan says which legs are expected, so --expect does not go with it")
    folders = records or (_default(project),)
    if plan_path:
        from ci_envs.report.planned import planned_exit_code

        report = _of_plan(plan_path, folders)
        code = planned_exit_code(report)
    else:
        report = merge(read_records(folders), expect)
        code = exit_code(report)
    _show(report, as_json=as_json, markdown=markdown, limit=limit, output=output)
    _leave(report)
    return code if with_exit_code else 0


def _of_plan(plan_path: Path, folders: Sequence[Path]) -> Report:
    """One record at a time is in memory: a thousand of them with all their pins are more than a runner has."""
    from ci_envs.plan_files import read_plan
    from ci_envs.report.planned import PlannedLegs

    plan = read_plan(plan_path)
    legs = PlannedLegs(plan)
    for folder in folders:
        if not folder.exists():
            legs.missing(folder.as_posix())
        for path in _record_files(folder, plan):
            _take(legs, path, folder)
    return legs.report()


def _record_files(folder: Path, plan: Plan) -> Iterator[Path]:
    """A file itself, or those in a folder: of artifacts, and of a state folder's records."""
    if folder.is_file():
        yield folder
        return
    named = {f"{leg.id}.json" for leg in plan.legs}
    with_names = sorted(path for path in folder.glob("*.json") if path.name in named and not path.is_symlink())
    yield from with_names
    yield from record_paths(folder)


def _take(legs: PlannedLegs, path: Path, folder: Path) -> None:
    where = path.relative_to(folder).as_posix() if path != folder else path.name
    named = legs.leg_of(path.parent.name) if path.name == RECORD_NAME else path.stem
    try:
        record = read_record(path)
    except UsageError as error:
        legs.unreadable(error.message, where, named)
    else:
        legs.take(record, where, named)


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
        for said in filter(None, (*report.warnings, report.reason)):
            console.show_note(said)


def _leave(report: Report) -> None:
    """What a job of GitHub Actions waits for."""
    from ci_envs.github.runner import acting

    if acting() == "report":
        from ci_envs.action.reporting import leave_report

        leave_report(report)
