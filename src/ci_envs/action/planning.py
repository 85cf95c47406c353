"""What ``ci-envs plan`` leaves for the job that it is a step of: outputs, the plan's file, a summary.

The outputs are those of ``actions/plan/action.yml`` and ``actions/shard/action.yml``; a test compares.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from ci_envs import console
from ci_envs.errors import UsageError
from ci_envs.github.runner import temporary_folder
from ci_envs.github.step_files import set_output, summary
from ci_envs.plain import one_line
from ci_envs.planning.shards import MAX_OUTPUT_BYTES, github_matrix, output_bytes, refuse_too_many
from ci_envs.report.markdown import code, fenced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ci_envs.model.plan import LeftOut, Plan, PlannedLeg

__all__ = ["leave_plan", "leave_shard", "plan_file", "plan_outputs", "plan_summary"]

# What a person reads of long tables; the plan's file has all of them.
_LEGS = 300
_LEFT_OUT = 100


def plan_file(artifact: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the plan is written: a folder of its own, so that two plans of one job are two files."""
    return temporary_folder(environ) / f"{artifact}-plan" / "plan.json"


def leave_plan(
    plan: Plan, path: Path, *, notes: Sequence[str], command: str, environ: Mapping[str, str] = os.environ
) -> None:
    """Sets the outputs of ``actions/plan`` and writes the summary. ``path`` is the plan's file."""
    for name, value in plan_outputs(plan, path).items():
        set_output(name, value, environ)
    summary(plan_summary(plan, notes, command), environ)


def leave_shard(legs: Sequence[PlannedLeg], environ: Mapping[str, str] = os.environ) -> None:
    """Sets the outputs of ``actions/shard``."""
    set_output("matrix", github_matrix(legs), environ)
    console.show_note(f"{len(legs)} legs")


def plan_outputs(plan: Plan, path: Path) -> dict[str, str]:
    """The outputs of ``actions/plan``. One shard is handed on as a matrix, several as their numbers, none as nothing.

    Raises :class:`UsageError` for more shards than there can be, and for more text than the outputs of a job hold.
    """
    size = max(map(len, plan.shards), default=1)
    refuse_too_many(len(plan.legs), size)
    several = len(plan.shards) > 1
    outputs = {
        "status": plan.status,
        "reason": one_line(plan.reason, 1000),
        "matrix": github_matrix(plan.legs) if len(plan.shards) == 1 else "",
        "matrix-file": plan.matrix,
        "shards": msgspec.json.encode(list(range(len(plan.shards)))).decode() if several else "",
        "legs": str(len(plan.legs)),
        "artifact": plan.artifact,
        "plan": str(path),
    }
    total = sum(map(output_bytes, outputs.values()))
    if total > MAX_OUTPUT_BYTES:
        raise UsageError(
            f"the outputs of this job would have {total} bytes; it holds {MAX_OUTPUT_BYTES}",
            hint="lower --max-legs, so that there are several shards",
        )
    return outputs


def plan_summary(plan: Plan, notes: Sequence[str], command: str) -> str:
    """The plan as Markdown. ``command`` shows it on a laptop."""
    return "".join(_pieces(plan, notes, command))


def _pieces(plan: Plan, notes: Sequence[str], command: str) -> Iterator[str]:
    of = f" of {plan.combinations}" if plan.combinations not in (0, len(plan.legs)) else ""
    legs = f"{len(plan.legs)}{of} leg{'' if (plan.combinations or len(plan.legs)) == 1 else 's'}"
    said = ", ".join(
        f"{name} {code(value)}"
        for name, value in (("matrix", plan.matrix), ("tier", plan.tier), ("strategy", plan.strategy))
        if value
    )
    covered = f"{plan.coverage[:1].upper()}{one_line(plan.coverage[1:], 200)}.\n" if plan.coverage else ""
    yield f"## Plan: {legs}\n\n{covered}{said}\n"
    if plan.status == "skipped":
        yield f"\n**Skipped**: {code(plan.reason)}\n"
    for note in notes:
        yield f"\n> {code(note)}\n"
    yield from _legs(plan.legs)
    yield from _left_out(plan.left_out, plan.left_out_more)
    yield f"\nTo see it on your machine:\n\n{fenced(command, 'sh')}"


def _legs(legs: Sequence[PlannedLeg]) -> Iterator[str]:
    if legs:
        yield "\n| leg | runner | minutes | why |\n| --- | --- | ---: | --- |\n"
    for leg in legs[:_LEGS]:
        runner = leg.runs_on if isinstance(leg.runs_on, str) else ", ".join(leg.runs_on)
        why = "; ".join(text for text in (leg.reason, leg.kept) if text)
        cells = (code(leg.id, cell=True), code(runner, cell=True), str(leg.timeout_minutes), code(why, cell=True))
        yield f"| {' | '.join(cells)} |\n"
    if len(legs) > _LEGS:
        yield f"\nand {len(legs) - _LEGS} more, which the plan's artifact lists.\n"


def _left_out(rows: Sequence[LeftOut], more: int) -> Iterator[str]:
    total = len(rows) + more
    if not total:
        return
    yield f"\n<details><summary>{total} left out</summary>\n\n| leg | why |\n| --- | --- |\n"
    for row in rows[:_LEFT_OUT]:
        yield f"| {code(row.id, cell=True)} | {code(row.reason, cell=True)} |\n"
    if total > _LEFT_OUT:
        yield f"\nand {total - _LEFT_OUT} more, which the plan's artifact lists.\n"
    yield "\n</details>\n"
