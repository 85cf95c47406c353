"""A plan as a person reads it: the legs, what was left out and why, and where configuration comes from."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from ci_envs import console
from ci_envs.planning.expansion import layers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ci_envs.model.matrix import Matrix
    from ci_envs.model.plan import Cell, LeftOut, Plan, PlannedLeg
    from ci_envs.project import Project

__all__ = ["explain_legs", "show_plan"]

_HEAD = ("leg", "runner", "minutes", "why")

#: Legs that were left out for one reason are counted from here on.
_ALIKE = 10


def show_plan(head: Plan, legs: Iterable[PlannedLeg], count: int) -> None:
    """The tables, and one line that sums up."""
    rows = [(leg.id, _joined(leg.runs_on), str(leg.timeout_minutes), _why(leg)) for leg in legs]
    width = len(_HEAD) if any(row[-1] for row in rows) else len(_HEAD) - 1
    console.show_table("", _HEAD[:width], [row[:width] for row in rows])
    console.show_table("Left out", ("leg", "why"), _grouped(head.left_out))
    console.show_note(_sum(head, count))


def explain_legs(root: Project, matrix: Matrix, cells: Sequence[Cell], *, as_json: bool) -> None:
    """Every key of each leg's configuration, its value, and who said it."""
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


def _why(leg: PlannedLeg) -> str:
    return "; ".join(text for text in (leg.reason, leg.kept) if text)


def _grouped(left_out: Sequence[LeftOut]) -> list[tuple[str, str]]:
    """A row for each leg; where many have one reason, a row for them all."""
    by_reason: dict[str, list[str]] = {}
    for row in left_out:
        by_reason.setdefault(row.reason, []).append(row.id)
    rows = []
    for reason, ids in by_reason.items():
        rows += [(f"{len(ids)} legs", reason)] if len(ids) >= _ALIKE else [(name, reason) for name in ids]
    return rows


def _sum(head: Plan, count: int) -> str:
    """``12 of 96 legs: every pair of values is covered; 84 left out``."""
    left_out = len(head.left_out) + head.left_out_more
    of = f" of {head.combinations}" if head.combinations not in (0, count) else ""
    legs = f"{count}{of} leg{'' if (head.combinations or count) == 1 else 's'}"
    covered = f": {head.coverage};" if of and head.coverage else ","
    return f"{legs}{covered} {left_out} left out"


def _plain(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _joined(labels: str | tuple[str, ...]) -> str:
    return labels if isinstance(labels, str) else ", ".join(labels)
