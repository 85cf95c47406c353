from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tests.support.action_runner import command_outputs
from tests.support.records import record

from ci_envs.action import collecting
from ci_envs.action.collecting import collect
from ci_envs.github.inputs import CollectInputs
from ci_envs.layout import Layout
from ci_envs.record_files import read_record, write_record

LEG = record().leg.id


@pytest.fixture
def root(job: dict[str, str]) -> Path:
    """The repository of a job in which a leg was run."""
    root = Path(job["GITHUB_WORKSPACE"])
    layout = Layout.at(root, {})
    write_record(layout.record(LEG), record())
    for stage in ("build", "test"):
        layout.log(LEG, stage).parent.mkdir(parents=True, exist_ok=True)
        layout.log(LEG, stage).write_text(f"{stage}\n")
    layout.junit(LEG).write_text("<testsuite/>")
    (root / "uv.lock").write_text("version = 1")
    return root


def collected(job: dict[str, str]) -> list[str]:
    folder = collect(CollectInputs(leg=LEG, working_directory=job["GITHUB_WORKSPACE"]), job)
    assert command_outputs(job)["path"] == str(folder or "")
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) if folder else []


WHOLE = ["lock/uv.lock", "logs/build.log", "logs/junit.xml", "logs/test.log", "record.json"]


def test_everything_that_a_leg_left_is_taken(job: dict[str, str], root: Path) -> None:
    assert collected(job) == WHOLE
    assert read_record(Path(job["RUNNER_TEMP"]) / "ci-envs-leg" / LEG / "record.json") == record()


def test_what_another_attempt_left_is_not(job: dict[str, str], root: Path) -> None:
    collected(job)
    Layout.at(root, {}).log(LEG, "build").unlink()
    Path(job["GITHUB_OUTPUT"]).unlink()

    assert "logs/build.log" not in collected(job)


def test_a_leg_without_a_record_leaves_its_logs(job: dict[str, str], root: Path) -> None:
    Layout.at(root, {}).record(LEG).unlink()

    assert collected(job) == ["logs/build.log", "logs/junit.xml", "logs/test.log"]


def test_a_leg_that_left_nothing_has_no_path(job: dict[str, str]) -> None:
    assert collected(job) == []


def test_a_record_that_cannot_be_read_is_taken_for_the_report_to_judge(job: dict[str, str], root: Path) -> None:
    path = Layout.at(root, {}).record(LEG)
    path.write_bytes(path.read_bytes()[:-30])

    assert collected(job) == [name for name in WHOLE if not name.startswith("lock/")]


def test_of_a_long_log_the_end_is_kept(job: dict[str, str], root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "MAX_LOG_BYTES", 10)
    monkeypatch.setattr(collecting, "MAX_FILE_BYTES", 12)
    Layout.at(root, {}).log(LEG, "test").write_text("x" * 100 + "the reason")
    Layout.at(root, {}).junit(LEG).write_text("<" * 13)

    assert collected(job) == ["lock/uv.lock", "logs/build.log", "logs/test.log", "record.json"]
    log = Path(job["RUNNER_TEMP"]) / "ci-envs-leg" / LEG / "logs" / "test.log"
    assert log.read_text() == "[the first 100 bytes are left out]\nthe reason"


@pytest.mark.skipif(sys.platform == "win32", reason="makes links and pipes")
@pytest.mark.parametrize("kind", ["link", "linked folder", "pipe", "folder"])
def test_only_regular_files_of_the_project_are_taken(
    job: dict[str, str], root: Path, tmp_path: Path, kind: str
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "test.log").write_text("secret")
    logs = Layout.at(root, {}).log(LEG, "test").parent
    target = logs / "test.log"
    target.unlink()
    if kind == "link":
        target.symlink_to(secret / "test.log")
        (root / "uv.lock").unlink()
        (root / "uv.lock").symlink_to(secret / "test.log")
    elif kind == "linked folder":
        logs.rename(tmp_path / "moved")
        logs.symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(target)
    else:
        target.mkdir()

    names = collected(job)

    assert "logs/test.log" not in names
    assert ("lock/uv.lock" in names) == (kind != "link")
    assert "record.json" in names


def test_a_lock_is_taken_from_inside_of_the_project_only(job: dict[str, str], root: Path, tmp_path: Path) -> None:
    (root / "app").symlink_to(tmp_path)
    (tmp_path / "uv.lock").write_text("secret")
    write_record(Layout.at(root, {}).record(LEG), record(project="app"))

    assert not any(name.startswith("lock/") for name in collected(job))


def test_no_more_files_are_taken_than_a_leg_writes(
    job: dict[str, str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "MAX_FILES", 2)

    assert [name for name in collected(job) if name.startswith("logs/")] == ["logs/build.log", "logs/junit.xml"]
