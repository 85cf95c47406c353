"""Where tests have failed, as pytest and unittest themselves say it: both are run, in each style that they have."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from ci_envs.command import Command, run
from ci_envs.suite_results import KEPT, located, read_junit, read_unittest, tells_of_tests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ci_envs.command import Outcome
    from ci_envs.suite_results import Results

pytestmark = pytest.mark.component

# --- pytest

HELPED = """\
def check(value):
    assert value == 2, "of the helper"
"""

SUITE = """\
import pytest
from helping import check

def test_plain():
    assert 1 + 1 == 3

def test_helped():
    check(1)

@pytest.fixture
def broken():
    raise RuntimeError("the fixture")

def test_fixture(broken):
    pass

class TestCase:
    @pytest.mark.parametrize("value", ["a.b", "c/d.py"])
    def test_many(self, value):
        raise ValueError(value)

def test_good():
    pass
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A project whose tests fail in each way."""
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = tests\naddopts = -p no:cacheprovider\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "helping.py").write_text(HELPED, encoding="utf-8")
    (tmp_path / "tests" / "test_x.py").write_text(SUITE, encoding="utf-8")
    return tmp_path


def python(folder: Path, *words: str) -> Outcome:
    outcome = run(Command((sys.executable, *words), cwd=folder, timeout=60))
    assert outcome.returncode == 1, outcome.output
    return outcome


def by_pytest(folder: Path, *words: str) -> Results:
    python(folder, "-m", "pytest", "--junitxml=r.xml", *words)
    found = read_junit(folder / "r.xml")
    assert found is not None
    return found


def own_of(folder: Path) -> Callable[[str], str]:
    def found(written: str) -> str:
        path = folder / written
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) and path.is_file() else ""

    return found


@pytest.mark.parametrize("style", ["auto", "long", "short", "native"])
def test_each_failure_of_pytest_has_its_line(suite: Path, style: str) -> None:
    found = by_pytest(suite, f"--tb={style}")

    assert (found.passed, found.failed, found.skipped) == (1, 5, 0)
    assert {failure.name: located(failure, own_of(suite)) for failure in found.failures} == {
        "tests.test_x.test_plain": ("tests/test_x.py", 5),
        "tests.test_x.test_helped": ("tests/test_x.py", 8),
        "tests.test_x.test_fixture": ("tests/test_x.py", 12),
        "tests.test_x.TestCase.test_many[a.b]": ("tests/test_x.py", 20),
        "tests.test_x.TestCase.test_many[c/d.py]": ("tests/test_x.py", 20),
    }
    assert found.failures[0].message.startswith("assert")


def test_without_tracebacks_the_file_is_known(suite: Path) -> None:
    found = by_pytest(suite, "--tb=no")

    assert {located(failure, own_of(suite)) for failure in found.failures} == {("tests/test_x.py", 0)}


def test_a_file_that_cannot_be_collected_has_its_line(suite: Path) -> None:
    (suite / "tests" / "test_y.py").write_text("x = 1\nimport helping.nothing\n", encoding="utf-8")
    (suite / "pytest.ini").write_text("[pytest]\npythonpath = tests\n")
    outcome = run(
        Command((sys.executable, "-m", "pytest", "--junitxml=r.xml", "tests/test_y.py"), cwd=suite, timeout=60)
    )
    found = read_junit(suite / "r.xml")

    assert (outcome.returncode, found is not None) == (2, True)
    assert found is not None
    (failure,) = found.failures
    assert located(failure, own_of(suite)) == ("tests/test_y.py", 2)


def test_of_many_failures_the_first_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    text = "import pytest\n@pytest.mark.parametrize('n', range(30))\ndef test_n(n):\n    assert n < 0\n"
    (tmp_path / "test_many.py").write_text(text, encoding="utf-8")

    found = by_pytest(tmp_path, "-p", "no:cacheprovider")

    assert (found.failed, len(found.failures)) == (30, KEPT)


# --- unittest

CASES = """\
import unittest

class Case(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(1, 2)

    def test_error(self):
        \"\"\"With a sentence of its own.\"\"\"
        raise KeyError("missing")

    def test_parts(self):
        for n in (0, 1):
            with self.subTest(n=n):
                self.assertEqual(n, 0)

    def test_good(self):
        pass
"""


def test_each_failure_of_unittest_has_its_line(tmp_path: Path) -> None:
    (tmp_path / "test_u.py").write_text(CASES, encoding="utf-8")
    said = python(tmp_path, "-m", "unittest", "test_u").stderr

    found = read_unittest(said)

    assert found is not None
    assert tells_of_tests(said)
    assert (found.passed, found.failed, found.skipped) == (1, 3, 0)
    lines = {failure.name: located(failure, own_of(tmp_path)) for failure in found.failures}
    assert set(lines.values()) == {("test_u.py", 5), ("test_u.py", 9), ("test_u.py", 14)}
    plain = next(failure for failure in found.failures if "test_plain" in failure.name)
    assert (plain.name, plain.message) == ("test_u.Case.test_plain", "AssertionError: 1 != 2")
