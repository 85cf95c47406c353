from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci_envs import command
from ci_envs.command import Command, Outcome
from ci_envs.containers.revision import Revision, revision_of
from ci_envs.errors import ToolMissing, UsageError
from ci_envs.work import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMIT = "c" * 40
SAYS = {"log": "1700000000\n", "rev-parse": f"{COMMIT}\n", "config": "https://me:hunter2@git.example/a.git\n"}


@pytest.fixture
def git(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Has git say what is told, by the first word after its folder; what is not told fails."""

    def told(says: dict[str, str]) -> None:
        def run(asked: Command) -> Outcome:
            said = says.get(asked.argv[3])
            return Outcome(asked.argv, 0 if said is not None else 128, said or "", "", 0.0)

        monkeypatch.setattr(command, "run", run)

    return told


def test_the_commit_its_instant_and_its_repository_are_told(
    tmp_path: Path, git: Callable[[dict[str, str]], None]
) -> None:
    git(SAYS)
    assert revision_of(tmp_path, {}) == Revision(epoch=1_700_000_000, commit=COMMIT, source="https://git.example/a.git")


def test_what_the_caller_says_of_the_instant_holds(tmp_path: Path, git: Callable[[dict[str, str]], None]) -> None:
    git(SAYS)
    assert revision_of(tmp_path, {"SOURCE_DATE_EPOCH": "0"}).epoch == 0
    assert revision_of(tmp_path, {"SOURCE_DATE_EPOCH": ""}).epoch == 1_700_000_000


@pytest.mark.parametrize("said", ["yesterday", "-1", "1.5", " 1"])
def test_an_instant_that_is_no_number_is_an_error(tmp_path: Path, said: str) -> None:
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH is"):
        revision_of(tmp_path, {"SOURCE_DATE_EPOCH": said})


def test_a_folder_without_version_control_has_the_oldest_instant(
    tmp_path: Path, git: Callable[[dict[str, str]], None]
) -> None:
    git({})
    assert revision_of(tmp_path, {}) == Revision(epoch=int(EPOCH))


def test_a_repository_without_a_commit_of_the_folder_has_it_too(
    tmp_path: Path, git: Callable[[dict[str, str]], None]
) -> None:
    git({**SAYS, "log": "\n"})
    assert revision_of(tmp_path, {}).epoch == int(EPOCH)


def test_a_machine_without_git_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_asked: Command) -> Outcome:
        raise ToolMissing("git is not there")

    monkeypatch.setattr(command, "run", run)
    assert revision_of(tmp_path, {}) == Revision(epoch=int(EPOCH))
