from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.work import a_leg, a_work

from ci_envs.nix.described import Description
from ci_envs.nix.direnv import apply_envrc, from_envrc, offered_envrc, read_envrc
from ci_envs.nix.hook import Scratch, State
from ci_envs.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.model.record import Finding

NIX_DIRENV = """\
if ! has nix_direnv_version || ! nix_direnv_version 3.0.6; then
  source_url "https://example/direnvrc" "sha256-x"
fi
"""


def project(folder: Path, envrc: str, *files: str) -> Project:
    for name in files or ("flake.nix", "shell.nix"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / ".envrc").write_text(envrc, encoding="utf-8")
    return Project(folder)


@pytest.mark.parametrize(
    ("envrc", "expected"),
    [
        ("use flake", ("flake.nix", "")),
        ("use flake\n", ("flake.nix", "")),
        ("  use flake . # it's the default", ("flake.nix", "")),
        ("use flake '#ci'", ("flake.nix", "ci")),
        ("use_flake .#ci", ("flake.nix", "ci")),
        ("use flake '.#devShells.x86_64-linux.ci'", ("flake.nix", "devShells.x86_64-linux.ci")),
        ("use flake path:.#ci", ("flake.nix", "ci")),
        ("use flake .#ci --impure", ("flake.nix", "ci")),
        ("use flake --impure", ("flake.nix", "")),
        ("use flake ./nix#ci", ("nix/flake.nix", "ci")),
        ("use nix", ("shell.nix", "")),
        ("use nix nix/ci.nix", ("nix/ci.nix", "")),
        ("use nix ./shell.nix -A ci", ("shell.nix", "ci")),
        ("use nix --attr ci", ("shell.nix", "ci")),
        (f"{NIX_DIRENV}watch_file x\nuse flake .#ci\nexport A=1", ("flake.nix", "ci")),
        ("use flake .#one\nuse flake .#two", ("flake.nix", "one")),
        ("export A=1", None),
        ("# use flake", None),
        ("echo use flake", None),
        ("use flake github:owner/name", None),
        ("use flake nixpkgs#hello", None),
        ("use flake ../other", None),
        ("use flake '.?dir=sub'", None),
        ("use nix -p hello", None),
        ("use nix a.nix b.nix", None),
        ("use nix gone.nix", None),
        ("use python 3.12", None),
        ("use", None),
        ("use flake 'no end", None),
        ("", None),
    ],
)
def test_the_line_that_names_a_shell_is_read(tmp_path: Path, envrc: str, expected: tuple[str, str] | None) -> None:
    files = ("flake.nix", "shell.nix", "default.nix", "nix/flake.nix", "nix/ci.nix")

    assert from_envrc(project(tmp_path, envrc, *files)) == expected


def test_use_nix_takes_what_nix_shell_takes(tmp_path: Path) -> None:
    assert from_envrc(project(tmp_path, "use nix", "default.nix")) == ("default.nix", "")


def test_without_the_file_nothing_is_named(tmp_path: Path) -> None:
    assert from_envrc(Project(tmp_path)) is None
    assert from_envrc(project(tmp_path, "use flake", "shell.nix")) is None


def test_other_lines_are_those_that_may_set_something() -> None:
    text = f"#!/bin/bash\n{NIX_DIRENV}\nwatch_file a\nuse flake\n  export A=1 # one\ndotenv\nuse flake .#two\n"

    assert read_envrc(text).others == ((8, "export A=1 # one"), (9, "dotenv"), (10, "use flake .#two"))


def test_flags_of_the_line_are_known() -> None:
    assert read_envrc("use flake . --impure --override-input a b").flags == ("--impure", "--override-input")
    assert read_envrc("use nix -A ci").flags == ()


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    envrc = read_envrc(text)

    assert envrc.use == () or envrc.use[0] == "use"


def described(folder: Path, kind: Any, file: str, attribute: str = "") -> Description:
    return Description(kind, file, folder, attribute)


@pytest.mark.parametrize(
    ("kind", "file", "attribute", "line"),
    [
        ("flake", "flake.nix", "", "use flake"),
        ("flake", "flake.nix", "ci", "use flake .#ci"),
        ("flake", "nix/flake.nix", "", "use flake ./nix"),
        ("shell", "shell.nix", "", "use nix"),
        ("shell", "nix/ci shell.nix", "", "use nix 'nix/ci shell.nix'"),
        ("shell", "shell.nix", "ci", "use nix -A ci"),
        ("default", "default.nix", "ci", "use nix default.nix -A ci"),
    ],
)
def test_the_offered_text_names_the_shell_that_it_is_offered_for(
    tmp_path: Path, kind: Any, file: str, attribute: str, line: str
) -> None:
    text = offered_envrc(described(tmp_path, kind, file, attribute))

    assert [shlex.split(row) for row in text.splitlines() if not row.startswith("#")] == [shlex.split(line)]
    assert from_envrc(project(tmp_path, text, file, "shell.nix")) == (file, attribute)


def applied(folder: Path, envrc: str, description: Description) -> tuple[State, list[Finding]]:
    project(folder, envrc)
    work = a_work(folder, leg=a_leg(pattern="nix"), environ={"PATH": "/nowhere"})
    state = apply_envrc(work, description, State({"A": "1"}), Scratch(folder, "mark"), programs="")
    return state, work.findings


def test_without_direnv_the_lines_that_were_not_run_are_told(tmp_path: Path) -> None:
    envrc = "use flake\nexport A=2\ndotenv\nlayout python\nPATH_add bin\n"

    state, (finding,) = applied(tmp_path, envrc, described(tmp_path, "flake", "flake.nix"))

    assert state == State({"A": "1"})
    assert (finding.code, finding.severity, finding.file, finding.line) == ("NIX021", "warning", ".envrc", 2)
    assert finding.message.endswith("were not run: export A=2; dotenv; layout python and 1 more")


def test_a_line_about_another_shell_leaves_this_one_alone(tmp_path: Path) -> None:
    envrc = "use flake .#other\nexport A=2\n"

    assert applied(tmp_path, envrc, described(tmp_path, "flake", "flake.nix")) == (State({"A": "1"}), [])


def test_an_envrc_that_only_names_the_shell_needs_no_direnv(tmp_path: Path) -> None:
    assert applied(tmp_path, "use flake\n", described(tmp_path, "flake", "flake.nix")) == (State({"A": "1"}), [])


def test_flags_that_nix_is_not_given_are_told(tmp_path: Path) -> None:
    _, (finding,) = applied(tmp_path, "use flake . --impure\n", described(tmp_path, "flake", "flake.nix"))

    assert finding.message == "`use flake . --impure` has direnv give nix --impure, which it is not given here"
