from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.projects import write_project
from tests.support.work import a_leg

from ci_envs import command
from ci_envs.capture import Outcome
from ci_envs.containers.nix_context import tree_of
from ci_envs.errors import UsageError
from ci_envs.model.config import NixConfig
from ci_envs.nix.described import describe
from ci_envs.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.containers.nix_context import NixTree

FILES = {"flake.nix": "{ }", "shell.nix": "{ }", "a.py": "", "sub/flake.nix": "{ }"}


@pytest.fixture(autouse=True)
def git(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What git says, by its verb; by default there is no repository."""
    said: dict[str, str] = {}

    def run(request: command.Command) -> Outcome:
        text = said.get(request.argv[3], "")
        return Outcome(argv=request.argv, returncode=0 if text else 128, stdout=text, stderr="", seconds=0.0)

    monkeypatch.setattr(command, "run", run)
    return said


def tree(root: Path, *, project: str = ".", **nix: Any) -> NixTree:
    return tree_of(describe(a_leg(pattern="nix"), Project(root / project), NixConfig(**nix)))


def test_a_project_lies_below_a_folder_of_its_own_name(tmp_path: Path) -> None:
    found = tree(write_project(tmp_path / "fruit", FILES), file="shell.nix")
    assert (found.inside, found.below, found.file) == ("/ci-envs/tree/fruit", "", "shell.nix")
    assert found.words[:2] == ("--file", "/ci-envs/tree/fruit/shell.nix")
    assert "a.py" in found.names


@pytest.mark.parametrize("name", ["my fruit", ".fruit", "früchte", "a?b"])
def test_a_folder_that_no_path_of_a_store_is_called_has_another_name(name: str, tmp_path: Path) -> None:
    assert tree(write_project(tmp_path / name, FILES), file="shell.nix").inside == "/ci-envs/tree/project"


def test_a_flake_is_a_path_and_its_lock_is_used_as_it_is(tmp_path: Path) -> None:
    root = write_project(tmp_path / "fruit", FILES)
    assert tree(root).words == ("path:/ci-envs/tree/fruit", "--no-update-lock-file")
    assert tree(root, attribute="devShells.{python-tag}").words[0] == "path:/ci-envs/tree/fruit#devShells.py312"
    assert tree(root, file="sub/flake.nix").words[0] == "path:/ci-envs/tree/fruit?dir=sub"


def test_of_a_flake_in_a_repository_nix_sees_what_git_tracks_of_all_of_it(tmp_path: Path, git: dict[str, str]) -> None:
    root = write_project(tmp_path / "fruit", {f"examples/one/{name}": text for name, text in FILES.items()})
    git |= {"rev-parse": f"{root}\n", "ls-files": "examples/one/flake.nix\0README.md\0"}
    found = tree(root, project="examples/one")
    assert (found.root, found.below, found.inside) == (root, "examples/one", "/ci-envs/tree/fruit")
    assert list(found.names) == ["README.md", "examples/one/flake.nix"]
    assert found.words[0] == "path:/ci-envs/tree/fruit?dir=examples/one"
    assert found.named("flake.lock") == "examples/one/flake.lock"
    assert tree(root, project="examples/one", file="shell.nix").below == "", "a file is evaluated where it lies"


def test_a_flake_in_no_repository_is_all_but_what_can_be_made_anew(tmp_path: Path) -> None:
    more = {"build/kept": "", ".hidden": "", "__pycache__/a.pyc": "", ".venv/pyvenv.cfg": ""}
    root = write_project(tmp_path / "fruit", {**FILES, **more})
    assert list(tree(root).names) == sorted([*FILES, "build/kept", ".hidden"])
    assert "build/kept" not in tree(root, file="shell.nix").names


def test_inputs_that_are_folders_are_contexts_and_others_are_left_as_they_are(tmp_path: Path) -> None:
    root = write_project(tmp_path / "fruit", FILES)
    (tmp_path / "nixpkgs").mkdir()
    found = tree(root, inputs={"nixpkgs": "../nixpkgs", "utils": "github:numtide/flake-utils"})
    assert found.contexts == {"ci-envs-input-0": tmp_path / "nixpkgs"}
    assert found.places == {"ci-envs-input-0": "/ci-envs/inputs/0/nixpkgs"}
    assert found.words[1:] == (
        *("--override-input", "nixpkgs", "path:/ci-envs/inputs/0/nixpkgs"),
        *("--override-input", "utils", "github:numtide/flake-utils", "--no-write-lock-file"),
    )
    words = tree(root, file="shell.nix", inputs={"nixpkgs": "../nixpkgs"}).words
    assert words[-2:] == ("-I", "nixpkgs=/ci-envs/inputs/0/nixpkgs")


def test_an_input_that_is_a_file_is_refused(tmp_path: Path) -> None:
    root = write_project(tmp_path / "fruit", FILES)
    with pytest.raises(UsageError, match="a build is given folders alone"):
        tree(root, inputs={"nixpkgs": "a.py"})
