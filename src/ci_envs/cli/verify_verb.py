"""``ci-envs verify``: does a second build give the same bytes?"""

from __future__ import annotations

from pathlib import Path

import click

from ci_envs import console
from ci_envs.asking import Asked, order_for
from ci_envs.cli.options import common
from ci_envs.errors import DriftFound

__all__ = ["command"]


@click.command("verify")
@click.argument("leg", metavar="LEG")
@click.option("--matrix", type=click.Path(path_type=Path, dir_okay=False), default=None, help="The leg's matrix.")
@click.option("--offline", is_flag=True, help="Use caches only.")
@common
def command(
    *, leg: str, matrix: Path | None, offline: bool, project: Path, as_json: bool, quiet: bool, verbose: int
) -> int:
    """Build twice, compare digests, list what differs.

    Both builds are made in folders of their own and removed. Exit code 9 where they differ.
    """
    from ci_envs.verifying import verify

    console.configure(quiet=quiet or as_json, verbose=verbose)
    order = order_for(Asked(root=project, matrix=matrix, offline=offline), leg)
    order.layout.prepare()
    with console.Progress(order.layout.log, total=2) as progress:
        verdict = verify(order, progress)
    if as_json:
        console.show_json(verdict)
    elif verdict.same:
        console.show_text(f"{leg}: two builds, one digest: {verdict.first}")
    else:
        rows = [(d.path, d.kind, d.reason) for d in verdict.differences]
        console.show_table(f"{leg}: two builds that differ", ("path", "how", "why"), rows)
    for note in verdict.notes:
        console.show_note(note)
    return 0 if verdict.same else DriftFound.exit_code
