"""What nix is given of a flake that no git knows."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.projects import write_project
from tests.support.work import a_leg, a_work

from ci_envs.errors import UsageError
from ci_envs.model.config import NixConfig
from ci_envs.nix.described import Description, describe
from ci_envs.nix.flake_copy import as_nix_copies_it
from ci_envs.nix.own_files import own_file
from ci_envs.nix.tool import Nix

if TYPE_CHECKING:
    from ci_envs.work import Work

FILES = {
    "flake.nix": "{ }\n",
    "flake.lock": "{ }\n",
    ".hidden": "",
    "build/of/mine.nix": "",
    "sub/flake.nix": "{ sub = 1; }\n",
    ".venv/pyvenv.cfg": "",
    "cache/CACHEDIR.TAG": "",
    "cache/nar/large": "",
    "sub/__pycache__/a.pyc": "",
    ".direnv/profile": "",
}

OLD, NIX = (Nix(Path("/nix"), version, "x86_64-linux") for version in ("2.18.9", "2.19.0"))


@pytest.fixture
def work(tmp_path: Path) -> Work:
    work = a_work(write_project(tmp_path / "pro ject", FILES), leg=a_leg(pattern="nix"), stage="lock")
    work.layout.prepare()
    return work


def described(work: Work, file: str = "flake.nix") -> Description:
    return describe(work.leg, work.project, NixConfig(file=file))


def test_it_has_all_files_but_those_of_environments_and_caches_and_is_gone_afterwards(work: Work) -> None:
    root = work.project.root
    (root / "link").symlink_to("gone")
    (root / "folder").symlink_to("sub")
    (root / "program").touch(mode=0o755)
    with as_nix_copies_it(work, NIX, described(work)) as seen:
        assert seen.source
        names = sorted(path.relative_to(seen.source).as_posix() for path in seen.source.rglob("*") if not path.is_dir())
        assert names == [".hidden", "build/of/mine.nix", "flake.lock", "flake.nix", "link", "program", "sub/flake.nix"]
        assert str((seen.source / "link").readlink()) == "gone"
        assert str((seen.source / "folder").readlink()) == "sub"
        assert os.access(seen.source / "program", os.X_OK)
    assert list(work.temp.iterdir()) == []


def test_what_nix_writes_beside_it_leaves_the_projects_own_lock_alone(work: Work) -> None:
    with as_nix_copies_it(work, NIX, described(work)) as seen:
        assert seen.source
        (seen.source / "flake.lock").write_text("new")
    assert (work.project.root / "flake.lock").read_text() == FILES["flake.lock"]


def test_its_newest_time_is_that_of_a_file(work: Work) -> None:
    for path in work.project.root.rglob("*"):
        os.utime(path, (1_500_000_000, 1_500_000_000))
    with as_nix_copies_it(work, NIX, described(work)) as seen:
        assert seen.source
        assert max(path.stat().st_mtime for path in (seen.source, *seen.source.rglob("*"))) == 1_500_000_000


@pytest.mark.parametrize("file", ["flake.nix", "sub/flake.nix"])
def test_its_files_are_known_as_the_projects_and_nix_is_told_of_it_alone(work: Work, file: str) -> None:
    one = described(work, file)
    with as_nix_copies_it(work, NIX, one) as seen:
        assert seen.source
        assert (work.project.root / seen.reference).resolve() == seen.source
        assert own_file(str(seen.source / "flake.nix"), work.project) == file
        assert replace(seen, source=None) == one


def test_a_path_that_nix_can_read_is_said_to_be_one(tmp_path: Path) -> None:
    assert Description("flake", "flake.nix", tmp_path, source=tmp_path / "copy").reference == f"path:{tmp_path}/copy"
    assert Description("flake", "flake.nix", tmp_path).reference == str(tmp_path)


@pytest.mark.parametrize("above", [".", ".."])
def test_a_repository_is_left_to_git(work: Work, above: str) -> None:
    (work.project.root / above / ".git").mkdir()
    one = described(work)
    with as_nix_copies_it(work, NIX, one) as seen:
        assert seen == one


def test_a_file_that_is_no_flake_is_evaluated_where_it_lies(work: Work) -> None:
    (work.project.root / "shell.nix").touch()
    one = described(work, "shell.nix")
    with as_nix_copies_it(work, NIX, one) as seen:
        assert seen == one


def test_a_file_that_cannot_be_copied_is_named(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_args: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr("shutil.copy2", refused)
    with pytest.raises(UsageError, match="Permission denied") as caught, as_nix_copies_it(work, NIX, described(work)):
        pass
    assert caught.value.file in FILES
    assert list(work.temp.iterdir()) == []


@pytest.mark.parametrize("name", ["a b", "a#b", "a?b", "a%b", "a\u00e9b", "a[b", "a\\b", "a^b"])
def test_a_repository_that_an_old_nix_takes_for_no_address_is_refused(tmp_path: Path, name: str) -> None:
    work = a_work(write_project(tmp_path / name, FILES | {".git": ""}), leg=a_leg(pattern="nix"))
    refused = pytest.raises(UsageError, match=r"nix 2\.18\.9 cannot read a git repository")
    with refused as caught, as_nix_copies_it(work, OLD, described(work)):
        pass
    assert "2.19 and later" in caught.value.hint
    with as_nix_copies_it(work, NIX, described(work)) as seen:
        assert seen == described(work)


@pytest.mark.parametrize(
    "name", ["a'b", 'a"b', "a+b", "a&b", "a=b", "a@b", "a:b", "a,b", "a;b", "a~b", "a%20b", "a(b)!$*"]
)
def test_other_marks_are_none_to_it(tmp_path: Path, name: str) -> None:
    work = a_work(write_project(tmp_path / name, FILES | {".git": ""}), leg=a_leg(pattern="nix"))
    with as_nix_copies_it(work, OLD, described(work)) as seen:
        assert seen == described(work)
