from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.support.records import ended, record

from ci_envs.model.plan import LeftOut, Plan, PlannedLeg
from ci_envs.model.record import JobFacts
from ci_envs.report.merge import NO_RECORD
from ci_envs.report.planned import OTHER_RUN, PlannedLegs, planned_exit_code, without_plan

if TYPE_CHECKING:
    from ci_envs.model.record import RunRecord

UV = "uv-py312-linux-x86_64"
VENV = "venv-py312-linux-x86_64"


def plan_of(*records: RunRecord, **facts: Any) -> Plan:
    """The plan of these legs, in this order."""
    legs = tuple(
        PlannedLeg(**msgspec.structs.asdict(each.leg), reproduce=f"ci-envs run m.yml --only {each.leg.id}")
        for each in records
    )
    return Plan(legs=legs, **facts)


def taken(plan: Plan, *records: RunRecord) -> PlannedLegs:
    legs = PlannedLegs(plan)
    for number, each in enumerate(records):
        legs.take(each, f"{number}/record.json")
    return legs


def test_legs_stand_in_the_order_of_the_plan() -> None:
    uv, venv = record(), record(pattern="venv")
    report = taken(plan_of(venv, uv), uv, venv).report()

    assert [leg.id for leg in report.legs] == [VENV, UV]
    assert (report.status, report.reason, report.warnings, planned_exit_code(report)) == ("passed", "", (), 0)


def test_a_leg_without_a_record_is_broken_and_keeps_what_the_plan_says_of_it() -> None:
    report = taken(plan_of(record(), record(pattern="venv", project="app")), record()).report()

    lost = report.legs[1]
    assert (lost.status, lost.reason, lost.recorded) == ("broken", NO_RECORD, False)
    assert (lost.pattern, lost.python, lost.project) == ("venv", "3.12", "app")
    assert lost.reproduce == "ci-envs run m.yml --only venv-py312-linux-x86_64-app"
    assert (report.status, planned_exit_code(report)) == ("broken", 1)


def test_a_lost_record_does_not_hide_which_stage_failed_elsewhere() -> None:
    report = taken(plan_of(record(), record(pattern="venv")), ended("lock")).report()

    assert (report.status, planned_exit_code(report)) == ("failed", 5)


@pytest.mark.parametrize("job", [None, JobFacts(run="o/r/2"), JobFacts(run="")])
def test_a_record_of_another_run_is_not_counted(job: JobFacts | None) -> None:
    report = taken(plan_of(record(), run="o/r/1"), record(job=job)).report()

    assert [(leg.status, leg.reason) for leg in report.legs] == [("broken", OTHER_RUN)]
    assert planned_exit_code(report) == 1


def test_an_attempt_of_the_same_run_counts() -> None:
    assert (
        taken(plan_of(record(), run="o/r/1"), record(job=JobFacts(run="o/r/1", attempt=2))).report().status == "passed"
    )


def test_the_record_of_this_run_counts_beside_that_of_another() -> None:
    ours, other = record(job=JobFacts(run="o/r/1")), ended("test", job=JobFacts(run="o/r/0"))
    report = taken(plan_of(record(), run="o/r/1"), other, ours).report()

    assert report.status == "passed"
    assert report.warnings == (f"{UV}: {OTHER_RUN}; another one is there and counts",)


def test_of_two_records_of_one_leg_the_newest_counts_and_that_is_said() -> None:
    old = ended("test", written="2026-01-01T00:00:00+00:00", packages={"numpy": "1"})
    new = record(written="2026-01-02T00:00:00+00:00")

    for records in ((old, new), (new, old)):
        report = taken(plan_of(record(), record(pattern="venv")), *records, record(pattern="venv")).report()
        assert report.status == "passed"
        assert report.parity == ()  # nothing of the older one is left
        assert report.warnings == (
            f"1/record.json: there are several records of {UV}; the one that was written last counts",
        )


def test_a_leg_that_nobody_planned_is_said_and_not_counted() -> None:
    report = taken(plan_of(record()), record(), ended("test", pattern="venv")).report()

    assert [leg.id for leg in report.legs] == [UV]
    assert report.status == "passed"
    assert report.warnings == (f"1/record.json is the record of {VENV}, which is not planned: it is not counted",)


def test_a_record_in_the_artifact_of_another_leg_counts_for_neither() -> None:
    legs = PlannedLegs(plan_of(record(), record(pattern="venv"), artifact="ci-envs"))
    legs.take(record(), f"ci-envs-leg-{VENV}/record.json", legs.leg_of(f"ci-envs-leg-{VENV}"))
    report = legs.report()

    assert [leg.reason for leg in report.legs] == [NO_RECORD, f"the record in its artifact is that of {UV}"]
    assert len(report.warnings) == 1


@pytest.mark.parametrize(
    ("folder", "leg"),
    [
        (f"ci-envs-leg-{UV}", UV),
        (f"ci-envs-17-leg-{UV}", UV),
        (f"ci-envs-x-leg-{UV}", ""),
        (f"other-leg-{UV}", ""),
        ("ci-envs-leg-uv-py399-linux-x86_64", ""),
        ("ci-envs-shard-1", ""),
        ("ci-envs-records", ""),
    ],
)
def test_the_name_of_an_artifact_says_whose_it_is(folder: str, leg: str) -> None:
    assert PlannedLegs(plan_of(record(), artifact="ci-envs")).leg_of(folder) == leg
    assert PlannedLegs(plan_of(record())).leg_of(folder) == ""


def test_a_record_that_cannot_be_read_breaks_its_leg_with_the_reason() -> None:
    legs = PlannedLegs(plan_of(record()))
    legs.unreadable("is not a record: Input data was truncated", "x/record.json", UV)
    legs.unreadable("is larger than\n32 MiB", "y/record.json")
    report = legs.report()

    assert report.legs[0].reason == "its record.json is not a record: Input data was truncated"
    assert report.warnings == ("y/record.json is larger than 32 MiB: it is not counted",)
    assert planned_exit_code(report) == 1


def test_a_planned_leg_may_not_be_skipped() -> None:
    report = taken(
        plan_of(record(), record(pattern="venv")), record(), ended("detect", "skipped", pattern="venv")
    ).report()

    assert (report.status, report.reason) == ("broken", "1 of the planned legs was skipped")
    assert planned_exit_code(report) == 4


def test_a_plan_of_nothing_is_skipped_with_its_reason() -> None:
    report = taken(Plan(status="skipped", reason="no file of a project changed", combinations=3)).report()

    assert (report.status, report.reason) == ("skipped", "no file of a project changed")
    assert planned_exit_code(report) == 0


def test_a_run_without_a_plan_is_broken() -> None:
    report = without_plan("a\n::error::b")

    assert (report.status, report.reason, planned_exit_code(report)) == ("broken", "a ::error::b", 1)


def test_what_the_plan_says_is_told() -> None:
    left = tuple(LeftOut(id=f"x{n}", reason="r") for n in range(30))
    facts = (
        taken(
            plan_of(
                record(),
                left_out=left,
                left_out_more=5,
                combinations=36,
                tier="nightly",
                strategy="ends",
                matrix="m.yml",
            )
        )
        .report()
        .plan
    )

    assert facts is not None
    assert (facts.legs, facts.combinations, facts.left_out) == (1, 36, 35)
    assert facts.examples == left[:10]
    assert (facts.matrix, facts.tier, facts.strategy) == ("m.yml", "nightly", "ends")


def test_ten_thousand_stray_records_do_not_bury_the_report() -> None:
    legs = PlannedLegs(plan_of(record()))
    for number in range(10_000):
        legs.unreadable("is not a record", f"{number}/record.json")

    warnings = legs.report().warnings
    assert len(warnings) == 51
    assert warnings[-1] == "and 9950 more of this kind"
