from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.action_runner import command_outputs

from ci_envs.action.__main__ import main
from ci_envs.action.cache_keys import cache_keys
from ci_envs.action.preparing import prepare
from ci_envs.errors import UsageError
from ci_envs.github.inputs import EnvironmentInputs, read_inputs

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_cache_there_is_no_key(job: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    prepare({**job, "INPUT_ENABLE_CACHE": "false"})

    assert capsys.readouterr().err == "package cache: enable-cache is false\n"
    assert command_outputs(job) == {
        "cache": "false", "cache-dir": "", "cache-key": "", "environment-dir": "", "environment-cache-key": ""
    }  # fmt: skip


def test_a_project_that_describes_nothing_has_no_cache_and_no_error_yet(
    job: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(job)

    assert command_outputs(job)["cache"] == "false"
    assert capsys.readouterr().err.startswith("package cache: off: ")
    assert cache_keys(read_inputs(EnvironmentInputs, job), job).why.startswith("off: ")
    assert list((tmp_path / "repo").iterdir()) == []
    assert list((tmp_path / "temp").iterdir()) == []


def test_a_folder_that_is_not_there_is_named(job: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="'working-directory' is '/nowhere'"):
        prepare({**job, "INPUT_WORKING_DIRECTORY": "/nowhere"})


def test_a_wrong_input_ends_prepare_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INPUT_ENABLE_CACHE", "maybe")

    assert main(["prepare"]) == 2
    assert "input 'enable-cache' is 'maybe'" in capsys.readouterr().err
