"""A folder under tests/cases/intents is a case: a project, what is asked of it, and what must be found or said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ci_envs.errors import UsageError
from ci_envs.intents import direct_requirements, extras_of, groups_of, own_name
from ci_envs.project import Project

if TYPE_CHECKING:
    from ci_envs.model.lock import Requirement

CASES = Path(__file__).parents[1] / "cases" / "intents"


def _shown(requirement: Requirement) -> str:
    dialect = "" if requirement.dialect == "pep508" else requirement.dialect
    where = f"{requirement.file}:{requirement.line}"
    return " ".join(filter(None, (where, requirement.text, "=", requirement.name, requirement.group, dialect)))


def _expected(folder: Path) -> dict[str, Any]:
    expected: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return expected


def _folders(key: str) -> list[Path]:
    return [folder for folder in sorted(CASES.iterdir()) if key in _expected(folder)]


@pytest.mark.parametrize("folder", _folders("found"), ids=lambda path: path.name)
def test_a_case_has_these_direct_dependencies(folder: Path) -> None:
    expected = _expected(folder)
    found = direct_requirements(Project(folder), **expected["asks"])
    assert [_shown(requirement) for requirement in found] == expected["found"]


@pytest.mark.parametrize("folder", _folders("error"), ids=lambda path: path.name)
def test_a_sick_case_is_refused_with_file_and_line(folder: Path) -> None:
    expected = _expected(folder)
    with pytest.raises(UsageError) as caught:
        direct_requirements(Project(folder), **expected["asks"])
    assert str(caught.value).startswith(expected["error"])
    assert "\n" not in str(caught.value)


def test_the_folders_hold_cases_of_both_kinds() -> None:
    assert len(_folders("found")) >= 10
    assert len(_folders("error")) >= 20


def test_groups_and_extras_say_where_they_stand() -> None:
    project = Project(CASES / "poetry")
    assert [(one.name, str(one.evidence)) for one in groups_of(project)] == [
        ("test", "pyproject.toml (tool.poetry.group.test.dependencies)"),
        ("dev", "pyproject.toml (tool.poetry.dev-dependencies)"),
    ]
    assert [(one.name, str(one.evidence)) for one in extras_of(project)] == [
        ("plot", "pyproject.toml (tool.poetry.extras.plot)")
    ]
    assert [str(one.evidence) for one in extras_of(Project(CASES / "setup-cfg"))] == [
        "setup.cfg ([options.extras_require] test)",
        "setup.cfg ([options.extras_require] docs)",
    ]


@pytest.mark.parametrize(
    ("case", "name"),
    [("standard-tables", "demo-project"), ("poetry", "demo"), ("setup-cfg", "demo"), ("nothing", "")],
)
def test_the_projects_own_name_is_normalised(case: str, name: str) -> None:
    assert own_name(Project(CASES / case)) == name


def test_without_runtime_only_what_was_asked_for_is_there() -> None:
    found = direct_requirements(Project(CASES / "standard-tables"), groups=["test"], runtime=False)
    assert [requirement.name for requirement in found] == ["pytest", "hypothesis"]


def test_a_long_chain_of_groups_is_no_crash(tmp_path: Path) -> None:
    groups = "".join(f'g{i} = [{{include-group = "g{i + 1}"}}]\n' for i in range(3000))
    (tmp_path / "pyproject.toml").write_text(f"[dependency-groups]\n{groups}g3000 = []\n", encoding="utf-8")
    with pytest.raises(UsageError, match="dependency group 'g0'"):
        direct_requirements(Project(tmp_path), groups=["g0"])
