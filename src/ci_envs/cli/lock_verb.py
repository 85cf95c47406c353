"""``ci-envs lock``: lock files made, renewed or judged; nothing is built."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ci_envs import console
from ci_envs.asking import Asked, named, orders_for
from ci_envs.cli.legs import carry_out, without_matrix
from ci_envs.cli.options import common, matrix_argument, selection
from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]


@click.command("lock")
@matrix_argument
@selection
@without_matrix
@click.option(
    "--check", "only_check", is_flag=True, help="Write nothing; exit with 5 where a lock is missing or stale."
)
@click.option("--solve", is_flag=True, help="With --check: resolve again, keeping pins; 5 where that changes the lock.")
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
    solve: bool,
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
    if only_check and upgrade:
        raise UsageError("--check writes nothing and --upgrade does: give one of them")
    if solve and not only_check:
        raise UsageError("--solve is a kind of --check", hint="write: ci-envs lock --check --solve")
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
        solve=solve,
        stages=frozenset({"detect", "lock"}),
        jobs=jobs or os.cpu_count() or 1,
        recorded=False,
    )
    orders = orders_for(asked).orders
    return carry_out(orders, jobs=asked.jobs, as_json=as_json, by_name=named(asked)).code
