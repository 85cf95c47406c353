"""What the verbs that run legs share: their options, the run with its progress, the report, the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from ci_envs import console
from ci_envs.errors import InterruptedRun

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ci_envs.model.record import RunRecord
    from ci_envs.model.report import Report
    from ci_envs.order import Order

__all__ = ["Done", "carry_out", "without_matrix"]

F = TypeVar("F", bound="Callable[..., Any]")


class Done(NamedTuple):
    """How the legs went."""

    report: Report
    records: list[RunRecord]
    code: int


def carry_out(
    orders: Sequence[Order], *, jobs: int, as_json: bool, by_name: frozenset[str], unmatched: Sequence[str] = ()
) -> Done:
    """Runs the legs and shows the report. ``by_name`` are legs that were asked for by their whole id.

    ``unmatched`` are workflow commands after which no problem matcher reads what is shown.
    """
    from ci_envs.report.merge import exit_code, merge
    from ci_envs.running import run_legs

    layout = orders[0].layout
    layout.prepare()
    with console.Progress(layout.log, total=len(orders), unmatched=unmatched) as progress:
        records, interrupted = run_legs(orders, jobs=jobs, observer=progress)
    report = merge(records, () if interrupted else [order.leg.id for order in orders])
    if as_json:
        console.show_json(report)
    else:
        console.show_report(report)
    return Done(report, records, InterruptedRun.exit_code if interrupted else exit_code(report, by_name))


_WITHOUT_MATRIX = (
    ("--pattern", "patterns", "NAME", "Legs of this pattern, without a matrix."),
    ("--python", "pythons", "VERSION", "Legs of this Python, without a matrix."),
    ("--group", "groups", "NAME", "A dependency group; prod: runtime needs alone."),
)


def without_matrix(function: F) -> F:
    """``--pattern``, ``--python`` and ``--group``, all repeatable: legs that no matrix names."""
    for name, each, shown, text in reversed(_WITHOUT_MATRIX):
        function = click.option(name, each, multiple=True, metavar=shown, help=text)(function)
    return function
