from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

import pytest

from ci_envs import command
from ci_envs.command import Command, Outcome
from ci_envs.errors import ToolMissing
from ci_envs.sources import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def _anew() -> None:
    fingerprint.cache_clear()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("src/basket/__init__.py", "src/basket/data.csv", "pyproject.toml", "README.md"):
        write(tmp_path / name)
    return tmp_path


@pytest.fixture
def no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_command: Command) -> NoReturn:
        raise ToolMissing("there is no program 'git' here")

    monkeypatch.setattr(command, "run", missing)


def git_lists(monkeypatch: pytest.MonkeyPatch, *names: str, code: int = 0) -> list[Command]:
    asked: list[Command] = []

    def run(words: Command) -> Outcome:
        asked.append(words)
        return Outcome(words.argv, code, "".join(f"{name}\0" for name in names))

    monkeypatch.setattr(command, "run", run)
    return asked


def write(path: Path, text: str = "1") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (1_700_000_000, 1_700_000_000))


def taken(project: Path) -> str:
    fingerprint.cache_clear()
    return fingerprint(project)


CHANGES: list[Callable[[Path], object]] = [
    lambda root: write(root / "src/basket/__init__.py", "22"),
    lambda root: os.utime(root / "src/basket/data.csv", (1_700_000_001, 1_700_000_001)),
    lambda root: write(root / "src/basket/new.py"),
    lambda root: (root / "README.md").unlink(),
    lambda root: (root / "README.md").rename(root / "READYOU.md"),
]


@pytest.mark.usefixtures("no_git")
@pytest.mark.parametrize("change", CHANGES, ids=["size", "time", "new", "gone", "name"])
def test_a_change_of_any_source_shows(project: Path, change: Callable[[Path], object]) -> None:
    before = taken(project)
    assert taken(project) == before
    change(project)
    assert taken(project) != before


@pytest.mark.usefixtures("no_git")
@pytest.mark.parametrize(
    "name",
    [
        ".ci-envs/records/a.json",
        ".git/index",
        ".venv/lib/a.py",
        "src/basket/__pycache__/a.cpython-312.pyc",
        "src/basket.egg-info/PKG-INFO",
        "build/lib/a.py",
        "htmlcov/index.html",
        "node_modules/a/index.js",
        "locks/uv.txt",
        "run.log",
        ".coverage",
    ],
)
def test_what_running_leaves_behind_is_no_source(project: Path, name: str) -> None:
    before = taken(project)
    write(project / name)
    assert taken(project) == before


@pytest.mark.usefixtures("no_git")
@pytest.mark.parametrize("mark", ["pyvenv.cfg", "CACHEDIR.TAG"])
def test_an_environment_and_a_cache_are_no_sources_whatever_they_are_called(project: Path, mark: str) -> None:
    write(project / "mine" / mark)
    before = taken(project)
    write(project / "mine" / "lib" / "a.py")
    assert taken(project) == before


def test_where_git_knows_only_what_it_lists_counts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = git_lists(monkeypatch, "pyproject.toml", "src/basket/__init__.py", "gone.py")
    before = taken(project)
    write(project / "README.md", "ignored by git")
    assert taken(project) == before
    write(project / "pyproject.toml", "22")
    assert taken(project) != before
    assert asked[0].argv[:3] == ("git", "-C", str(project))
    assert {"-z", "--others", "--exclude-standard"} <= set(asked[0].argv)


@pytest.mark.parametrize("answer", [((), 0), (("a.py",), 128), (("b\ufffdd.py",), 0)], ids=["nothing", "none", "names"])
def test_where_git_does_not_know_the_folder_is_walked(
    project: Path, monkeypatch: pytest.MonkeyPatch, answer: tuple[tuple[str, ...], int]
) -> None:
    names, code = answer
    git_lists(monkeypatch, *names, code=code)
    before = taken(project)
    write(project / "README.md", "22")
    assert taken(project) != before


@pytest.mark.usefixtures("no_git")
def test_it_is_taken_once_a_run(project: Path) -> None:
    before = fingerprint(project)
    write(project / "README.md", "22")
    assert fingerprint(project) == before


@pytest.mark.usefixtures("no_git")
def test_links_are_not_followed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    write(outside / "a.py")
    (project / "link").symlink_to(outside)
    before = taken(project)
    write(outside / "a.py", "22")
    assert taken(project) == before


@pytest.mark.usefixtures("no_git")
def test_a_version_file_that_a_build_wrote_anew_is_no_change(project: Path) -> None:
    version = project / "src/basket/_version.py"
    write(version, "v = 1")
    before = taken(project)
    os.utime(version, (1_800_000_000, 1_800_000_000))
    assert taken(project) == before
    write(version, "v = 2")
    assert taken(project) != before
