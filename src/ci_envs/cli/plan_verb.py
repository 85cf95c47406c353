"""``ci-envs plan``: the legs of a matrix, and nothing done."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ci_envs import __version__, console, machine
from ci_envs.cli.options import common, matrix_argument, selection
from ci_envs.errors import UsageError
from ci_envs.model.plan import Plan
from ci_envs.plan import SHARD_LEGS, Planner, expand, github_matrices, json_chunks, layers, select, shards
from ci_envs.project import Project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ci_envs.model.matrix import Matrix
    from ci_envs.model.plan import Cell, LeftOut

__all__ = ["command"]

#: Above it, JSON is written as it is made and without indentation, and a person gets ids instead of a table.
MANY_LEGS = 512

_HEAD = ("leg", "runner", "minutes", "why")


@click.command("plan")
@matrix_argument
@selection
@click.option(
    "--max-legs",
    type=click.IntRange(min=1),
    default=SHARD_LEGS,
    show_default=True,
    help="The most legs of one shard.",
)
@click.option("--github", "as_github", is_flag=True, help="Print strategy.matrix as JSON, a line for each shard.")
@click.option("--explain", is_flag=True, help="Say where each value of a leg's configuration comes from.")
@click.option("--cache-suffix", default="", help="Put behind every cache key.")
@common
def command(
    *,
    matrix: Path | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    max_legs: int,
    as_github: bool,
    explain: bool,
    cache_suffix: str,
    project: Path,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> None:
    """The legs of a matrix, and nothing done.

    MATRIX is a file, by default matrices/default.yml of the project, else what `ci-envs detect` finds.
    """
    from ci_envs.matrices import load_matrix, lock_digests, platforms

    console.configure(quiet=quiet, verbose=verbose)
    _refuse_contradictions(as_github=as_github, as_json=as_json, explain=explain, max_legs=max_legs)
    root = Project(project)
    loaded = load_matrix(root, matrix)
    expansion = expand(loaded, os=machine.os_name(), arch=machine.arch_name())
    cells = select(expansion, only, skip)
    planner = Planner(
        loaded,
        platforms(),
        version=__version__,
        command=_run_command(matrix, project),
        lock_digest=lock_digests(root),
        suffix=_suffix(cache_suffix),
    )
    if as_github:
        console.show_text("\n".join(github_matrices([planner(cell) for cell in cells], max_legs)))
    elif explain:
        _explain(root, loaded, cells, as_json=as_json)
    elif as_json:
        _show_json(planner, cells, expansion.left_out, max_legs)
    else:
        _show(planner, cells, expansion.left_out)


def _refuse_contradictions(*, as_github: bool, as_json: bool, explain: bool, max_legs: int) -> None:
    if as_github and (as_json or explain):
        raise UsageError("--github stands alone: it cannot be combined with --json or --explain")
    if as_github and max_legs > SHARD_LEGS:
        raise UsageError(f"a strategy.matrix makes at most {SHARD_LEGS} jobs, so --max-legs cannot be {max_legs}")


def _suffix(text: str) -> str:
    # A cache key must not hold a comma, and becomes part of a file's name where it is stored.
    if len(text) > 100 or not all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in text):
        raise UsageError(f"--cache-suffix {text!r}: use at most 100 letters, digits, '.', '_' and '-'")
    return text


def _run_command(matrix: Path | None, project: Path) -> list[str]:
    words = ["ci-envs", "run"]
    if project.as_posix() != ".":
        words += ["--project", project.as_posix()]
    if matrix is not None:
        path = matrix.as_posix()
        words.append(f"./{path}" if path.startswith("-") else path)
    return words


def _show_json(planner: Planner, cells: Sequence[Cell], left_out: list[LeftOut], size: int) -> None:
    ids = [cell.leg.id for cell in cells]
    if len(cells) > MANY_LEGS:
        console.show_chunks(json_chunks(map(planner, cells), ids, left_out, size))
        return
    legs = tuple(map(planner, cells))
    console.show_json(Plan(legs=legs, shards=tuple(shards(ids, size)), left_out=tuple(left_out)))


def _show(planner: Planner, cells: Sequence[Cell], left_out: Sequence[LeftOut]) -> None:
    if len(cells) > MANY_LEGS:
        console.show_text("\n".join(cell.leg.id for cell in cells))
    else:
        rows = [(leg.id, _joined(leg.runs_on), str(leg.timeout_minutes), leg.reason) for leg in map(planner, cells)]
        width = len(_HEAD) if any(row[-1] for row in rows) else len(_HEAD) - 1
        console.show_table("", _HEAD[:width], [row[:width] for row in rows])
    if len(left_out) <= MANY_LEGS:
        console.show_table("Left out", ("leg", "why"), [(row.id, row.reason) for row in left_out])
    console.show_note(f"{_counted(len(cells))}, {len(left_out)} left out")


def _explain(root: Project, matrix: Matrix, cells: Sequence[Cell], *, as_json: bool) -> None:
    from ci_envs.matrices import project_at
    from ci_envs.settings import environment_layers, project_layers, resolve

    # Legs of one project that the same include entries touch have the same configuration.
    alike: dict[tuple[str, tuple[int, ...]], list[Cell]] = {}
    for cell in cells:
        alike.setdefault((cell.leg.project, cell.added), []).append(cell)
    found = []
    for (name, _), group in alike.items():
        files = project_layers(root, project_at(root, name))
        settings = resolve([*files, *layers(matrix, group[0]), *environment_layers(os.environ)])
        rows = [{"key": key, "value": value, "source": source} for key, value, source in settings.explain()]
        found.append({"legs": [cell.leg.id for cell in group], "settings": rows})
        if not as_json:
            title = group[0].leg.id if len(group) == 1 else f"{group[0].leg.id} and {len(group) - 1} more"
            console.show_table(
                title, ("key", "value", "from"), [(row["key"], _plain(row["value"]), row["source"]) for row in rows]
            )
    if as_json:
        console.show_json(found)


def _plain(value: object) -> str:
    import json

    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _joined(labels: str | tuple[str, ...]) -> str:
    return labels if isinstance(labels, str) else ", ".join(labels)


def _counted(number: int) -> str:
    return f"{number} leg" if number == 1 else f"{number} legs"
