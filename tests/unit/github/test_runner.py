from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci_envs.errors import UsageError
from ci_envs.github.runner import (
    acting,
    job_facts,
    project_file,
    run_identity,
    runner,
    temporary_folder,
    workspace_path,
)
from ci_envs.model.record import JobFacts

if TYPE_CHECKING:
    from pathlib import Path

JOB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "own/repo",
    "GITHUB_RUN_ID": "17",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_SHA": "c" * 40,
}


def test_a_runner_has_a_word_of_its_own() -> None:
    assert runner({"RUNNER_OS": "Linux", "RUNNER_ARCH": "X64", "ImageOS": "ubuntu24"}) == "linux-x64-ubuntu24"
    assert runner({}) == "unknown"


def test_a_run_is_told_from_every_other(tmp_path: Path) -> None:
    assert run_identity(JOB) == "own/repo/17"
    assert job_facts(tmp_path / "sub", {**JOB, "GITHUB_WORKSPACE": str(tmp_path)}) == JobFacts(
        run="own/repo/17", attempt=2, commit="c" * 40, root="sub"
    )


@pytest.mark.parametrize("missing", ["GITHUB_ACTIONS", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"])
def test_outside_of_a_job_there_is_no_run(tmp_path: Path, missing: str) -> None:
    environ = {name: value for name, value in JOB.items() if name != missing}

    assert run_identity(environ) == ""
    assert job_facts(tmp_path, environ) is None


@pytest.mark.parametrize("attempt", ["", "0", "x", "-1", "1" * 20])
def test_an_attempt_that_is_no_number_is_the_first(tmp_path: Path, attempt: str) -> None:
    facts = job_facts(tmp_path, {**JOB, "GITHUB_WORKSPACE": str(tmp_path), "GITHUB_RUN_ATTEMPT": attempt})

    assert facts is not None
    assert (facts.attempt, facts.root) == (1, ".")


def test_a_folder_beside_the_workspace_is_in_no_repository(tmp_path: Path) -> None:
    facts = job_facts(tmp_path, {**JOB, "GITHUB_WORKSPACE": str(tmp_path / "repo")})

    assert facts is not None
    assert facts.root == "."
    assert workspace_path(tmp_path, {"GITHUB_WORKSPACE": str(tmp_path / "repo")}) == tmp_path.as_posix()


def test_our_actions_say_who_they_are() -> None:
    assert acting({"GITHUB_ACTIONS": "true", "CI_ENVS_ACTION": "leg"}) == "leg"
    assert acting({"CI_ENVS_ACTION": "leg"}) == acting({"GITHUB_ACTIONS": "true"}) == ""


def test_the_temporary_folder_is_the_jobs(tmp_path: Path) -> None:
    assert temporary_folder({"RUNNER_TEMP": str(tmp_path)}) == tmp_path
    with pytest.raises(UsageError, match="RUNNER_TEMP is not set"):
        temporary_folder({})


def test_a_file_of_an_error_is_named_as_the_repository_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub" / "matrices").mkdir(parents=True)
    (tmp_path / "sub" / "matrices" / "m.yml").touch()
    (tmp_path / "sub" / "uv.lock").touch()
    monkeypatch.chdir(tmp_path)
    environ = {"GITHUB_WORKSPACE": str(tmp_path), "INPUT_WORKING_DIRECTORY": "sub"}

    assert project_file("uv.lock", environ) == "sub/uv.lock"
    # A matrix is named as it was given to the verb, which is relative to where we were started.
    assert project_file("sub/matrices/m.yml", environ) == "sub/matrices/m.yml"
    assert project_file("gone.toml", environ) == "sub/gone.toml"
    assert project_file("uv.lock", {"GITHUB_WORKSPACE": str(tmp_path)}) == "uv.lock"
