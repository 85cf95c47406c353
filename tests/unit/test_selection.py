from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.projects import write_project
from tests.support.work import a_leg

from ci_envs.errors import UsageError
from ci_envs.model.config import Config, TestConfig
from ci_envs.model.detect import Evidence
from ci_envs.project import Project
from ci_envs.selection import Selection, kept_by_hand, runtime_files, select

if TYPE_CHECKING:
    from pathlib import Path

PINS = "apple==1.0\nseed==2.0\n"

PYPROJECT = """
[project]
name = "My_Basket"
version = "1"
dependencies = ["apple>=1"]
[project.optional-dependencies]
sweet = ["sugar"]
[dependency-groups]
tests = ["pytest"]
Docs_Site = ["sphinx"]
"""


def chosen(folder: Path, files: dict[str, str], *groups: str, test: tuple[str, ...] | None = None) -> Selection:
    write_project(folder, files)
    return select(a_leg(groups=groups), Project(folder), Config(test=TestConfig(groups=test)))


def names(selection: Selection) -> list[str]:
    return [requirement.name for requirement in selection.direct]


# --- which groups


def test_a_leg_that_asks_for_nothing_gets_what_its_tests_need_with_evidence(tmp_path: Path) -> None:
    found = chosen(tmp_path, {"pyproject.toml": PYPROJECT})
    assert (found.groups, found.extras, names(found)) == (("tests",), (), ["apple", "pytest"])
    assert found.evidence == (Evidence(file="pyproject.toml", key="dependency-groups.tests"),)
    assert found.project == "my-basket"


def test_the_runtime_alone_is_had_by_its_name(tmp_path: Path) -> None:
    found = chosen(tmp_path, {"pyproject.toml": PYPROJECT}, "prod")
    assert (found.groups, found.extras, names(found)) == ((), (), ["apple"])


def test_groups_and_extras_are_found_however_they_are_spelt(tmp_path: Path) -> None:
    found = chosen(tmp_path, {"pyproject.toml": PYPROJECT}, "docs-site", "Sweet")
    assert (found.groups, found.extras) == (("Docs_Site",), ("sweet",))
    assert names(found) == ["apple", "sphinx", "sugar"]


def test_the_legs_own_groups_beat_those_of_the_configuration(tmp_path: Path) -> None:
    files = {"pyproject.toml": PYPROJECT}
    assert chosen(tmp_path, files, test=("docs-site",)).groups == ("Docs_Site",)
    assert chosen(tmp_path, files, "tests", test=("docs-site",)).groups == ("tests",)
    assert chosen(tmp_path, files, test=()).groups == ()


@pytest.mark.parametrize(
    "file", ["requirements-docs.in", "docs-requirements.txt", "requirements_docs.txt", "requirements/docs.in"]
)
def test_a_group_may_be_a_requirement_file(tmp_path: Path, file: str) -> None:
    found = chosen(tmp_path, {"requirements.in": "apple\n", file: "sphinx\n"}, "docs")
    assert found.files == ("requirements.in", file)
    assert found.evidence == (Evidence(file=file),)
    assert names(found) == ["apple", "sphinx"]


def test_a_group_that_is_not_there_is_told_the_nearest_and_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the project has no group 'test'; did you mean 'tests'") as raised:
        chosen(tmp_path, {"pyproject.toml": PYPROJECT}, "test")
    assert raised.value.hint.startswith("it has prod, tests, Docs_Site, sweet;")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../outside"])
def test_a_group_leads_to_no_file_outside(tmp_path: Path, name: str) -> None:
    root = tmp_path / "project"
    write_project(tmp_path, {"outside.txt": "worm\n", "requirements-/outside.txt": "worm\n"})
    with pytest.raises(UsageError, match="has no group"):
        chosen(root, {"requirements.in": "apple\n", "requirements/here.in": ""}, name)


def test_what_tox_installs_counts_at_its_own_place(tmp_path: Path) -> None:
    tox = "[testenv]\ndeps =\n  pytest>=8\n  -r more.txt\ncommands = pytest\n"
    found = chosen(tmp_path, {"requirements.in": "apple\n", "more.txt": "sugar\n", "tox.ini": tox})
    assert names(found) == ["apple", "sugar", "pytest"]
    assert found.lines == {"tox.ini": ["pytest>=8"]}


def test_lines_that_only_tox_can_read_are_remembered(tmp_path: Path) -> None:
    tox = "[testenv]\ndeps =\n  pytest\n  py311: tomli\ncommands = pytest\n"
    found = chosen(tmp_path, {"requirements.in": "apple\n", "tox.ini": tox})
    assert found.unread == ("py311: tomli",)


# --- files


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (["requirements.in", "requirements.txt"], ("requirements.in",)),
        (["requirements.txt"], ("requirements.txt",)),
        ([], ()),
    ],
)
def test_the_file_of_the_runtime_needs(tmp_path: Path, there: list[str], taken: tuple[str, ...]) -> None:
    assert runtime_files(Project(write_project(tmp_path, dict.fromkeys(there, "apple\n")))) == taken


def test_files_that_include_others_and_constraints_are_all_read(tmp_path: Path) -> None:
    files = {
        "requirements.in": "-c limits.txt\napple\n",
        "limits.txt": "seed<2\n",
        "requirements-dev.in": "-r requirements.in\npytest\n",
    }
    found = chosen(tmp_path, files)
    assert found.files == ("requirements.in", "requirements-dev.in")
    assert set(found.read) >= {"requirements.in", "requirements-dev.in"}
    assert [(limit.name, limit.text) for limit in found.constraints] == [("seed", "seed<2")]
    assert names(found) == ["apple", "pytest"]


def test_requirements_that_stand_in_no_requirement_file_are_told_by_place(tmp_path: Path) -> None:
    assert chosen(tmp_path, {"pyproject.toml": PYPROJECT}).lines == {"pyproject.toml": ["apple>=1", "pytest"]}
    assert chosen(tmp_path / "other", {"requirements.in": "apple\n"}).lines == {}


# --- a lock that is kept by hand


@pytest.mark.parametrize(
    ("files", "groups", "by_hand"),
    [
        ({"requirements.txt": PINS}, ("prod",), True),
        ({"requirements.txt": "apple>=1\n"}, ("prod",), False),
        ({"requirements.in": PINS}, ("prod",), False),
        ({"requirements.txt": PINS, "requirements-dev.txt": "pytest==8.0\n"}, (), True),
        ({"requirements.txt": PINS, "requirements-dev.txt": "pytest\n"}, (), False),
        ({"requirements.txt": PINS, "pyproject.toml": PYPROJECT}, ("tests",), False),
        ({}, (), False),
    ],
)
def test_pins_and_nothing_else_are_the_lock_themselves(
    tmp_path: Path, files: dict[str, str], groups: tuple[str, ...], by_hand: bool
) -> None:
    assert kept_by_hand(Project(tmp_path), chosen(tmp_path, files, *groups)) is by_hand


# --- what only a build knows


@pytest.mark.parametrize(
    ("files", "dynamic"),
    [
        ({"pyproject.toml": '[project]\nname = "a"\ndynamic = ["version", "dependencies"]\n'}, "pyproject.toml"),
        ({"pyproject.toml": '[project]\nname = "a"\ndynamic = ["version"]\n'}, ""),
        ({"pyproject.toml": '[tool.poetry]\nname = "a"\n[tool.poetry.dependencies]\napple = "^1"\n'}, "pyproject.toml"),
        ({"setup.py": "from setuptools import setup\nsetup()\n"}, "setup.py"),
        ({"setup.py": "", "setup.cfg": "[options]\ninstall_requires =\n  apple\n"}, ""),
        ({"requirements.in": "apple\n"}, ""),
    ],
)
def test_the_file_whose_dependencies_only_a_build_knows(tmp_path: Path, files: dict[str, str], dynamic: str) -> None:
    assert chosen(tmp_path, files).dynamic == dynamic


def test_the_same_project_gives_the_same_selection(tmp_path: Path) -> None:
    files: dict[str, Any] = {"pyproject.toml": PYPROJECT}
    assert chosen(tmp_path, files) == chosen(tmp_path, files)
