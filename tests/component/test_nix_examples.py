"""The examples over the tests' package set: by the machine's own word on where nixpkgs is, and no file changed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.component.program import Program, tidy
from tests.support.nix_projects import commit

from ci_envs.command import Command, run
from ci_envs.nix.nixpkgs import release
from ci_envs.settings import NIX_INPUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.nix_store import Nix

pytestmark = pytest.mark.component

EXAMPLES = Path(__file__).parents[2] / "examples"

#: What default.yml builds them with, and what both are described for.
PYTHON = "3.12"
LEG = "nix-py312-linux-x86_64"


@pytest.fixture
def make_example(nixpkgs: Path, nix_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[[str], Program]]:
    """A copy of an example, committed, under the variables of CI."""
    made: list[Program] = []

    def example(name: str) -> Program:
        kept = shutil.ignore_patterns(".ci-envs", "__pycache__", ".pytest_cache")
        root = Path(shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=kept))
        env = {**nix_env, "CI": "true", NIX_INPUTS: f"nixpkgs={nixpkgs}"}
        commit(root, env)
        made.append(Program(root, env, words=("--pattern=nix", f"--python={PYTHON}"), leg=LEG))
        return made[-1]

    yield example
    for program in made:
        tidy(program.started)


@pytest.mark.parametrize("name", ["nix-flake", "nix-shell"])
def test_nobody_has_to_say_which_python_it_has(make_example: Callable[[str], Program], name: str) -> None:
    program = make_example(name)
    program.words = ()

    done = program.run("--only=nix-*")

    assert done.code == 0, done.said
    assert program.record is not None  # of the leg for 3.12


def changed(program: Program) -> str:
    """What git says of the files."""
    outcome = run(Command(("git", "status", "--porcelain"), cwd=program.root, env=program.env, timeout=60))
    assert outcome
    return outcome.stdout


@pytest.mark.parametrize(
    ("name", "file", "packages"),
    [("nix-flake", "flake.lock", {"click", "pytest"}), ("nix-shell", "shell.nix", {"packaging", "pytest"})],
)
def test_it_is_locked_built_checked_and_tested_and_none_of_its_files_is_changed(
    make_example: Callable[[str], Program], nixpkgs: Path, name: str, file: str, packages: set[str]
) -> None:
    program = make_example(name)

    done = program.run()
    assert done.code == 0, done.said
    record = program.record
    assert record is not None
    assert (record.status, changed(program)) == ("passed", "")
    assert record.lock is not None
    assert (record.lock.path, [pin.version for pin in record.lock.pins]) == (file, [release().rev])
    assert record.tests is not None
    assert record.tests.passed >= 4
    assert (record.tests.failed, record.tests.skipped) == (0, 0)
    assert packages <= {each.name for each in record.inventory if each.manager == "python"}
    assert record.closure is not None
    assert any(path.name == "python3" for path in record.closure.paths)
    # That nixpkgs was another is in the record, and in what is said.
    (finding,) = [each for each in record.findings if each.code == "NIX003"]
    assert str(nixpkgs) in finding.message
    assert not [each for each in record.findings if each.severity == "error"]


def test_a_second_run_keeps_the_shell_until_the_packages_are_others(
    make_example: Callable[[str], Program], nixpkgs: Path, tmp_path: Path
) -> None:
    program = make_example("nix-shell")
    assert program.run().code == 0

    done = program.run()
    assert done.code == 0, done.said
    assert "kept: nothing it depends on has changed" in done.said, done.said

    other = shutil.copytree(nixpkgs, tmp_path / "other")
    program.env[NIX_INPUTS] = f"nixpkgs={other}"
    done = program.run()
    assert done.code == 0, done.said
    assert "built: settings" in done.said, done.said
    record = program.record
    assert record is not None
    assert any(str(other) in each.message for each in record.findings)


def test_the_command_of_the_readme_prints_what_is_newest(make_example: Callable[[str], Program]) -> None:
    program = make_example("nix-shell")
    assert program.run().code == 0

    done = program.do("exec", LEG, "--", "python", "newest.py")
    assert done.stdout.splitlines() == ["kelp 0.4.post1", "tidepool 1.10.0"], done.said


@pytest.mark.parametrize("words", [(), ("--pure",)])
def test_the_shell_is_one_for_nix_shell_too(
    make_example: Callable[[str], Program], nix_store: Nix, nixpkgs: Path, words: tuple[str, ...]
) -> None:
    root = make_example("nix-shell").root
    given = ("--arg", "nixpkgs", f'(/. + "{nixpkgs}")', *words, "--run", "pytest -q -p no:cacheprovider")

    outcome = nix_store.run("nix-shell", *given, cwd=root)
    assert outcome, outcome.tail()
    assert "4 passed" in outcome.stdout


def test_the_flake_is_one_for_nix_develop_too(
    make_example: Callable[[str], Program], nix_store: Nix, nixpkgs: Path
) -> None:
    root = make_example("nix-flake").root
    given = ("--override-input", "nixpkgs", f"path:{nixpkgs}", "--command", "pytest", "-q", "-p", "no:cacheprovider")

    outcome = nix_store.run("nix", "develop", *given, cwd=root)
    assert outcome, outcome.tail()
    assert "passed" in outcome.stdout
