from __future__ import annotations

import re
import traceback
from pathlib import Path

import pytest
from tests.support.problem_matchers import Issue, issues_in

from ci_envs.action.matching import matcher_files, problem_matchers

# As pytest 9 writes it; the component test asks the one that is there.
LONG = """\
=================================== FAILURES ===================================
__________________________________ test_adds ___________________________________

    def test_adds():
>       assert adds() == 3
E       assert 2 == 3
E        +  where 2 = adds()

tests/test_it.py:5: AssertionError
=========================== short test summary info ============================
FAILED tests/test_it.py::test_adds - assert 2 == 3
"""

SHORT = """\
tests/test_it.py:5: in test_adds
    assert adds() == 3
    ^^^^^^^^^^^^^^^^^^
E   assert 2 == 3
"""


@pytest.fixture
def leg(job: dict[str, str]) -> dict[str, str]:
    """The job of a leg."""
    return {**job, "CI_ENVS_ACTION": "leg", "INPUT_LEG": "uv-py312-linux-x86_64"}


def seen(text: str, leg: dict[str, str]) -> list[Issue]:
    return issues_in(matcher_files(Path(leg["GITHUB_WORKSPACE"]), leg), text.splitlines())


def test_matchers_are_there_while_a_leg_runs(leg: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with problem_matchers(Path(leg["GITHUB_WORKSPACE"]), leg):
        added = capsys.readouterr().out.splitlines()
    removed = capsys.readouterr().out.splitlines()

    files = [Path(line.removeprefix("::add-matcher::")) for line in added]
    assert [path.name for path in files] == ["python.json", "pytest.json"]
    owners = [owner for path in files for owner in re.findall(r'"owner": "(.*?)"', path.read_text())]
    assert removed == [f"::remove-matcher owner={owner}::" for owner in owners]


@pytest.mark.parametrize(
    "change",
    [{"CI_ENVS_ACTION": "environment"}, {"GITHUB_ACTIONS": "false"}, {"INPUT_ADD_PROBLEM_MATCHERS": "false"}],
)
def test_nobody_else_gets_any(leg: dict[str, str], change: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with problem_matchers(Path(leg["GITHUB_WORKSPACE"]), {**leg, **change}):
        pass

    assert capsys.readouterr().out == ""


def test_the_paths_of_pytest_are_taken_where_they_are_the_repositorys(leg: dict[str, str]) -> None:
    """The runner would look for ``tests/test_it.py`` in the repository's own folder."""
    root = Path(leg["GITHUB_WORKSPACE"])

    assert [path.name for path in matcher_files(root, leg)] == ["python.json", "pytest.json"]
    assert [path.name for path in matcher_files(root / "packages" / "a", leg)] == ["python.json"]


def test_a_failure_stands_beside_its_line_once(leg: dict[str, str]) -> None:
    assert seen(LONG, leg) == [Issue("tests/test_it.py", "5", "assert 2 == 3", "AssertionError")]
    assert seen(SHORT, leg) == [Issue("tests/test_it.py", "5", "assert 2 == 3")]
    assert seen(SHORT.replace("    ^^^^^^^^^^^^^^^^^^\n", ""), leg) == [Issue("tests/test_it.py", "5", "assert 2 == 3")]


def test_a_traceback_stands_at_the_line_that_raised(leg: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int("x")

    (issue,) = seen("".join(traceback.format_exception(caught.value)), leg)
    assert issue.file == __file__
    assert 'int("x")' in Path(__file__).read_text(encoding="utf-8").splitlines()[int(issue.line) - 1]
    assert issue.message == "ValueError: invalid literal for int() with base 10: 'x'"


@pytest.mark.parametrize(
    "path",
    [
        "/w/.ci-envs/envs/uv/lib/python3.12/site-packages/numpy/core.py",
        "/opt/python/lib/python3.12/json/decoder.py",
        "C:\\w\\.ci-envs\\envs\\uv\\Lib\\site-packages\\numpy\\core.py",
        "<string>",
        "<frozen importlib._bootstrap>",
    ],
)
def test_what_others_wrote_is_not_annotated(path: str, leg: dict[str, str]) -> None:
    text = f'Traceback (most recent call last):\n  File "{path}", line 3, in f\n    x()\nValueError: no\n'

    assert seen(text, leg) == []
    assert len(seen(text.replace(path, "/w/src/own.py"), leg)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "tests/test_it.py:5: DeprecationWarning: old\n  old()\n",
        "src/a.py:3: note: see\n",
        "FAILED tests/test_it.py::test_adds - assert 2 == 3\n",
        "ERROR: something\n",
        'He said: File "x.py", line 3\nand left\nat once\n',
    ],
)
def test_what_is_no_failure_is_not_annotated(text: str, leg: dict[str, str]) -> None:
    assert seen(text, leg) == []


def test_a_long_line_is_read_in_no_time(leg: dict[str, str]) -> None:
    """The runner gives an expression a second, three times, and then removes the matcher."""
    long = "a" * 200_000
    lines = [
        f'  File "{long}',
        f'File "{"/" * 100_000}',
        f"E   {long}",
        "",
        f"{long}.py:1: {long}!",
        f"{' ' * 200_000}x",
        "~^" * 100_000,
    ]

    assert issues_in(matcher_files(Path(leg["GITHUB_WORKSPACE"]), leg), lines) == []
