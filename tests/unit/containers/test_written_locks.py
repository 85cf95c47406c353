from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.projects import write_project
from tests.support.work import a_leg, a_work

from ci_envs.containers.written_locks import lock_of_dockerfile, uv_selection
from ci_envs.project import Project
from ci_envs.selection import Selection

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

PINS = "apple==1.1\nseed==1.5\n"
LEG = a_leg(pattern="docker")


def read(folder: Path, dockerfile: str, **files: str) -> tuple[Lock | None, Work]:
    """The lock of a Dockerfile, and the workbench with what was found. A name's "__" stands for a dot."""
    named = {name.replace("__", "."): text for name, text in files.items()}
    work = a_work(write_project(folder, {"Dockerfile": dockerfile, **named}), leg=LEG)
    return lock_of_dockerfile(LEG, work, "Dockerfile"), work


def test_a_dockerfile_that_installs_nothing_has_no_lock_and_nothing_is_said(tmp_path: Path) -> None:
    lock, work = read(tmp_path, "FROM a:1\nCOPY src /src\n", requirements__txt=PINS)
    assert lock is None
    assert work.findings == []


def test_a_dockerfile_that_installs_from_an_intent_has_no_lock_and_it_is_said(tmp_path: Path) -> None:
    lock, work = read(tmp_path, "FROM a:1\nCOPY requirements.in /\n", requirements__in="apple\n")
    assert lock is None
    (finding,) = work.findings
    assert (finding.code, finding.severity, finding.file) == ("LOCK008", "warning", "Dockerfile")
    assert "requirements.in" in finding.message


def test_pins_that_a_dockerfile_copies_are_its_lock(tmp_path: Path) -> None:
    lock, work = read(
        tmp_path, "FROM a:1\nCOPY pins/frozen-requirements.txt /tmp/\n", **{"pins/frozen-requirements__txt": PINS}
    )
    assert lock is not None
    assert lock.path == "pins/frozen-requirements.txt"
    assert [(pin.name, pin.version) for pin in lock.pins] == [("apple", "1.1"), ("seed", "1.5")]
    assert work.findings == []


def test_of_two_locks_the_last_one_decides_as_it_does_for_the_installer(tmp_path: Path) -> None:
    files = {"locks/a__txt": PINS, "locks/b__txt": "seed==2.0\n"}
    lock, _ = read(tmp_path, "FROM a:1\nCOPY locks/a.txt locks/b.txt /tmp/\n", **files)
    assert lock is not None
    assert (lock.path, lock.more) == ("locks/a.txt", ("locks/b.txt",))
    assert {pin.name: pin.version for pin in lock.pins} == {"apple": "1.1", "seed": "2.0"}


def test_of_many_files_that_were_brought_those_count_that_a_command_names(tmp_path: Path) -> None:
    files = {"locks/requirements-a__txt": PINS, "locks/requirements-b__txt": "seed==2.0\n"}
    text = "FROM a:1\nCOPY locks/*.txt /tmp/\nRUN pip install -r /tmp/requirements-b.txt\n"
    lock, _ = read(tmp_path, text, **files)
    assert lock is not None
    assert (lock.path, lock.more) == ("locks/requirements-b.txt", ())


def test_a_lock_that_only_a_command_names_counts_where_all_files_were_brought(tmp_path: Path) -> None:
    run = "RUN pip install -r locks/frozen.txt\n"
    files = {"locks/frozen__txt": PINS}
    lock, _ = read(tmp_path / "all", f"FROM a:1\nCOPY . /app/\n{run}", **files)
    assert lock is not None
    assert lock.path == "locks/frozen.txt"
    assert read(tmp_path / "none", f"FROM a:1\n{run}", **files)[0] is None


def test_what_a_dockerfile_names_outside_of_the_project_is_none_of_its_locks(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(PINS)
    lock, _ = read(tmp_path / "project", "FROM a:1\nCOPY . /app\nRUN pip install -r ../requirements.txt\n")
    assert lock is None


def test_of_the_direct_dependencies_those_are_expected_that_are_locked(tmp_path: Path) -> None:
    """An image may well leave out what tests need."""
    text = "FROM a:1\nCOPY frozen-requirements.txt /\n"
    lock, _ = read(tmp_path, text, **{"frozen-requirements__txt": PINS, "requirements__in": "apple\npytest\n"})
    assert lock is not None
    assert {one.name for one in lock.direct} <= {"apple", "seed"}


UV = """\
[project]
name = "basket"
[project.optional-dependencies]
gpu = []
cli = []
[dependency-groups]
dev = []
test = []
docs = []
"""


@pytest.mark.parametrize(
    ("words", "groups", "extras"),
    [
        ("", ("dev",), ()),
        ("--frozen --no-install-project", ("dev",), ()),
        ("--no-dev", (), ()),
        ("--no-default-groups --group test", ("test",), ()),
        ("--group=test --extra gpu --extra=cli", ("test", "dev"), ("gpu", "cli")),
        ("--group dev --no-group dev", (), ()),
        ("--all-groups --no-group docs", ("dev", "test"), ()),
        ("--all-extras --no-dev", (), ("gpu", "cli")),
        ("--all-extras --no-extra cli --no-dev", (), ("gpu",)),
    ],
)
def test_the_words_of_uv_sync_say_which_groups_are_installed(
    tmp_path: Path, words: str, groups: tuple[str, ...], extras: tuple[str, ...]
) -> None:
    project = Project(write_project(tmp_path, {"pyproject.toml": UV}))
    found = uv_selection(words.split(), Selection(groups=("test",)), project)
    assert (found.groups, found.extras) == (groups, extras)


@pytest.mark.parametrize(
    ("table", "groups"),
    [("default-groups = ['docs', 'test']", ("test", "docs")), ("default-groups = 'all'", ("dev", "test", "docs"))],
)
def test_which_groups_are_installed_by_default_is_uvs_own_setting(
    tmp_path: Path, table: str, groups: tuple[str, ...]
) -> None:
    project = Project(write_project(tmp_path, {"pyproject.toml": f"{UV}[tool.uv]\n{table}\n"}))
    assert uv_selection([], Selection(), project).groups == groups
    assert uv_selection(["--no-default-groups"], Selection(), project).groups == ()


def test_a_group_dev_that_is_not_there_is_not_installed_by_default(tmp_path: Path) -> None:
    assert uv_selection([], Selection(), Project(tmp_path)).groups == ()
