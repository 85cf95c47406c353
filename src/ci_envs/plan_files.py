"""Plans on disk, read as what they are: files that another job wrote, and that anybody may have written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ci_envs.decoding import decode
from ci_envs.errors import UsageError
from ci_envs.model.plan import Plan
from ci_envs.plain import one_line
from ci_envs.record_files import is_inside, is_leg_id, read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["MAX_PLAN_BYTES", "PLAN_NAME", "decode_plan", "read_plan"]

PLAN_NAME = "plan.json"

#: 65,536 legs, which is all that a workflow can run, have about 60 MB.
MAX_PLAN_BYTES = 256 * 1024 * 1024


def read_plan(path: Path) -> Plan:
    """The plan in a file, or in the ``plan.json`` of a folder; :class:`UsageError` says what is wrong with it."""
    file = path / PLAN_NAME if path.is_dir() else path
    return decode_plan(read_regular(file, MAX_PLAN_BYTES, "plan"), file.as_posix())


def decode_plan(data: bytes, name: str = "") -> Plan:
    """The plan in some bytes; ``name`` is the file that an error speaks of."""
    try:
        plan = decode(data, Plan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"is not a plan: {error}", file=name, hint="`ci-envs plan --json` writes one") from error
    for problem in _harms(plan):
        raise UsageError(f"is not a plan that can be trusted: {problem}", file=name)
    return plan


def _harms(plan: Plan) -> Iterator[str]:
    """What would lead a reader astray."""
    seen: set[str] = set()
    for position, leg in enumerate(plan.legs):
        if not is_leg_id(leg.id):
            yield f"{one_line(leg.id, 60)!r} is no leg id at `$.legs[{position}].id`"
        if leg.id in seen:
            yield f"{leg.id!r} is there twice"
        if not is_inside(leg.project):
            yield f"{one_line(leg.project, 60)!r} leads out of the project at `$.legs[{position}].project`"
        seen.add(leg.id)
    for name in {name for shard in plan.shards for name in shard} - seen:
        yield f"a shard names {one_line(name, 60)!r}, which is no leg of it"
