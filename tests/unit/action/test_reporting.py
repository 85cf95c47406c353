from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.support.action_runner import command_outputs
from tests.support.records import ended, record

from ci_envs.action.__main__ import main
from ci_envs.action.reporting import leave_report
from ci_envs.github.step_files import SUMMARY_LIMIT
from ci_envs.model.plan import Plan, PlannedLeg
from ci_envs.model.record import Finding, JobFacts
from ci_envs.model.report import Report
from ci_envs.record_files import write_record
from ci_envs.report.merge import merge

if TYPE_CHECKING:
    from ci_envs.model.record import RunRecord

STALE = Finding(code="LOCK001", severity="error", title="stale", message="m", file="uv.lock", line=3)
NEWS = JobFacts(run="own/repo/1", root="sub")


def left(report: Report, job: dict[str, str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The workflow commands that a report leaves."""
    leave_report(report, job)
    return capsys.readouterr().out.splitlines()


def test_the_outputs_count_the_legs_and_name_the_first_that_did_not_pass(job: dict[str, str]) -> None:
    leave_report(merge([record(), ended("test", pattern="venv"), ended("lock", "broken", pattern="conda")]), job)

    folder = Path(job["RUNNER_TEMP"]) / "ci-envs-report"
    assert command_outputs(job) == {
        "status": "failed",
        "passed": "1",
        "failed": "1",
        "broken": "1",
        "skipped": "0",
        "report": str(folder),
        "reproduce-command": "ci-envs run --only venv-py312-linux-x86_64",
    }
    assert msgspec.json.decode((folder / "report.json").read_bytes(), type=Report).status == "failed"


def test_where_all_passed_the_command_is_that_of_the_first(job: dict[str, str]) -> None:
    leave_report(merge([record(), record(pattern="venv")]), job)

    assert command_outputs(job)["reproduce-command"] == "ci-envs run --only uv-py312-linux-x86_64"


def test_a_summary_that_is_cut_is_whole_in_the_report(job: dict[str, str]) -> None:
    legs = [ended("test", python=f"3.{minor}", reason=f"{minor} " + "x" * 900) for minor in range(1500)]
    leave_report(merge(legs), job)

    shown = Path(job["GITHUB_STEP_SUMMARY"]).read_bytes()
    whole = (Path(job["RUNNER_TEMP"]) / "ci-envs-report" / "report.md").read_bytes()
    assert len(shown) <= SUMMARY_LIMIT < len(whole)
    assert b"*Cut, since the whole report does not fit here:*" in shown
    assert b"Cut" not in whole
    assert shown.endswith(b"ci-envs run --only uv-py31499-linux-x86_64\n```\n")


def test_legs_that_ended_for_one_reason_are_one_annotation(
    job: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    legs = [ended("test", python=f"3.{minor}") for minor in range(8, 20)]
    lines = left(merge([*legs, ended("lock", "broken", pattern="venv")]), job, capsys)

    assert len(lines) == 2
    assert lines[0].startswith("::error title=leg%3A 12 legs failed::test: because%0ALegs: uv-py38-linux-x86_64, ")
    assert " and 2 more%0ATo see it on your machine: ci-envs run --only uv-py38-linux-x86_64" in lines[0]
    assert lines[1].startswith("::error title=leg%3A venv-py312-linux-x86_64 broken::lock: because%0ATo see it")


def test_findings_stand_beside_their_lines_in_the_repository(
    job: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    legs = [
        record(findings=(STALE,), job=NEWS),
        record(findings=(STALE,), job=NEWS, pattern="venv"),
        record(findings=(STALE,), job=NEWS, project="app"),
    ]

    assert left(merge(legs), job, capsys) == [
        "::error file=sub/uv.lock,line=3,title=LOCK001%3A stale::m%0A(uv-py312-linux-x86_64, venv-py312-linux-x86_64)",
        "::error file=sub/app/uv.lock,line=3,title=LOCK001%3A stale::m%0A(uv-py312-linux-x86_64-app)",
    ]


def test_no_more_annotations_are_left_than_are_shown(job: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    findings = tuple(msgspec.structs.replace(STALE, severity="warning", line=line) for line in range(1, 31))
    lines = left(merge([record(findings=findings)]), job, capsys)

    assert len(lines) == 10
    assert lines[-1] == "::warning title=and 21 more::The summary has all of them."


def test_nothing_that_a_record_says_is_a_command(job: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    nasty = "a\n::set-output name=status::passed\n::error::b\r\n##[error]c%0A::warning::d"
    found = Finding(code=nasty, severity="error", title=nasty, message=nasty, file=nasty, line=1)
    legs = [ended("test", reason=nasty, reproduce=nasty, findings=(found,), packages={nasty: nasty})]
    lines = left(msgspec.structs.replace(merge(legs), warnings=(nasty,), reason=nasty), job, capsys)

    assert len(lines) == 4
    assert all(line.startswith(("::error ", "::warning ")) for line in lines)
    assert "\n" not in command_outputs(job)["reproduce-command"]
    assert command_outputs(job)["status"] == "failed"


# --- the step


@pytest.fixture
def step(job: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The step's variables, with a plan of two legs and the record of one."""
    legs = (record(job=NEWS), record(pattern="venv", job=NEWS))
    planned = tuple(PlannedLeg(**msgspec.structs.asdict(leg.leg), reproduce=leg.reproduce) for leg in legs)
    plan = Plan(legs=planned, artifact="ci-envs", run=NEWS.run)
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "plan.json").write_bytes(msgspec.json.encode(plan))
    leave_record(tmp_path, legs[0])
    variables = {
        **job,
        "CI_ENVS_ACTION": "report",
        "INPUT_PLAN": str(tmp_path / "plan"),
        "INPUT_RECORDS": str(tmp_path / "records"),
        "INPUT_PLAN_RESULT": "success",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def leave_record(folder: Path, leg: RunRecord) -> None:
    write_record(folder / "records" / f"ci-envs-leg-{leg.leg.id}" / "record.json", leg)


def test_a_leg_without_a_record_fails_the_step(step: dict[str, str]) -> None:
    assert main(["report"]) == 1
    assert command_outputs(step)["status"] == "broken"
    assert "- **broken** `venv-py312-linux-x86_64`: `no record`\n" in Path(step["GITHUB_STEP_SUMMARY"]).read_text()


def test_a_run_whose_legs_all_passed_is_good(step: dict[str, str], tmp_path: Path) -> None:
    leave_record(tmp_path, record(pattern="venv", job=NEWS))

    assert main(["report"]) == 0
    assert command_outputs(step)["status"] == "passed"


def test_the_record_of_another_run_is_none(step: dict[str, str], tmp_path: Path) -> None:
    leave_record(tmp_path, record(pattern="venv", job=JobFacts(run="own/repo/0")))

    assert main(["report"]) == 1
    assert "its record belongs to another run" in Path(step["GITHUB_STEP_SUMMARY"]).read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"INPUT_PLAN_RESULT": "failure"}, "the job that plans failed"),
        ({"INPUT_PLAN_RESULT": "cancelled"}, "the job that plans was cancelled"),
        ({"INPUT_PLAN_RESULT": "skipped"}, "the job that plans was skipped"),
        ({"INPUT_PLAN": "/nowhere"}, "there is no plan that can be read: /nowhere: there is no such plan"),
        ({"INPUT_PLAN": __file__}, "is not a plan"),
    ],
)
def test_without_a_plan_the_step_fails_and_says_why(
    step: dict[str, str], monkeypatch: pytest.MonkeyPatch, change: dict[str, str], said: str
) -> None:
    for name, value in change.items():
        monkeypatch.setenv(name, value)

    assert main(["report"]) == 1

    summary = Path(step["GITHUB_STEP_SUMMARY"]).read_text(encoding="utf-8")
    assert summary.startswith("## Environments: broken\n")
    assert said in summary
    assert command_outputs(step)["status"] == "broken"
    assert Path(command_outputs(step)["report"], "report.json").is_file()
