from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.action_runner import command_outputs
from tests.support.records import ended, record

from ci_envs.action.__main__ import main
from ci_envs.action.leaving import leave_results
from ci_envs.environments.scheme import Scheme
from ci_envs.model.record import EnvironmentFacts, Finding

STALE = Finding(code="LOCK001", severity="warning", title="stale", message="m", file="uv.lock", line=3)


def leave(records: list[Any], job: dict[str, str], **more: Any) -> None:
    root = Path(job["GITHUB_WORKSPACE"])
    leave_results(records, root, lambda leg: root / ".ci-envs" / "records" / f"{leg}.json", environ=job, **more)


def test_a_good_leg_sets_outputs_and_changes_nothing_else(job: dict[str, str]) -> None:
    leave([record()], job, markdown="# summary")

    assert command_outputs(job)["record"] == ".ci-envs/records/uv-py312-linux-x86_64.json"
    assert command_outputs(job)["python-version"] == "3.12.4"
    assert Path(job["GITHUB_STEP_SUMMARY"]).read_text() == "# summary\n"
    assert not Path(job["GITHUB_PATH"]).exists()
    assert not Path(job["GITHUB_ENV"]).exists()


def test_an_environment_is_activated_where_that_was_asked_for(job: dict[str, str]) -> None:
    job["INPUT_ACTIVATE_ENVIRONMENT"] = "true"
    leave([record(environment=EnvironmentFacts(path="envs/x", python="3.12.4"))], job)

    prefix = Path(job["GITHUB_WORKSPACE"]) / "envs/x"
    assert Path(job["GITHUB_ENV"]).read_text() == f"VIRTUAL_ENV={prefix}\n"
    assert Path(job["GITHUB_PATH"]).read_text() == f"{Scheme.of(prefix).scripts}\n"


@pytest.mark.parametrize("leg", [ended("test"), ended("lock", "broken", environment=None)])
def test_what_failed_is_not_activated(job: dict[str, str], leg: Any) -> None:
    job["INPUT_ACTIVATE_ENVIRONMENT"] = "true"
    leave([leg], job)

    assert not Path(job["GITHUB_PATH"]).exists()
    assert command_outputs(job)["record"]


def test_a_failed_leg_is_annotated_with_its_command(job: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    legs = [ended("test", findings=(STALE,), project="app", python=python) for python in ("3.12", "3.13")]
    leave(legs, job)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "::error title=leg%3A uv-py312-linux-x86_64-app failed::test: because%0A"
        "To see it on your machine: ci-envs run --only uv-py312-linux-x86_64-app"
    )
    assert lines[2:] == ["::warning file=app/uv.lock,line=3,title=LOCK001%3A stale::m"]


def test_a_leg_of_a_plan_sets_its_status_and_leaves_annotations_to_the_report(
    job: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    leave([ended("test", findings=(STALE,))], {**job, "CI_ENVS_ACTION": "leg"}, markdown="text")

    assert capsys.readouterr().out == ""
    assert command_outputs(job)["status"] == "failed"
    assert Path(job["GITHUB_STEP_SUMMARY"]).exists()


def test_outside_of_our_action_no_outputs_are_set(job: dict[str, str]) -> None:
    del job["CI_ENVS_ACTION"]
    leave([record()], job, markdown="text")

    assert command_outputs(job) == {}
    assert Path(job["GITHUB_STEP_SUMMARY"]).exists()


def test_outside_of_actions_nothing_happens(job: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    job["GITHUB_ACTIONS"] = "false"
    leave([ended("test")], job, markdown="text")

    assert command_outputs(job) == {}
    assert not Path(job["GITHUB_STEP_SUMMARY"]).exists()
    assert capsys.readouterr().out == ""


def test_a_wrong_input_ends_a_step_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INPUT_CHECK", "maybe")

    assert main(["prepare"]) == 2
    assert capsys.readouterr().err == "error: input 'check' is 'maybe'\nhint: it takes one of: true, false\n"
