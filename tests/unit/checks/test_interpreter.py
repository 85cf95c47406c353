from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.environments import a_context

from ci_envs.checks.interpreter import InterpreterIsTheOneAskedFor

if TYPE_CHECKING:
    from pathlib import Path


def messages(folder: Path, python: str, **interpreter: Any) -> list[str]:
    found = InterpreterIsTheOneAskedFor().run(a_context(folder, leg={"python": python}, interpreter=interpreter))
    return [f"{finding.code} {finding.message}" for finding in found]


@pytest.mark.parametrize(
    ("python", "interpreter"),
    [
        ("3.12", {}),
        ("3.13t", {"version": "3.13.1", "free_threaded": True}),
        ("3.14", {"version": "3.14.0rc2"}),
        ("pypy3.10", {"version": "3.10.14", "implementation": "pypy"}),
    ],
)
def test_the_one_asked_for_is_no_finding(tmp_path: Path, python: str, interpreter: dict[str, Any]) -> None:
    assert messages(tmp_path, python, **interpreter) == []


@pytest.mark.parametrize(
    ("python", "interpreter", "has"),
    [
        ("3.11", {}, "cpython 3.12.4"),
        ("3.1", {"version": "3.10.1"}, "cpython 3.10.1"),
        ("3.13", {"version": "3.13.1", "free_threaded": True}, "cpython 3.13.1 (free-threaded)"),
        ("3.10", {"version": "3.10.14", "implementation": "pypy"}, "pypy 3.10.14"),
    ],
)
def test_another_one_is_named(tmp_path: Path, python: str, interpreter: dict[str, Any], has: str) -> None:
    assert messages(tmp_path, python, **interpreter) == [
        f"ENV001 Python {python} was asked for; the environment has {has}"
    ]


def test_an_interpreter_for_another_machine_is_named(tmp_path: Path) -> None:
    assert messages(tmp_path, "3.12", arch="i686") == [
        "ENV001 linux-x86_64 was asked for; the interpreter is built for linux-i686"
    ]
