"""The check stage: runs the health check, or keeps its verdict where nothing that it looked at has changed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from ci_envs import __version__
from ci_envs.checks import ALL_CHECKS, Context, run_checks
from ci_envs.errors import CheckError
from ci_envs.layout import remove_tree

if TYPE_CHECKING:
    from ci_envs.building import Built
    from ci_envs.model.lock import Lock
    from ci_envs.model.record import RunRecord
    from ci_envs.order import Order
    from ci_envs.work import Work

__all__ = ["check"]

#: The prefixes of the codes that checks give.
_CODES = ("ENV", "LOCK001")


def check(order: Order, work: Work, lock: Lock, built: Built, previous: RunRecord | None) -> str:
    """What the stage says when all is well; :class:`CheckError` where a finding is an error."""
    key = _key(order, work, lock, built)
    kept = previous.stage("check") if previous and built.kept and not order.deep else None
    if previous and kept and kept.status == "passed" and previous.extra.get("check") == key:
        known = set(work.findings)
        work.findings += [f for f in previous.findings if f.code.startswith(_CODES) and f not in known]
        work.extra["check"] = key
        return kept.reason if kept.reason.endswith("unchanged") else f"{kept.reason}, unchanged"
    context = Context(
        leg=order.leg,
        lock=lock,
        inventory=built.inventory,
        environment=built.environment,
        config=order.config.check,
        project=work.project,
        seeds=frozenset(built.facts.seeds),
        own=frozenset(built.facts.own),
        temp=work.temp,
        log=work.log,
        workers=order.workers,
    )
    work.findings += run_checks(context)
    remove_tree(work.temp)
    errors = [finding for finding in work.findings if finding.severity == "error"]
    if errors:
        shown = "; ".join(f"{finding.code} {finding.message}" for finding in errors[:3])
        raise CheckError(shown + (f"; and {len(errors) - 3} more" if len(errors) > 3 else ""))
    work.extra["check"] = key
    return ", ".join([f"{len(ALL_CHECKS)} checks", *(f"skipped {what}" for what in context.left_out)])


def _key(order: Order, work: Work, lock: Lock, built: Built) -> str:
    """Stands for all that the checks depend on beside the machine."""
    script = [work.file_digest(name) for name in ("check-env.py", "check_env.py")]
    parts = [
        __version__,
        built.facts.digest,
        lock.digest,
        *script,
        *sorted(r.text for r in lock.direct),
        msgspec.json.encode(order.config.check).decode(),
        msgspec.json.encode(order.leg.variables).decode(),
        order.leg.accelerator,
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
