"""What a lock is where there is no nix: what is committed, and nothing judged."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tests.support.projects import write_project

from ci_envs.errors import LockError, UsageError
from ci_envs.model.config import Config, NixConfig
from ci_envs.model.lock import Requirement
from ci_envs.nix.locking import read_lock_only
from ci_envs.project import Project

CASES = Path(__file__).parents[2] / "cases" / "nix-locks"
FLAKE_LOCK = (CASES / "flake-utils/flake.lock").read_text("utf-8")
NPINS = (CASES / "npins-5/sources.json").read_text("utf-8")
NIV = (CASES / "niv/sources.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("files", "path", "form", "names"),
    [
        (
            {"flake.nix": "", "flake.lock": FLAKE_LOCK, "shell.nix": "", "npins/sources.json": NPINS},
            "flake.lock",
            "flake.lock",
            ["flake-utils", "flake-utils/systems", "nixpkgs"],
        ),
        (
            {"shell.nix": "", "npins/sources.json": NPINS, "flake.lock": FLAKE_LOCK},
            "npins/sources.json",
            "npins",
            ["mailserver", "nixpkgs"],
        ),
        ({"default.nix": "", "nix/sources.json": NIV}, "nix/sources.json", "niv", ["data", "nixpkgs", "tools"]),
        (
            {"shell.nix": "", "flake.lock": FLAKE_LOCK},
            "flake.lock",
            "flake.lock",
            ["flake-utils", "flake-utils/systems", "nixpkgs"],
        ),
        ({"shell.nix": "1", "nix/sources.txt": ""}, "shell.nix", "nix", []),
    ],
)
def test_the_committed_lock_is_read(
    tmp_path: Path, files: dict[str, str], path: str, form: str, names: list[str]
) -> None:
    direct = (Requirement(text="apple", name="apple"),)
    root = write_project(tmp_path, files)
    lock = read_lock_only(Project(root), Config(), direct=direct)
    assert (lock.path, lock.format, lock.more, [pin.name for pin in lock.pins]) == (path, form, (), names)
    assert (lock.covers, lock.direct) == (("nix",), direct)
    assert lock.sha256 == hashlib.sha256((root / path).read_bytes()).hexdigest()


def test_the_configured_file_says_which_lock_it_is(tmp_path: Path) -> None:
    files = {"flake.nix": "", "ci/flake.nix": "", "ci/flake.lock": FLAKE_LOCK, "shell.nix": ""}
    project = Project(write_project(tmp_path, files))
    assert read_lock_only(project, Config(nix=NixConfig(file="ci/flake.nix"))).path == "ci/flake.lock"
    assert read_lock_only(project, Config(nix=NixConfig(file="shell.nix"))).format == "nix"
    with pytest.raises(LockError, match="there is no lock") as caught:
        read_lock_only(project, Config())
    assert (caught.value.file, caught.value.hint) == ("flake.lock", "make it with: ci-envs lock")
    with pytest.raises(UsageError, match=r"there is no gone\.nix"):
        read_lock_only(project, Config(nix=NixConfig(file="gone.nix")))


@pytest.mark.parametrize(
    ("envrc", "path"),
    [("use nix\n", "shell.nix"), ("use flake ./ci\n", "ci/flake.lock"), ("use nix ci/shell.nix\n", "ci/shell.nix")],
)
def test_the_shell_that_envrc_names_says_which_lock_it_is(tmp_path: Path, envrc: str, path: str) -> None:
    files = {"flake.nix": "", "shell.nix": "", "ci/flake.nix": "", "ci/flake.lock": FLAKE_LOCK, "ci/shell.nix": ""}
    project = Project(write_project(tmp_path, {**files, ".envrc": envrc}))
    assert read_lock_only(project, Config()).path == path


def test_a_lock_that_is_none_is_an_error_that_names_it(tmp_path: Path) -> None:
    for name, text in (("flake.lock", "{"), ("npins/sources.json", json.dumps({"pins": {}, "version": 99}))):
        files = {"flake.nix" if name == "flake.lock" else "shell.nix": "", name: text}
        with pytest.raises(LockError) as caught:
            read_lock_only(Project(write_project(tmp_path / name.replace("/", "-"), files)), Config())
        assert caught.value.file == name
