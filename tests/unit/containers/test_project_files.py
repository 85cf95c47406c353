from __future__ import annotations

import pytest

from ci_envs.containers.project_files import beside_image, is_of_tests

PROJECT = ("src/app/__init__.py", "src/app/core.py", "tests/test_core.py", "conftest.py", "pyproject.toml", "README.md")


@pytest.mark.parametrize(
    "name",
    ["tests/test_a.py", "src/app/tests/data/x.csv", "conftest.py", "pyproject.toml", "check-env.py", "test_all.py"],
)
def test_what_tests_need_beside_the_code_is_known(name: str) -> None:
    assert is_of_tests(name)


@pytest.mark.parametrize("name", ["src/app/core.py", "testament.py", "src/test_core.py", "README.md", "data/tests.csv"])
def test_code_and_data_of_the_project_are_not_taken_for_tests(name: str) -> None:
    assert not is_of_tests(name)


def test_a_folder_that_the_test_command_names_is_one_of_tests() -> None:
    assert is_of_tests("checks/one.py", ["./checks/"])
    assert not is_of_tests("checksums/one.py", ["./checks/"])


def test_an_image_without_the_projects_code_is_given_all_of_it() -> None:
    assert beside_image(PROJECT, frozenset({"pyproject.toml", "tests/test_core.py"})) is None
    assert beside_image(PROJECT, frozenset()) is None


def test_beside_an_images_own_code_only_what_tests_need_is_put() -> None:
    inside = frozenset({"src/app/__init__.py", "src/app/core.py", "pyproject.toml"})
    assert beside_image(PROJECT, inside) == ("tests/test_core.py", "conftest.py")


def test_a_source_that_the_dockerfile_forgot_stays_missing() -> None:
    beside = beside_image(PROJECT, frozenset({"src/app/__init__.py"}))
    assert beside is not None
    assert "src/app/core.py" not in beside
