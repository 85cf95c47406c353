from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner
from tests.support.records import ended, record

from ci_envs.cli.report_verb import command
from ci_envs.errors import UsageError
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
    return CliRunner().invoke(command, [str(word) for word in words], standalone_mode=False)


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
