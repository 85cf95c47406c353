"""The sessions that a noxfile gets. Nox registers for the whole process, so what a test adds is taken out again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import nox.registry
import pytest

import ci_envs.nox
from ci_envs.nox import BUILT_PATTERNS, run_arguments, sessions
from ci_envs.patterns.registry import ALL_PATTERNS

if TYPE_CHECKING:
    from nox._decorators import Func


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Func]:
    empty: dict[str, Func] = {}
    monkeypatch.setattr(nox.registry, "_REGISTRY", empty)
    return empty


class Session:
    """Stands where nox starts processes; keeps what it was told to run."""

    def __init__(self, *posargs: str) -> None:
        self.posargs = list(posargs)
        self.ran: list[tuple[tuple[str, ...], dict[str, Any]]] = []

    def run(self, *argv: str, **options: Any) -> None:
        self.ran.append((argv, options))

    def error(self, message: str) -> None:
        raise SystemExit(message)


def test_there_is_a_session_for_the_matrix_and_one_for_each_pattern(registry: dict[str, Func]) -> None:
    sessions()
    assert list(registry) == ["patterns", *(f"pattern-{name}" for name in BUILT_PATTERNS)]


def test_the_patterns_are_those_that_can_be_built() -> None:
    assert set(BUILT_PATTERNS) == {name for name, pattern in ALL_PATTERNS.items() if pattern.built}


def test_a_session_runs_the_ci_envs_beside_nox_and_makes_no_environment(registry: dict[str, Func]) -> None:
    sessions("matrices/default.yml")
    assert registry["patterns"].venv_backend == "none"
    session = Session("--jobs", "1")
    registry["patterns"](session)
    ((argv, options),) = session.ran
    assert argv == (sys.executable, "-P", "-m", "ci_envs", "run", "matrices/default.yml", "--jobs", "1")
    assert options == {"external": True}


def test_a_session_that_installs_has_an_environment_and_uses_its_python(registry: dict[str, Func]) -> None:
    installed: list[Any] = []
    sessions(install=installed.append)
    assert registry["pattern-uv"].venv_backend is None
    session = Session()
    registry["pattern-uv"](session)
    assert installed == [session]
    assert session.ran == [(("python", "-P", "-m", "ci_envs", "run", "--only", "uv-*"), {"external": False})]


def test_every_session_says_what_it_does(registry: dict[str, Func]) -> None:
    sessions()
    assert registry["patterns"].__doc__ == "Lock, build, check and test every leg of the matrix."
    assert registry["pattern-venv"].__doc__ == "Only the legs of pattern venv."


def test_a_first_word_that_is_no_option_is_the_matrix() -> None:
    assert run_arguments("a.yml", "", ["b.yml", "-q"]) == ["run", "b.yml", "-q"]


def test_without_a_matrix_the_run_looks_for_one() -> None:
    assert run_arguments("", "", []) == ["run"]


@pytest.mark.parametrize("word", ["--only", "--only=uv-py312-*"])
def test_a_session_of_one_pattern_refuses_another_selection(word: str) -> None:
    with pytest.raises(ValueError, match="nox -s patterns -- --only 'uv-"):
        run_arguments("", "uv", [word])


def test_the_refusal_ends_the_session_before_anything_is_installed(registry: dict[str, Func]) -> None:
    installed: list[Any] = []
    sessions(install=installed.append)
    with pytest.raises(SystemExit, match="selects by itself"):
        registry["pattern-uv"](Session("--only", "x"))
    assert installed == []


def test_the_module_needs_nothing_but_nox() -> None:
    names = {value.__name__.split(".")[0] for value in vars(ci_envs.nox).values() if hasattr(value, "__spec__")}
    assert names == {"sys", "nox"}
