"""``ci-envs export`` before anything is exported: what is asked for, and what is said where there is nothing."""

from __future__ import annotations

import json
import sys
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
from ci_envs.nix.exporting import parse_target
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


# --- images of nix's shells


@pytest.fixture
def shell(project: Path) -> str:
    """The id of a leg of pattern nix that has a record."""
    one = record(pattern="nix")
    kept(project, one)
    return one.leg.id


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image.tar", "says no place"),
        ("oci", "says no place"),
        ("oci:", "names no file"),
        ("docker:", "names no image"),
        ("dokcer:app", "says no place; did you mean 'docker'?"),
        ("docker:App", "has upper case letters"),
        ("registry:a b", "is no part of one"),
        ("registry:app@sha256:" + "0" * 64, "an image's digest is its own"),
        ("docker:https://registry.example/app", "begins with a scheme"),
    ],
)
def test_a_place_that_is_none_is_said(shell: str, text: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["export", shell, "--to", text]) == 2
    assert said in capfd.readouterr().err


def test_places_are_a_kind_and_what_follows() -> None:
    assert str(parse_target("oci:a:b.tar")) == "oci:a:b.tar"
    target = parse_target("registry:registry.example:5000/a/app:1.0")
    assert (target.kind, target.value) == ("registry", "registry.example:5000/a/app:1.0")


def test_what_is_for_conda_is_not_for_a_shell(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["--explicit"], ["--from-history"], ["--no-builds"], ["-o", "x.yml"]):
        assert main(["export", shell, *words]) == 2
        assert "is made by nix, and " in capfd.readouterr().err
        assert main(["export", shell, "--to", "oci:x.tar", *words]) == 2
        assert "--to is for images and " in capfd.readouterr().err
    for words in ([], ["--entry", "python3"], ["--max-layers", "5"]):
        assert main(["export", shell, *words]) == 2
        assert "is made by nix: say where its image goes\nhint: add --to oci:FILE" in capfd.readouterr().err


def test_what_is_for_a_shell_is_not_for_conda(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kept(project, built())
    for words in (["--to", "oci:x.tar"], ["--entry", "python3"], ["--max-layers", "5"]):
        assert main(["export", LEG.id, *words]) == 2
        assert f"is made by conda, and {words[0]} is for shells of nix's" in capfd.readouterr().err


def test_an_image_needs_no_other_image(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = record(pattern="docker")
    kept(project, one)
    assert main(["export", one.leg.id, "--to", "registry:registry.example/app"]) == 2
    assert "hint: its image is in the engine already" in capfd.readouterr().err


def test_layers_have_limits(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    for number in ("1", "128", "many"):
        assert main(["export", shell, "--to", "oci:x.tar", "--max-layers", number]) == 2
        assert "--max-layers" in capfd.readouterr().err


def test_an_entry_is_a_command_and_no_shells(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["export", shell, "--to", "oci:x.tar", "--entry", "a && b"]) == 2
    assert "--entry: '&&' needs a shell" in capfd.readouterr().err


def test_a_file_that_is_there_is_left_alone(shell: str, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (project / "x.tar").write_bytes(b"mine")
    (project / "folder").mkdir()
    (project / "link").symlink_to("nowhere")
    for name, what in (("x.tar", "there already"), ("folder", "a folder"), ("link", "there already")):
        assert main(["export", shell, "--to", f"oci:{name}"]) == 2
        assert f"error: {name} is {what}" in capfd.readouterr().err
    assert (project / "x.tar").read_bytes() == b"mine"


def test_a_shell_that_is_not_built_has_no_image(shell: str, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["export", shell, "--to", "oci:x.tar"]) == 6
    assert "shell.json cannot be read" in capfd.readouterr().err
    assert not (project / "x.tar").exists()
    kept(project, record(pattern="nix", environment=None))
    assert main(["export", shell, "--to", "oci:x.tar"]) == 6
    assert f"error: {shell} was not built\nhint: build it with: " in capfd.readouterr().err


def test_programs_of_another_system_are_in_no_container(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    leg = a_leg(pattern="nix", os="macos", arch="aarch64")
    kept(project, msgspec.structs.replace(record(pattern="nix"), leg=leg))
    assert main(["export", leg.id, "--to", "oci:x.tar"]) == 2
    assert "has programs of macos, and containers are Linux's" in capfd.readouterr().err


def test_an_image_of_the_projects_own_is_not_changed(
    shell: str, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (project / "ci-envs.yml").write_text("nix: {image: image}\n")
    for words in (["--entry", "python3"], ["--max-layers", "5"]):
        assert main(["export", shell, "--to", "oci:x.tar", *words]) == 2
        assert f"{words[0]} is for an image that is made here" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="nix has no Windows, and engines have no sockets there")
def test_an_engine_that_is_not_there_is_said_before_anything_is_made(
    shell: str, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{project}/none.sock")
    monkeypatch.delenv("CONTAINER_HOST", raising=False)
    for place in ("docker:app", "registry:registry.example/app"):
        assert main(["export", shell, "--to", place]) == 4
        assert "there is no such socket" in capfd.readouterr().err
