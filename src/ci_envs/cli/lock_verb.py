"""``ci-envs lock``: lock files made, renewed or judged; nothing is built."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ci_envs import console
from ci_envs.asking import Asked, named, orders_for
from ci_envs.cli.options import common, matrix_argument, selection
from ci_envs.errors import InterruptedRun, UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]


@click.command("lock")
@matrix_argument
@selection
@click.option("--pattern", "patterns", multiple=True, metavar="NAME", help="Legs of this pattern, without a matrix.")
@click.option("--python", "pythons", multiple=True, metavar="VERSION", help="Legs of this Python, without a matrix.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A dependency group; prod: runtime needs alone.")
@click.option(
    "--check", "only_check", is_flag=True, help="Write nothing; exit with 5 where a lock is missing or stale."
)
@click.option("--upgrade", is_flag=True, help="Take the newest versions that the intent allows; else pins are kept.")
@click.option("--as-of", default="", metavar="DATE", help="Take nothing that was uploaded later, or '7 days' back.")
@click.option("--jobs", "-j", type=click.IntRange(min=1), default=None, help="Legs at once.  [default: the cores]")
@click.option("--offline", is_flag=True, help="Use caches only.")
@common
def command(
    *,
    matrix: Path | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    patterns: tuple[str, ...],
    pythons: tuple[str, ...],
    groups: tuple[str, ...],
    only_check: bool,
    upgrade: bool,
    as_of: str,
    jobs: int | None,
    offline: bool,
    project: Path,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> int:
    """Make or renew lock files; --check says whether they are in sync.

    A lock that is in sync is left alone; a stale one is renewed with the pins that still fit.
    """
    from ci_envs.report.merge import exit_code, merge
    from ci_envs.running import run_legs

    if only_check and upgrade:
        raise UsageError("--check writes nothing and --upgrade does: give one of them")
    console.configure(quiet=quiet or as_json, verbose=verbose)
    asked = Asked(
        root=project,
        matrix=matrix,
        only=only,
        skip=skip,
        patterns=patterns,
        pythons=pythons,
        groups=groups,
        mode="locked" if only_check else "update" if upgrade else "auto",
        as_of=as_of,
        offline=offline,
        stages=frozenset({"detect", "lock"}),
        jobs=jobs or os.cpu_count() or 1,
        recorded=False,
    )
    todo = orders_for(asked)
    todo.layout.prepare()
    with console.Progress(todo.layout.log, total=len(todo.orders)) as progress:
        records, interrupted = run_legs(todo.orders, jobs=asked.jobs, observer=progress)
    report = merge(records, () if interrupted else todo.ids)
    if as_json:
        console.show_json(report)
    else:
        console.show_report(report)
    return InterruptedRun.exit_code if interrupted else exit_code(report, named(asked))
