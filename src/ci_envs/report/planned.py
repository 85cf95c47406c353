"""The records of a plan's legs -> one report: what is missing, too much, or of another run is said. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ci_envs.errors import BrokenError
from ci_envs.model.report import PlanFacts, Report
from ci_envs.plain import one_line
from ci_envs.report.merge import NO_RECORD, Merger, absent_result, exit_code

if TYPE_CHECKING:
    from ci_envs.model.plan import Plan
    from ci_envs.model.record import RunRecord

__all__ = ["OTHER_RUN", "PlannedLegs", "planned_exit_code", "without_plan"]

OTHER_RUN = "its record belongs to another run"

# Of what was left out as many are named as a person would read.
_EXAMPLES = 10

# A warning for each of ten thousand stray files would bury the others.
_MOST_WARNINGS = 50


class PlannedLegs:
    """Takes what the legs of a plan have left, file by file.

    ``where`` is always the file as a person finds it: the path below the folder that the records lie in.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._planned = {leg.id: leg for leg in plan.legs}
        self._merger = Merger()
        #: By leg: why what it left does not count.
        self._refused: dict[str, str] = {}
        self._warnings: dict[str, None] = {}

    def leg_of(self, folder: str) -> str:
        """The leg that an artifact of this name is of; empty where that cannot be told.

        ``<artifact>-leg-<id>``, in a shard ``<artifact>-<shard>-leg-<id>``.
        """
        if not self._plan.artifact or not folder.startswith(f"{self._plan.artifact}-"):
            return ""
        before, _, leg = folder[len(self._plan.artifact) :].partition("-leg-")
        return leg if leg in self._planned and (not before or before[1:].isdecimal()) else ""

    def take(self, record: RunRecord, where: str, named: str = "") -> None:
        """A record. ``named`` is the leg that the artifact's name speaks of, where it does."""
        leg = record.leg.id
        if named and named != leg:
            self._refuse(named, f"the record in its artifact is that of {leg}")
            self._warn(f"{where} is the record of {leg} in the artifact of {named}: it is not counted")
        elif leg not in self._planned:
            self._warn(f"{where} is the record of {leg}, which is not planned: it is not counted")
        elif self._plan.run and (record.job is None or record.job.run != self._plan.run):
            self._refuse(leg, OTHER_RUN)
        elif not self._merger.add(record):
            self._warn(f"{where}: there are several records of {leg}; the one that was written last counts")

    def unreadable(self, problem: str, where: str, named: str = "") -> None:
        """A record that cannot be read, and why."""
        if named:
            self._refuse(named, one_line(f"its record.json {problem}", 500))
        else:
            self._warn(f"{where} {problem}: it is not counted")

    def missing(self, where: str) -> None:
        """A place where records should be, and nothing is."""
        self._warn(f"there is nothing at {where}")

    def report(self) -> Report:
        """The report: the plan's legs in its order, and nothing else."""
        expected = [absent_result(leg, self._refused.get(leg.id, NO_RECORD), leg.reproduce) for leg in self._plan.legs]
        report = self._merger.report(expected)
        status, reason = report.status, ""
        skipped = report.count("skipped")
        if not self._plan.legs:
            status, reason = "skipped", self._plan.reason or "the plan has no legs"
        elif skipped and status in ("passed", "skipped"):
            status, reason = "broken", f"{skipped} of the planned legs {'was' if skipped == 1 else 'were'} skipped"
        return msgspec.structs.replace(
            report, status=status, reason=reason, plan=self._facts(), warnings=self._said_warnings()
        )

    def _facts(self) -> PlanFacts:
        plan = self._plan
        return PlanFacts(
            matrix=plan.matrix,
            tier=plan.tier,
            strategy=plan.strategy,
            legs=len(plan.legs),
            combinations=plan.combinations,
            left_out=len(plan.left_out) + plan.left_out_more,
            examples=plan.left_out[:_EXAMPLES],
            artifact=plan.artifact,
        )

    def _refuse(self, leg: str, reason: str) -> None:
        self._refused.setdefault(leg, reason)

    def _warn(self, text: str) -> None:
        self._warnings[one_line(text, 1000)] = None

    def _said_warnings(self) -> tuple[str, ...]:
        """Those of refused records too, where another record of the same leg counts."""
        for leg, reason in self._refused.items():
            if leg in self._merger:
                self._warn(f"{leg}: {reason}; another one is there and counts")
        said = tuple(self._warnings)
        more = len(said) - _MOST_WARNINGS
        return (*said[:_MOST_WARNINGS], f"and {more} more of this kind") if more > 0 else said


def without_plan(reason: str) -> Report:
    """The report of a run whose plan is not there: nobody knows what should have been built."""
    return Report(status="broken", reason=one_line(reason, 1000))


def planned_exit_code(report: Report) -> int:
    """The exit code for the legs of a plan: each was asked for by its name. 0 where nothing was to be done."""
    if not report.legs:
        return 0 if report.status == "skipped" else BrokenError.exit_code
    return exit_code(report, frozenset(leg.id for leg in report.legs))
