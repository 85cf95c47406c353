from __future__ import annotations

import pytest
from tests.support.records import ended, record

from ci_envs.model.image import ImageFacts, SystemFacts
from ci_envs.model.record import Finding, Stage
from ci_envs.model.report import LegImage
from ci_envs.report.merge import NO_RECORD, exit_code, merge

UV = "uv-py312-linux-x86_64"
VENV = "venv-py312-linux-x86_64"
STALE = Finding(code="LOCK001", severity="warning", title="stale", message="m", file="uv.lock")


def test_the_status_is_the_worst_of_the_legs() -> None:
    assert merge([record(), ended("test", pattern="venv")]).status == "failed"
    assert merge([record(), ended("lock", "broken", pattern="venv")]).status == "broken"
    assert merge([record(), ended("detect", "skipped", pattern="venv")]).status == "passed"
    assert merge([ended("detect", "skipped")]).status == "skipped"
    assert merge([]).status == "skipped"


def test_an_expected_leg_without_a_record_is_broken() -> None:
    report = merge([record()], [VENV, UV])

    assert [(leg.id, leg.status, leg.reason) for leg in report.legs] == [
        (VENV, "broken", NO_RECORD),
        (UV, "passed", ""),
    ]
    assert report.status == "broken"
    assert exit_code(report) == 1


def test_legs_that_were_not_expected_follow_those_that_were() -> None:
    assert [leg.id for leg in merge([record(), record(pattern="venv")], [VENV]).legs] == [VENV, UV]


def test_of_two_records_of_one_leg_the_later_counts() -> None:
    old = ended("test", written="2026-01-01T00:00:00+00:00")
    new = record(written="2026-01-02T00:00:00+00:00")

    assert merge([old, new]).status == merge([new, old]).status == "passed"
    assert len(merge([old, new]).legs) == 1


def test_a_leg_says_what_its_record_says() -> None:
    (leg,) = merge([record()]).legs

    assert (leg.seconds, leg.lock_digest, leg.environment_digest) == (7.5, "sha256:" + "1" * 64, "sha256:" + "2" * 64)
    assert leg.reproduce == f"ci-envs run --only {UV}"


def test_one_finding_of_many_legs_is_said_once() -> None:
    info = Finding(code="X", severity="info", title="t", message="m")
    error = Finding(code="Y", severity="error", title="t", message="m")
    report = merge([record(findings=(info, STALE)), record(pattern="venv", findings=(STALE, error))])

    assert [(finding.code, finding.legs) for finding in report.findings] == [
        ("Y", (VENV,)),
        ("LOCK001", (UV, VENV)),
        ("X", (UV,)),
    ]


@pytest.mark.parametrize(
    ("stage", "status", "code"),
    [
        ("detect", "broken", 4),
        ("lock", "failed", 5),
        ("build", "broken", 6),
        ("check", "failed", 7),
        ("test", "failed", 8),
    ],
)
def test_the_stage_at_which_a_leg_ended_gives_the_exit_code(stage: str, status: str, code: int) -> None:
    assert exit_code(merge([ended(stage, status)])) == code  # type: ignore[arg-type]  # parametrized literals


def test_the_earliest_stage_of_all_legs_decides() -> None:
    report = merge([ended("test"), ended("lock", "broken", pattern="venv"), record(python="3.13")])

    assert exit_code(report) == 5


def test_a_stage_that_says_its_own_exit_code_is_believed() -> None:
    assert exit_code(merge([ended("build", "broken", exit_code=4)])) == 4
    assert exit_code(merge([ended("build", "broken", exit_code=1)])) == 6


def test_a_leg_that_passed_some_stages_ended_at_the_one_that_failed() -> None:
    stages = (
        Stage(name="lock", status="passed"),
        Stage(name="build", status="passed"),
        Stage(name="check", status="failed"),
    )

    assert exit_code(merge([record(status="failed", stages=stages)])) == 7


def test_a_skipped_leg_is_no_failure_unless_it_was_asked_for_by_name() -> None:
    report = merge([record(), ended("detect", "skipped", pattern="venv")])

    assert exit_code(report) == 0
    assert exit_code(report, frozenset({VENV})) == 4
    assert exit_code(report, frozenset({UV})) == 0


def test_a_run_in_which_nothing_was_run_is_no_success() -> None:
    assert exit_code(merge([])) == 3
    assert exit_code(merge([ended("detect", "skipped")])) == 3


def test_a_leg_that_broke_before_its_first_stage_lacks_something_here() -> None:
    assert exit_code(merge([record(status="broken", reason="not built yet", stages=())])) == 4


def test_a_lost_record_does_not_hide_what_another_leg_says() -> None:
    assert exit_code(merge([ended("test")], [VENV, UV])) == 8


def test_an_image_is_told_by_what_matters_of_it() -> None:
    facts = ImageFacts(
        name="a/b:c", id="sha256:id", bytes=7, system=SystemFacts(id="alpine", packages={"apk": 2, "dpkg": 1})
    )

    (leg,) = merge([record(image=facts)]).legs

    assert leg.image == LegImage(name="a/b:c", digest="sha256:id", bytes=7, system="alpine", packages=3)
    assert merge([record()]).legs[0].image is None
