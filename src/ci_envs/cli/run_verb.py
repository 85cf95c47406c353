"""``ci-envs run``: the main job."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, get_args

import click

from ci_envs import console
from ci_envs.action.matching import problem_matchers
from ci_envs.asking import Asked, named, orders_for, parse_stages
from ci_envs.cli.legs import carry_out, without_matrix
from ci_envs.cli.options import common, matrix_argument, selection
from ci_envs.errors import UsageError
from ci_envs.github.runner import job_facts
from ci_envs.model.config import LockMode
from ci_envs.model.record import STAGES

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.cli.legs import Done
    from ci_envs.layout import Layout

__all__ = ["command"]


@click.command("run")
@matrix_argument
@selection
@without_matrix
@click.option("--jobs", "-j", type=click.IntRange(min=1), default=None, help="Legs at once.  [default: the cores]")
@click.option(
    "--lock-mode",
    "mode",
    type=click.Choice(get_args(LockMode)),
    default=None,
    help="Locks must be there and in sync; are made where missing; are used as they are; are renewed.  "
    "[default: locked where CI=true, else auto]",
)
@click.option("--stages", default=",".join(STAGES), metavar="LIST", help="Of detect,lock,build,check,test.")
@click.option("--test-command", default="", help="What runs the project's tests; no shell reads it.")
@click.option("--expect-gpu", type=click.Choice(["auto", "true", "false"]), default=None, help="A GPU must be visible.")
@click.option("--installer", type=click.Choice(["auto", "uv", "pip"]), default=None, help="What fills a venv.")
@click.option(
    "--as-of", default="", metavar="DATE", help="Locks take nothing that was uploaded later, or '7 days' back."
)
@click.option("--offline", is_flag=True, help="Use caches only.")
@click.option("--fresh", is_flag=True, help="Build anew even where nothing has changed.")
@click.option("--deep", is_flag=True, help="Read every byte of a kept environment again.")
@click.option("--keep-dockerfile", is_flag=True, help="Write a generated Dockerfile into the project, to adopt it.")
@click.option("--markdown", type=click.Path(dir_okay=False), default=None, help="Write the summary to this file, too.")
@common
def command(
    *,
    matrix: Path | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    patterns: tuple[str, ...],
    pythons: tuple[str, ...],
    groups: tuple[str, ...],
    jobs: int | None,
    mode: LockMode | None,
    stages: str,
    test_command: str,
    expect_gpu: str | None,
    installer: str | None,
    as_of: str,
    offline: bool,
    fresh: bool,
    deep: bool,
    keep_dockerfile: bool,
    markdown: str | None,
    project: Path,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> int:
    """Lock, build, check and test every leg of a matrix.

    MATRIX is a file, by default matrices/default.yml of the project, else what `ci-envs detect` finds.
    """
    console.configure(quiet=quiet or as_json, verbose=verbose)
    asked = Asked(
        root=project,
        matrix=matrix,
        only=only,
        skip=skip,
        patterns=patterns,
        pythons=pythons,
        groups=groups,
        flags=_flags(test_command, expect_gpu, installer),
        said=_said(test_command, expect_gpu, installer, stages),
        mode=mode,
        as_of=as_of,
        offline=offline,
        stages=parse_stages(stages),
        jobs=jobs or os.cpu_count() or 1,
        fresh=fresh,
        deep=deep,
        keep_dockerfile=keep_dockerfile,
        job=job_facts(project),
    )
    todo = orders_for(asked)
    with problem_matchers(todo.orders[0].project_folder) as unmatched:
        done = carry_out(todo.orders, jobs=asked.jobs, as_json=as_json, by_name=named(asked), unmatched=unmatched)
    for row in todo.left_out if not only and not as_json else ():
        console.show_detail(f"left out: {row.id}: {row.reason or 'excluded'}")
    _leave(done, todo.layout, project, markdown)
    return done.code


def _flags(test_command: str, expect_gpu: str | None, installer: str | None) -> dict[str, Any]:
    flags: dict[str, Any] = {}
    if test_command:
        flags["test"] = {"command": test_command}
    if expect_gpu:
        flags["check"] = {"expect-gpu": {"true": True, "false": False}.get(expect_gpu, "auto")}
    if installer:
        flags["venv"] = {"installer": installer}
    return flags


def _said(test_command: str, expect_gpu: str | None, installer: str | None, stages: str) -> tuple[str, ...]:
    """The flags that change what a leg is, as they were given."""
    given = (
        ("test-command", test_command),
        ("expect-gpu", expect_gpu),
        ("installer", installer),
        ("stages", stages if stages != ",".join(STAGES) else ""),
    )
    return tuple(f"--{name}={value}" for name, value in given if value)


def _leave(done: Done, layout: Layout, root: Path, markdown: str | None) -> None:
    """The summary for people, and what a job of GitHub Actions waits for."""
    from pathlib import Path

    from ci_envs.action.leaving import leave_results
    from ci_envs.github.runner import in_actions
    from ci_envs.layout import write_atomically
    from ci_envs.report.markdown import summary

    if not markdown and not in_actions():
        return
    text = summary(done.report)
    if markdown:
        try:
            write_atomically(Path(markdown), text.encode())
        except OSError as error:
            raise UsageError(f"--markdown {markdown} cannot be written: {error.strerror}") from error
    leave_results(done.records, root, layout.record, markdown=text)
