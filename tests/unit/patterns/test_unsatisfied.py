"""The cases of ``tests/cases/solver-errors``, read from what the tools had printed.

That they still print it, ``tests/component/test_solver_errors.py`` sees to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.projects import write_project
from tests.support.solver_cases import SolverCase, solver_cases
from tests.support.work import a_leg, a_work

from ci_envs.command import Outcome
from ci_envs.model.config import Config, LockConfig
from ci_envs.patterns.unsatisfied import unsatisfied
from ci_envs.patterns.uv import lock_format
from ci_envs.selection import select

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.work import Work

CASES = solver_cases("uv", "venv")


def workbench(folder: Path, case: SolverCase) -> Work:
    config = Config(lock=LockConfig(format="pylock")) if "ci-envs.yml" in case.files else Config()
    work = a_work(write_project(folder, case.files), leg=a_leg(pattern=case.tool, groups=case.groups), config=config)
    work.selection = select(work.leg, work.project, config)
    work.reproduce = f"ci-envs run --pattern={case.tool} --only {work.leg.id}"
    return work


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_lines_are_found_in_what_the_tool_has_printed(case: SolverCase, tmp_path: Path) -> None:
    work = workbench(tmp_path, case)
    whole = case.tool == "uv" and lock_format(work) == "uv.lock"
    error = unsatisfied(work, Outcome((case.tool,), 1, "", case.said, 1.0, False), whole_project=whole)
    assert [f"{one.file}:{one.line}" if one.line else one.file for one in work.findings] == case.lines
    assert {one.title for one in work.findings} == {case.expected["title"]}
    assert str(error).startswith(f"{case.lines[0]}: the requirements cannot be locked: ")
    assert f", then run ci-envs lock --pattern={case.tool} --only {work.leg.id}; the log has all of it: " in error.hint


def test_there_are_cases_of_both_tools() -> None:
    assert {case.tool for case in CASES} == {"uv", "venv"}
    assert len(CASES) > 60


@pytest.mark.parametrize("said", ["", "error: something else\n", "ERROR: nobody knows\n", "\0", "error: `seeds`\n"])
def test_words_that_nobody_knows_give_the_file_and_no_line(said: str, tmp_path: Path) -> None:
    work = a_work(write_project(tmp_path, {"requirements.in": "seed\n"}))
    work.selection = select(work.leg, work.project, Config())
    error = unsatisfied(work, Outcome(("uv",), 2, "", said, 1.0, False))
    assert (error.file, error.line) == ("requirements.in", 0)
    assert [(one.file, one.line) for one in work.findings] == [("requirements.in", 0)]


def test_a_project_that_only_its_build_knows_is_shown_by_that_file(tmp_path: Path) -> None:
    files = {"setup.py": "from setuptools import setup\nsetup(install_requires=['seed>9'])\n"}
    work = a_work(write_project(tmp_path, files))
    work.selection = select(work.leg, work.project, Config())
    said = "error: No solution found when resolving dependencies\n  cause: Because only seed<=2.0 is available and you "
    error = unsatisfied(work, Outcome(("uv",), 1, "", f"{said}require seed>9, we can conclude that.\n", 1.0, False))
    assert (error.file, error.line) == ("setup.py", 0)
