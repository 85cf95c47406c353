from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.action_runner import read_command_file

from ci_envs.github.step_files import SUMMARY_LIMIT, add_path, export, set_output, summary, summary_room

if TYPE_CHECKING:
    from pathlib import Path


@given(st.text(alphabet="abc<=\n\r%é:{}$ ") | st.text(alphabet=st.characters(codec="utf-8")))
def test_the_runner_reads_the_output_that_was_set(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    path = tmp_path_factory.mktemp("out") / "output"

    set_output("first", value, {"GITHUB_OUTPUT": str(path)})
    set_output("second", "x<<EOF\nci_envs_0\nEOF", {"GITHUB_OUTPUT": str(path)})

    assert read_command_file(path) == {"first": value, "second": "x<<EOF\nci_envs_0\nEOF"}


def test_outside_of_actions_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    set_output("a", "b", {})
    export("A", "b", {})
    add_path("b", {})
    summary("b", {})

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["a\nPATH=/evil", "a\rb"])
def test_a_variable_or_folder_with_a_line_end_is_refused(tmp_path: Path, value: str) -> None:
    environ = {"GITHUB_ENV": str(tmp_path / "env"), "GITHUB_PATH": str(tmp_path / "path")}

    with pytest.raises(ValueError, match="line end"):
        export("NAME", value, environ)
    with pytest.raises(ValueError, match="line end"):
        add_path(value, environ)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "a b", "a<<b", "a\nb", "1a", "a="])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    environ = {"GITHUB_OUTPUT": str(tmp_path / "out"), "GITHUB_ENV": str(tmp_path / "env")}

    with pytest.raises(ValueError, match="no name"):
        set_output(name, "x", environ)
    with pytest.raises(ValueError, match="no name"):
        export(name, "x", environ)


def test_a_summary_that_does_not_fit_is_cut_at_a_line(tmp_path: Path) -> None:
    environ = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    summary("first", environ)

    summary("é line\n" * 200_000, environ)
    summary("one more", environ)

    text = (tmp_path / "summary").read_text(encoding="utf-8")
    assert len(text.encode()) <= SUMMARY_LIMIT
    assert text.startswith("first\né line\n")
    assert text.endswith("é line\n\n*Cut: the rest does not fit into a step summary.*\n") or text.count("Cut") == 1


def test_the_room_of_a_summary_is_what_nobody_has_taken(tmp_path: Path) -> None:
    environ = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    assert summary_room(environ) == summary_room({}) == SUMMARY_LIMIT

    summary("é", environ)
    assert summary_room(environ) == SUMMARY_LIMIT - 3

    (tmp_path / "summary").write_bytes(b" " * (SUMMARY_LIMIT + 1))
    assert summary_room(environ) == 0
