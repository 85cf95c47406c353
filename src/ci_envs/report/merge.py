"""Records -> Report, and the exit code that a report stands for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ci_envs import errors
from ci_envs.model.image import SystemFacts
from ci_envs.model.record import STAGES, RunRecord, worst
from ci_envs.model.report import LegFinding, LegImage, LegResult, Report
from ci_envs.report.parity import Installed, differing, installed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ci_envs.model.image import ImageFacts
    from ci_envs.model.leg import Leg
    from ci_envs.model.record import Finding, Status

__all__ = ["NO_RECORD", "Merger", "absent_result", "exit_code", "leg_result", "merge"]

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

T = TypeVar("T")


def merge(records: Iterable[RunRecord], expected: Sequence[str] = ()) -> Report:
    """One report of many records.

    ``expected`` are the ids of the legs that should have left one, in the order they are shown: one without a record
    is ``broken: no record``. Other legs follow in the order they came. Of two records of one leg the one that was
    written last is taken.
    """
    merger = Merger()
    for record in records:
        merger.add(record)
    return merger.report([LegResult(id=leg, status="broken", reason=NO_RECORD, recorded=False) for leg in expected])


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a report needs of a record: a thousand whole ones, with all that their locks pin, would be a gigabyte."""

    written: str
    result: LegResult
    findings: tuple[Finding, ...]
    packages: tuple[Installed, ...]


class Merger:
    """Takes records one by one, so that one at a time is in memory, and makes a report of them."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._root = ""
        # Legs have most of their packages and findings in common: each is kept once.
        self._shared: dict[object, object] = {}

    def add(self, record: RunRecord) -> bool:
        """Takes a record; whether it is the first of its leg. Of two the one that was written last counts."""
        known = self._kept.get(record.leg.id)
        if known is None or known.written <= record.written:
            self._kept[record.leg.id] = _Kept(
                record.written,
                leg_result(record),
                tuple(map(self._once, record.findings)),
                tuple(map(self._once, installed(record))),
            )
        self._root = self._root or (record.job.root if record.job else "")
        return known is None

    def __contains__(self, leg_id: str) -> bool:
        """Whether a record of this leg was taken."""
        return leg_id in self._kept

    def report(self, expected: Sequence[LegResult] = ()) -> Report:
        """The report. ``expected`` are legs in their order, each with what is said of it where it left no record."""
        absent = {leg.id: leg for leg in expected}
        order = dict.fromkeys([*absent, *self._kept])
        legs = tuple(self._kept[leg].result if leg in self._kept else absent[leg] for leg in order)
        kept = [self._kept[leg] for leg in order if leg in self._kept]
        return Report(
            status=_status([leg.status for leg in legs]),
            legs=legs,
            parity=differing([(each.result.id, each.packages) for each in kept]),
            findings=_findings(kept),
            root=self._root,
        )

    def _once(self, value: T) -> T:
        return self._shared.setdefault(value, value)  # type: ignore[return-value]  # what is equal is of one type


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
    if leg.status == "broken" and leg.recorded:
        return 0, errors.ToolMissing.exit_code
    return len(STAGES), errors.CiEnvsError.exit_code


def _status(statuses: list[Status]) -> Status:
    return worst([status for status in statuses if status != "skipped"])


def absent_result(leg: Leg, reason: str, reproduce: str) -> LegResult:
    """What is known of a planned leg that left no record which counts."""
    return LegResult(
        id=leg.id,
        status="broken",
        reason=reason,
        recorded=False,
        reproduce=reproduce,
        **{name: getattr(leg, name) for name in _OF_LEG},
    )


_OF_LEG = ("pattern", "python", "os", "arch", "accelerator", "project", "groups", "resolution", "variables")


def leg_result(record: RunRecord) -> LegResult:
    """A leg as its record says."""
    leg = record.leg
    return LegResult(
        id=leg.id,
        status=record.status,
        reason=record.reason,
        **{name: getattr(leg, name) for name in _OF_LEG},
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


def _findings(legs: Sequence[_Kept]) -> tuple[LegFinding, ...]:
    """Each finding once, with the legs that have it: twelve legs of one stale file are one piece of news."""
    having: dict[tuple[Finding, str], dict[str, None]] = {}
    for leg in legs:
        for finding in leg.findings:
            having.setdefault((finding, leg.result.project), {})[leg.result.id] = None
    return tuple(
        LegFinding(
            code=finding.code,
            severity=finding.severity,
            title=finding.title,
            message=finding.message,
            file=finding.file,
            line=finding.line,
            project=project,
            legs=tuple(ids),
        )
        for (finding, project), ids in sorted(having.items(), key=lambda item: _SEVERITIES.index(item[0][0].severity))
    )
