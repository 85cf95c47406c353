"""Records -> Report, and the exit code that a report stands for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs import errors
from ci_envs.model.image import SystemFacts
from ci_envs.model.record import STAGES, RunRecord, worst
from ci_envs.model.report import LegFinding, LegImage, LegResult, Report
from ci_envs.report.parity import parity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ci_envs.model.image import ImageFacts
    from ci_envs.model.record import Finding, Status

__all__ = ["NO_RECORD", "exit_code", "merge"]

NO_RECORD = "no record"

# What a stage that failed ends the program with, where its own error did not say.
_STAGE_CODES: dict[str, int] = {
    "detect": errors.ToolMissing.exit_code,
    "lock": errors.LockError.exit_code,
    "build": errors.BuildError.exit_code,
    "check": errors.CheckError.exit_code,
    "test": errors.TestError.exit_code,
}

_SEVERITIES = ("error", "warning", "info")


def merge(records: Iterable[RunRecord], expected: Sequence[str] = ()) -> Report:
    """One report of many records.

    ``expected`` are the ids of the legs that should have left one, in the order they are shown: one without a record
    is ``broken: no record``. Other legs follow in the order they came. Of two records of one leg the one that was
    written last is taken.
    """
    newest: dict[str, RunRecord] = {}
    for record in records:
        known = newest.get(record.leg.id)
        if known is None or known.written <= record.written:
            newest[record.leg.id] = record
    order = dict.fromkeys([*expected, *newest])
    kept = [newest[leg] for leg in order if leg in newest]
    legs = tuple(_result(newest[leg]) if leg in newest else _absent(leg) for leg in order)
    return Report(
        status=_status([leg.status for leg in legs]), legs=legs, parity=parity(kept), findings=_findings(kept)
    )


def exit_code(report: Report, asked_by_name: frozenset[str] = frozenset()) -> int:
    """The exit code for a set of legs (see ``errors.py``).

    0 where every leg passed or was skipped; a leg that was asked for by its exact name may not be skipped. Else that
    of the earliest stage at which a leg ended, since what follows from it is noise. 3 where no leg was run at all: a
    run that did nothing is no success.
    """
    ends = [end for leg in report.legs if (end := _end(leg, asked_by_name)) is not None]
    if ends:
        return min(ends)[1]
    return 0 if report.count("passed") else errors.NothingToDo.exit_code


def _end(leg: LegResult, asked_by_name: frozenset[str]) -> tuple[int, int] | None:
    """Where in the pipeline a leg ended, as a number to sort by, and the exit code for it."""
    if leg.status == "passed":
        return None
    if leg.status == "skipped":
        return (0, errors.ToolMissing.exit_code) if leg.id in asked_by_name else None
    stage = next((stage for stage in leg.stages if stage.status in ("failed", "broken")), None)
    if stage is not None:
        # 1 says "something unexpected", which the stage's own code says better.
        return STAGES.index(stage.name), stage.exit_code if stage.exit_code > 1 else _STAGE_CODES[stage.name]
    if leg.status == "broken" and leg.reason != NO_RECORD:
        return 0, errors.ToolMissing.exit_code
    return len(STAGES), errors.CiEnvsError.exit_code


def _status(statuses: list[Status]) -> Status:
    return worst([status for status in statuses if status != "skipped"])


def _absent(leg: str) -> LegResult:
    return LegResult(id=leg, status="broken", reason=NO_RECORD)


def _result(record: RunRecord) -> LegResult:
    leg = record.leg
    return LegResult(
        id=leg.id,
        status=record.status,
        reason=record.reason,
        pattern=leg.pattern,
        python=leg.python,
        os=leg.os,
        arch=leg.arch,
        accelerator=leg.accelerator,
        project=leg.project,
        groups=leg.groups,
        resolution=leg.resolution,
        variables=leg.variables,
        stages=record.stages,
        seconds=round(sum(stage.seconds for stage in record.stages), 3),
        lock_digest=record.lock.digest if record.lock else "",
        environment_digest=record.environment.digest if record.environment else "",
        image=_image(record.image) if record.image else None,
        tests=record.tests,
        reproduce=record.reproduce,
    )


def _image(image: ImageFacts) -> LegImage:
    system = image.system or SystemFacts()
    return LegImage(
        name=image.name,
        digest=image.digest,
        bytes=image.bytes,
        system=system.name or system.id,
        packages=sum(system.packages.values()),
        note=system.note,
        relaxed=image.relaxed,
    )


def _findings(records: Sequence[RunRecord]) -> tuple[LegFinding, ...]:
    """Each finding once, with the legs that have it: twelve legs of one stale file are one piece of news."""
    legs: dict[Finding, dict[str, None]] = {}
    for record in records:
        for finding in record.findings:
            legs.setdefault(finding, {})[record.leg.id] = None
    return tuple(
        LegFinding(
            code=finding.code,
            severity=finding.severity,
            title=finding.title,
            message=finding.message,
            file=finding.file,
            line=finding.line,
            legs=tuple(having),
        )
        for finding, having in sorted(legs.items(), key=lambda item: _SEVERITIES.index(item[0].severity))
    )
