from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci_envs.nix.own_files import line_quoting, line_with, own_file, own_place, with_own_names
from ci_envs.project import Project

if TYPE_CHECKING:
    from pathlib import Path

COPY = "vsz7fw5kmmnnv64rj659pw8qb3248i5i-source"
NIXPKGS = "cxh34lzvpqb0i2ajrqi5wrw3pcsmxiwd-source"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def project(tmp_path: Path, store: Path) -> Project:
    write(tmp_path / "project/flake.nix", "{ own = 1; }")
    write(tmp_path / "project/nix/shell.nix", "{ shell = 1; }")
    write(store / COPY / "flake.nix", "{ own = 1; }")
    write(store / COPY / "sub/nix/shell.nix", "{ shell = 1; }")
    write(store / NIXPKGS / "flake.nix", "{ nixpkgs = 1; }")
    return Project(tmp_path / "project")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def test_a_copy_in_the_store_is_the_projects_file_when_it_has_its_name_and_its_bytes(
    project: Project, store: Path
) -> None:
    assert own_file(f"{store}/{COPY}/flake.nix", project) == "flake.nix"
    assert own_file(f"{store}/{COPY}/sub/nix/shell.nix", project) == "nix/shell.nix"


def test_another_flakes_file_of_the_same_name_is_not(project: Project, store: Path) -> None:
    assert own_file(f"{store}/{NIXPKGS}/flake.nix", project) == ""


def test_a_copy_that_cannot_be_read_is_nobodys(project: Project, store: Path) -> None:
    assert own_file(f"{store}/00000000000000000000000000000000-source/flake.nix", project) == ""


def test_a_flake_that_is_not_copied_is_known_by_its_reference(project: Project) -> None:
    for scheme in ("git+file://", "path:"):
        assert own_file(f"\u00ab{scheme}{project.root}?rev=0123\u00bb/nix/shell.nix", project) == "nix/shell.nix"
    assert own_file("\u00abgithub:NixOS/nixpkgs/0123\u00bb/flake.nix", project) == ""


def test_a_file_of_the_project_is_named_relative_to_it(project: Project, tmp_path: Path) -> None:
    assert own_file(str(project.root / "nix/shell.nix"), project) == "nix/shell.nix"
    assert own_file(str(project.root / "gone.nix"), project) == ""
    assert own_file(str(tmp_path / "elsewhere.nix"), project) == ""
    assert own_file("\u00abstring\u00bb", project) == ""


def test_the_place_is_the_first_that_is_the_projects_own(project: Project, store: Path) -> None:
    places = [(f"{store}/{NIXPKGS}/flake.nix", 9), (f"{store}/{COPY}/flake.nix", 1), (str(project.root), 2)]

    assert own_place(places, project) == ("flake.nix", 1)
    assert own_place(places[:1], project) == ("", 0)


def test_a_sentence_names_the_projects_files_as_its_user_does(project: Project, store: Path) -> None:
    sentence = f"no '{store}/{COPY}/flake.nix', no {project.root}/x, no {store}/{NIXPKGS}/flake.nix."

    assert with_own_names(sentence, project) == f"no 'flake.nix', no x, no {store}/{NIXPKGS}/flake.nix."


SRI = "sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM="


@pytest.mark.parametrize(
    "written",
    [
        SRI,
        "WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM=",
        "00xyyr3fi8l6hb839bv3f7yb86yjv7xi1cgh1xnhipym4asvb4aq",
        "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        "sha256:00xyyr3fi8l6hb839bv3f7yb86yjv7xi1cgh1xnhipym4asvb4aq",
    ],
)
@pytest.mark.parametrize("said", [SRI, "sha256:00xyyr3fi8l6hb839bv3f7yb86yjv7xi1cgh1xnhipym4asvb4aq"])
@pytest.mark.parametrize("file", ["default.nix", "npins/sources.json", "flake.lock", "nix/pkgs/fruit.nix"])
def test_a_digest_is_found_in_whichever_way_it_is_written(said: str, written: str, file: str, project: Project) -> None:
    write(project.root / file, f'{{\n  hash = "{written}";\n}}\n')

    assert line_with(said, project) == (file, 2)


@pytest.mark.parametrize("digest", ["sha256-", "nonsense", "sha256:eeee", SRI.replace("W", "X"), "sha256-A==="])
def test_a_digest_that_is_nowhere_has_no_line(digest: str, project: Project) -> None:
    assert line_with(digest, project) is None


def test_a_file_that_is_no_text_is_passed_by(project: Project) -> None:
    (project.root / "a.json").write_bytes(b"\xff\xfe\x00")
    write(project.root / "b.json", SRI)

    assert line_with(SRI, project) == ("b.json", 1)


def test_a_word_of_a_message_leads_to_the_line_that_has_it(project: Project) -> None:
    write(project.root / "flake.nix", '{\n  inputs.x.url = "nonsense://x";\n}')

    assert line_quoting(["x", "nonsense://x"], project, ["flake.lock", "flake.nix"]) == ("flake.nix", 2)
    assert line_quoting(["url"], project, ["flake.nix"]) == ("", 0)
