"""What is made of the places that a failure names; tests/component/test_suite_results.py runs the runners."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.suite_results import Failure, located, read_unittest, tells_of_tests

if TYPE_CHECKING:
    from collections.abc import Callable

FAILURE = Failure(
    name="tests.test_x.TestCase.test_y[a.b]",
    message="assert 1 == 2",
    places=(("tests/test_x.py", 9), ("tests/help.py", 3), ("/usr/lib/python3/unittest/case.py", 58)),
)


def own(*files: str) -> Callable[[str], str]:
    return lambda written: written if written in files else ""


# --- where


def test_the_line_in_the_tests_own_file_counts_before_what_it_calls() -> None:
    assert located(FAILURE, own("tests/test_x.py", "tests/help.py")) == ("tests/test_x.py", 9)


def test_else_the_innermost_line_of_the_project_counts() -> None:
    assert located(FAILURE, own("tests/help.py", "tests/other.py")) == ("tests/help.py", 3)


def test_a_runner_in_a_folder_below_names_the_test_shorter() -> None:
    failure = Failure(name="test_x.test_y", message="", places=(("app/tests/test_x.py", 4), ("app/tests/help.py", 8)))

    assert located(failure, own("app/tests/test_x.py", "app/tests/help.py")) == ("app/tests/test_x.py", 4)


def test_without_any_line_the_file_is_that_of_the_tests_name() -> None:
    failure = Failure(name="tests.test_x.TestCase.test_y[a/b.py]", message="")

    assert located(failure, own("tests/test_x.py")) == ("tests/test_x.py", 0)
    assert located(failure, own()) == ("", 0)


def test_text_of_no_runner_is_no_result() -> None:
    assert read_unittest("Ran away\nOK\n") is None
    assert read_unittest("Ran 3 tests in 0.1s\n") is None
    assert tells_of_tests("Ran 3 tests in 0.1s\n")
    assert not tells_of_tests("I Ran 3 tests in 0.1s\n")
