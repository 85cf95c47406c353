"""A folder under tests/cases/suite is a case: a project, its locked packages, what its tests need and how they run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import msgspec
import pytest

# By its module: pytest would collect functions of these names.
from ci_envs import suite
from ci_envs.errors import UsageError
from ci_envs.model.detect import TestPlan
from ci_envs.project import Project

CASES = Path(__file__).parents[1] / "cases" / "suite"


def _expected(folder: Path) -> dict[str, Any]:
    expected: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return expected


def _said(plan: TestPlan) -> dict[str, Any]:
    """What a plan says beside its reason, as JSON has it, without what is empty."""
    fields: dict[str, Any] = msgspec.to_builtins(plan)
    shown = {name: value for name, value in fields.items() if value and name != "why"}
    return {**shown, "evidence": [str(evidence) for evidence in plan.evidence]}


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda path: path.name)
def test_what_the_tests_need_is_found(folder: Path) -> None:
    plan = suite.test_plan(Project(folder))
    said = json.loads(json.dumps(_said(plan)))
    assert said == _expected(folder)["plan"]
    assert plan.why


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda path: path.name)
def test_how_the_tests_are_run_is_found(folder: Path) -> None:
    expected = _expected(folder)
    command = suite.test_command(Project(folder), frozenset(expected["pins"]))
    assert (shlex.join(command.argv) if command else None) == expected["command"]
    if command:
        assert command.runner in command.argv
        assert command.evidence
        assert command.why


def test_a_plan_says_why() -> None:
    plan = suite.test_plan(Project(CASES / "group-test"))
    assert plan.why == "pyproject.toml (dependency-groups.Test) is the dependency group for tests"
    nothing = suite.test_plan(Project(CASES / "nothing"))
    assert nothing == TestPlan(why=nothing.why)
    assert "no dependency group" in nothing.why


def test_tests_outside_the_project_are_not_looked_at(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "test_a.py").write_text("class T(TestCase): ...\n")
    (outside / "requirements.txt").write_text("pytest\n")
    root = tmp_path / "project"
    root.mkdir()
    (root / "tests").symlink_to(outside)
    project = Project(root)
    assert suite.test_plan(project).files == ()
    assert suite.test_command(project, frozenset({"pytest"})) is None
    assert suite.test_command(project, frozenset()) is None


def test_hidden_folders_hold_no_tests_of_the_project(tmp_path: Path) -> None:
    hidden = tmp_path / ".venv" / "tests"
    hidden.mkdir(parents=True)
    (hidden / "test_a.py").write_text("class T(TestCase): ...\n")
    assert suite.test_command(Project(tmp_path), frozenset({"pytest"})) is None
    assert suite.test_command(Project(tmp_path), frozenset()) is None


def test_a_sick_tox_ini_is_named_where_tox_is_asked(tmp_path: Path) -> None:
    (tmp_path / "tox.ini").write_text("deps = pytest\n")
    with pytest.raises(UsageError, match=r"tox\.ini:1: has a line before its first \[section\]"):
        suite.test_plan(Project(tmp_path))


def test_a_test_file_of_another_encoding_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_bytes("# -*- coding: latin-1 -*-\n# é\n".encode("latin-1"))
    (tmp_path / "test_b.py").write_text("class T(unittest.TestCase): ...\n")
    command = suite.test_command(Project(tmp_path), frozenset())
    assert command is not None
    assert command.argv == ("python", "-m", "unittest", "discover")
