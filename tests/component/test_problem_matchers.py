"""Problem matchers over what real interpreters and a real pytest write."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.problem_matchers import Issue, issues_in

from ci_envs.action.matching import matcher_files
from ci_envs.command import Command, run
from ci_envs.interpreters import find_interpreter

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]

SERIES = ("3.9", "3.10", "3.11", "3.12", "3.13")

FAILING = """\
def adds():
    return 1 + 1


def test_adds():
    assert adds() == 3


def test_raises():
    int("x")
"""

# Each ends in the line that says HERE, and in an exception of its own.
PROGRAMS = {
    "ValueError: bad": "def f():\n    raise ValueError('bad')  # HERE\n\nf()\n",
    "ZeroDivisionError: division by zero": "x = 1\nprint((x + 2) / (x - 1))  # HERE\n",
    "KeyError: 'a'": "def f(d):\n    return d['a']['b']  # HERE\n\nf({})\n",
    "AssertionError": "assert 1 == 2  # HERE\n",
    "ModuleNotFoundError: No module named 'not_there'": "import not_there  # HERE\n",
    "RuntimeError: outer": "try:\n    {}[1]\nexcept KeyError:\n    raise RuntimeError('outer')  # HERE\n",
}


def output(argv: tuple[str, ...], folder: Path) -> list[str]:
    outcome = run(Command(argv=argv, cwd=folder, env={**os.environ, "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}))
    assert not outcome
    return outcome.output.splitlines()


def issues(lines: list[str], folder: Path) -> list[Issue]:
    return issues_in(matcher_files(folder, {"GITHUB_WORKSPACE": str(folder)}), lines)


@pytest.fixture(scope="module")
def interpreters() -> dict[str, str]:
    """The interpreters of this machine, by their series; the one that runs this is surely among them."""
    found = {series: python.executable for series in SERIES if (python := find_interpreter(series))}
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in found
    return found


@pytest.mark.parametrize("said", PROGRAMS)
def test_tracebacks_of_every_interpreter_are_read(interpreters: dict[str, str], said: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAMS[said])
    here = next(n for n, line in enumerate(PROGRAMS[said].splitlines(), 1) if "HERE" in line)

    for series, python in interpreters.items():
        found = issues(output((python, str(program)), tmp_path), tmp_path)
        assert found[-1] == Issue(str(program), str(here), said), series


@pytest.mark.parametrize("style", ["auto", "long", "short"])
def test_failures_of_pytest_are_read(style: str, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(FAILING)
    lines = output((sys.executable, "-m", "pytest", f"--tb={style}", "-p", "no:cacheprovider", "test_it.py"), tmp_path)

    found = issues(lines, tmp_path)

    assert [(issue.file, issue.line) for issue in found] == [("test_it.py", "6"), ("test_it.py", "10")], lines
    assert found[0].message == "assert 2 == 3"
    assert found[1].message == "ValueError: invalid literal for int() with base 10: 'x'"


def test_failures_of_unittest_are_read(tmp_path: Path) -> None:
    text = "import unittest\n\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertEqual(1, 2)\n"
    (tmp_path / "test_it.py").write_text(text)

    found = issues(output((sys.executable, "-m", "unittest", "test_it"), tmp_path), tmp_path)

    assert found == [Issue(str(tmp_path / "test_it.py"), "5", "AssertionError: 1 != 2")]
