from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner
from tests.support.records import ended, record

from ci_envs.cli import main_group
from ci_envs.errors import UsageError
from ci_envs.model.plan import Plan, PlannedLeg
from ci_envs.record_files import write_record

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one leg that passed and one that failed."""
    for leg in (record(), ended("test", pattern="venv")):
        write_record(tmp_path / ".ci-envs" / "records" / f"{leg.leg.id}.json", leg)
    return tmp_path


def report(*words: Any) -> Result:
    return CliRunner().invoke(main_group, ["report", *map(str, words)], standalone_mode=False)


def test_the_records_of_the_project_are_merged(project: Path) -> None:
    assert report("--project", project).stdout.endswith("failed: 1 passed, 1 failed\n")


def test_json_is_the_report_and_nothing_else(project: Path) -> None:
    found = msgspec.json.decode(report("--project", project, "--json").stdout_bytes)

    assert found["status"] == "failed"
    assert [leg["id"] for leg in found["legs"]] == ["uv-py312-linux-x86_64", "venv-py312-linux-x86_64"]


def test_files_may_be_named(project: Path) -> None:
    one = project / ".ci-envs" / "records" / "uv-py312-linux-x86_64.json"

    assert report(one).stdout.endswith("passed: 1 passed\n")


def test_an_expected_leg_without_a_record_is_said(project: Path) -> None:
    assert "uv-py313-linux-x86_64    broken" in report("--project", project, "--expect", "uv-py313-linux-x86_64").stdout


def test_the_exit_code_is_that_of_a_run_where_it_is_asked_for(project: Path) -> None:
    assert report("--project", project).return_value == 0
    assert report("--project", project, "--exit-code").return_value == 8


def test_markdown_is_printed_or_written_whole(project: Path, tmp_path: Path) -> None:
    printed = report("--project", project, "--markdown").stdout
    report("--project", project, "-o", tmp_path / "out" / "summary.md")

    assert printed.startswith("## Environments: failed\n")
    assert (tmp_path / "out" / "summary.md").read_text(encoding="utf-8").rstrip("\n") == printed.rstrip("\n")


def test_markdown_is_cut_where_that_is_asked_for(project: Path) -> None:
    assert len(report("--project", project, "--markdown", "--limit", 300).stdout_bytes) <= 301


@pytest.mark.parametrize("words", [["--json", "--markdown"], ["/nowhere.json"]])
def test_what_cannot_be_is_a_usage_error(project: Path, words: list[str]) -> None:
    assert isinstance(report("--project", project, *words).exception, UsageError)


def test_a_project_without_records_is_told_what_makes_them(tmp_path: Path) -> None:
    error = report("--project", tmp_path).exception

    assert isinstance(error, UsageError)
    assert "ci-envs run" in error.hint


# --- the legs of a plan


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """A plan of four legs, and the artifacts that they left: one passed, one failed, a truncated record, none."""
    legs = [record(), ended("test", pattern="venv"), record(python="3.13"), record(python="3.11")]
    for leg in legs[:2]:
        write_record(tmp_path / "records" / f"ci-envs-leg-{leg.leg.id}" / "record.json", leg)
    cut = tmp_path / "records" / f"ci-envs-leg-{legs[2].leg.id}" / "record.json"
    write_record(cut, legs[2])
    cut.write_bytes(cut.read_bytes()[:-40])
    planned = tuple(PlannedLeg(**msgspec.structs.asdict(leg.leg)) for leg in legs)
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "plan.json").write_bytes(msgspec.json.encode(Plan(legs=planned, artifact="ci-envs")))
    return tmp_path


def test_each_leg_of_a_plan_is_told_of(artifacts: Path) -> None:
    result = report("--plan", artifacts / "plan", "--exit-code", "--json", artifacts / "records")

    found = msgspec.json.decode(result.stdout_bytes)
    assert [(leg["id"], leg["status"], leg["reason"].partition(":")[0]) for leg in found["legs"]] == [
        ("uv-py312-linux-x86_64", "passed", ""),
        ("venv-py312-linux-x86_64", "failed", "test"),
        ("uv-py313-linux-x86_64", "broken", "its record.json is not a record"),
        ("uv-py311-linux-x86_64", "broken", "no record"),
    ]
    assert result.return_value == 8
    assert report("--plan", artifacts / "plan" / "plan.json", artifacts / "records").return_value == 0


def test_the_records_of_the_project_are_those_of_its_plan(project: Path) -> None:
    planned = (PlannedLeg(**msgspec.structs.asdict(record().leg)),)
    (project / "plan.json").write_bytes(msgspec.json.encode(Plan(legs=planned)))

    result = report("--project", project, "--plan", project / "plan.json", "--exit-code")

    assert (result.return_value, result.stdout[-18:]) == (0, "\npassed: 1 passed\n")


def test_folders_that_are_not_there_leave_every_leg_broken(artifacts: Path) -> None:
    result = report("--plan", artifacts / "plan", "--exit-code", "--markdown", artifacts / "nowhere")

    assert result.return_value == 1
    assert "- **broken** 4 legs: `no record`\n" in result.stdout
    assert "there is nothing at" in result.stdout


def test_warnings_are_shown_to_a_person(artifacts: Path) -> None:
    write_record(artifacts / "records" / "stray" / "record.json", record(python="3.9"))

    said = report("--plan", artifacts / "plan", artifacts / "records").stderr

    assert "stray/record.json is the record of uv-py39-linux-x86_64, which is not planned: it is not counted\n" in said


@pytest.mark.parametrize("words", [["--plan", "/nowhere"], ["--plan", "/", "--expect", "x"]])
def test_a_plan_that_cannot_be_is_a_usage_error(project: Path, words: list[str]) -> None:
    assert isinstance(report("--project", project, *words).exception, UsageError)
