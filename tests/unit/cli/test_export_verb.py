"""``ci-envs export`` before anything is exported: what is asked for, and what is said where there is nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest
import yaml
from tests.support.projects import write_project
from tests.support.records import record
from tests.support.work import a_leg

from ci_envs.__main__ import main
from ci_envs.conda.exporting import export
from ci_envs.errors import BuildError, UsageError
from ci_envs.layout import Layout
from ci_envs.model.config import Config
from ci_envs.model.inventory import Distribution
from ci_envs.model.record import LockFacts, SelectionFacts
from ci_envs.project import Project
from ci_envs.record_files import write_record

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.model.record import RunRecord

LEG = a_leg(pattern="conda")
INTENT = """\
name: sea
channels: [conda-forge]
dependencies:
  - python >=3.11
  - numpy >=2
  - make  # [linux]
  - ucrt  # [win]
  - pip:
    - humanize >=4
variables:
  TIDE: high
"""
DEV = "channels: [conda-forge]\ncategory: dev\ndependencies: [pytest]\n"
CONFIG = "conda: {files: [environment.yml, environment-dev.yml]}\n"


def built(groups: tuple[str, ...] = ()) -> RunRecord:
    """The record of a leg whose lock is not read: enough for what was asked for."""
    return msgspec.structs.replace(
        record(pattern="conda"),
        inventory=(Distribution(name="numpy", version="2.1", manager="conda", build="py312_0"),),
        lock=LockFacts(path="conda-lock.yml", format="conda-lock", sha256="0" * 64, digest="", pins=()),
        selection=SelectionFacts(groups=groups),
        reproduce=f"ci-envs run --only {LEG.id}",
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = write_project(
        tmp_path / "project", {"environment.yml": INTENT, "environment-dev.yml": DEV, "ci-envs.yml": CONFIG}
    )
    monkeypatch.chdir(root)
    monkeypatch.delenv("CI_ENVS_STATE_DIR", raising=False)
    return root


def kept(root: Path, one: RunRecord) -> None:
    path = Layout.at(root, {}).record(one.leg.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, one)


def test_two_forms_at_once_are_refused(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["--explicit", "--no-builds"], ["--from-history", "--explicit"]):
        assert main(["export", LEG.id, *words]) == 2
        assert "three forms: choose one" in capfd.readouterr().err


def test_a_leg_without_a_record_was_not_built(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    matrix = "axes: {pattern: [conda], python: ['3.12'], os: [linux], arch: [x86_64]}\n"
    (project / "m.yml").write_text(matrix)
    assert main(["export", LEG.id, "--matrix", "m.yml"]) == 6
    said = capfd.readouterr().err
    assert f"error: {LEG.id} was not built\nhint: build it with: ci-envs run m.yml --only {LEG.id}" in said
    assert main(["export", "conda-py399-linux-x86_64", "--matrix", "m.yml"]) == 2
    assert "there is no leg" in capfd.readouterr().err


def test_the_history_is_for_the_legs_platform_and_groups(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kept(project, built())
    assert main(["export", LEG.id, "--from-history"]) == 0
    document = yaml.safe_load(capfd.readouterr().out)
    assert document == {
        "name": "sea",
        "channels": ["conda-forge", "nodefaults"],
        "dependencies": ["python=3.12", "numpy >=2", "make", "pip", {"pip": ["humanize >=4"]}],
        "variables": {"TIDE": "high"},
    }
    kept(project, built(("dev",)))
    assert main(["export", LEG.id, "--from-history"]) == 0
    assert "pytest" in yaml.safe_load(capfd.readouterr().out)["dependencies"]


def test_json_is_all_that_is_printed(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kept(project, built())
    assert main(["export", LEG.id, "--from-history", "--json", "-o", "out.yml"]) == 0
    out, err = capfd.readouterr()
    said = json.loads(out)
    assert (said["leg"], said["form"], err) == (LEG.id, "from-history", "")
    assert (project / "out.yml").read_text() == said["text"]


def test_a_folder_is_no_file_to_write(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kept(project, built())
    (project / "folder").mkdir()
    assert main(["export", LEG.id, "--from-history", "-o", "folder"]) == 2
    assert "error: folder cannot be written: " in capfd.readouterr().err
    assert [path.name for path in project.iterdir() if ".part" in path.name] == []


def test_a_leg_of_another_pattern_is_refused(project: Path) -> None:
    one = msgspec.structs.replace(built(), leg=a_leg())
    with pytest.raises(UsageError, match="is made by uv"):
        export(one, Project(project), Config(), "full")


def test_a_leg_that_was_locked_alone_is_refused(project: Path) -> None:
    one = msgspec.structs.replace(built(), inventory=())
    with pytest.raises(BuildError, match="was not built") as caught:
        export(one, Project(project), Config(), "explicit")
    assert LEG.id in caught.value.hint


def test_a_lock_that_is_gone_or_another_is_refused(project: Path) -> None:
    with pytest.raises(BuildError, match="is not the lock that"):
        export(built(), Project(project), Config(), "full")
    (project / "conda-lock.yml").write_text("version: 1\n")
    with pytest.raises(BuildError, match="is not the lock that"):
        export(built(), Project(project), Config(), "explicit")
