"""The check stage: runs the health check, or keeps its verdict where nothing that it looked at has changed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from ci_envs import __version__, sources
from ci_envs.checks import ALL_CHECKS, FACTS, Context, advice_for, run_checks
from ci_envs.checks.accelerator import asks_for_device
from ci_envs.checks.commands import own_check
from ci_envs.errors import CheckError
from ci_envs.layout import remove_tree

if TYPE_CHECKING:
    from ci_envs.building import Built
    from ci_envs.model.lock import Lock
    from ci_envs.model.record import Finding, RunRecord
    from ci_envs.order import Order
    from ci_envs.work import Work

__all__ = ["check"]

#: The prefixes of the codes that checks give.
_CODES = ("ENV", "LOCK001")

_UNCHANGED = ", unchanged"

#: Findings that the stage's reason spells out; the record has all.
_SHOWN = 3


def check(order: Order, work: Work, lock: Lock, built: Built, previous: RunRecord | None) -> str:
    """What the stage says when all is well; :class:`CheckError` where a finding is an error."""
    key = _key(order, work, lock, built)
    kept = _kept(order, built, previous, key)
    if previous is not None and kept:
        known = set(work.findings)
        work.findings += [f for f in previous.findings if f.code.startswith(_CODES) and f not in known]
        work.extra |= {name: previous.extra[name] for name in FACTS if name in previous.extra}
        work.extra["check"] = key
        return kept
    work.begins()
    context = _context(order, work, lock, built)
    try:
        work.findings += run_checks(context)
    finally:
        remove_tree(work.temp)
    work.extra |= context.facts
    _refuse([finding for finding in work.findings if finding.severity == "error"], order, work)
    work.extra["check"] = key
    return ", ".join([f"{len(ALL_CHECKS)} checks", *(f"skipped {what}" for what in context.left_out)])


def _kept(order: Order, built: Built, previous: RunRecord | None, key: str) -> str:
    """What the last verdict said, where it still holds: a good one, on the same environment and the same questions."""
    last = previous.stage("check") if previous is not None else None
    if previous is None or last is None or last.status != "passed" or previous.extra.get("check") != key:
        return ""
    # A GPU comes and goes, and no file tells of it.
    if not built.kept or order.deep or asks_for_device(order.leg, order.config.check):
        return ""
    return last.reason.removesuffix(_UNCHANGED) + _UNCHANGED


def _context(order: Order, work: Work, lock: Lock, built: Built) -> Context:
    return Context(
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
        conda_names=_conda_names(work, lock),
    )


def _conda_names(work: Work, lock: Lock) -> frozenset[str]:
    if not (lock.of("conda") and lock.of("python")):
        return frozenset()
    from ci_envs.conda.known import distributions_of_channels

    return distributions_of_channels(lock, work)


def _refuse(errors: list[Finding], order: Order, work: Work) -> None:
    if errors:
        shown = "; ".join(f"{finding.code} {finding.message}" for finding in errors[:_SHOWN])
        more = f"; and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
        hint = advice_for(errors[0].code, leg=order.leg.id, run=order.reproduce, lock=work.lock_command())
        raise CheckError(shown + more, hint=hint)


def _key(order: Order, work: Work, lock: Lock, built: Built) -> str:
    """Stands for all that the checks depend on beside the machine. A project's own check may read any of its files."""
    has_own = bool(own_check(order.config.check, work.project))
    parts = [
        __version__,
        built.facts.digest,
        lock.digest,
        sources.fingerprint(work.project.root) if has_own else "",
        *sorted(requirement.text for requirement in lock.direct),
        msgspec.json.encode(order.config.check).decode(),
        msgspec.json.encode(order.leg.variables).decode(),
        order.leg.accelerator,
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
