from __future__ import annotations

import contextlib
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs.commandline import split
from ci_envs.errors import UsageError


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("pytest -q", ["pytest", "-q"]),
        ("  pytest\n", ["pytest"]),
        ("pytest -k 'a and (b or c)'", ["pytest", "-k", "a and (b or c)"]),
        ("pytest tests/*.py", ["pytest", "tests/*.py"]),
        ("pytest -k (a)", ["pytest", "-k", "(a)"]),
        (r"pytest \
            tests", ["pytest", "tests"]),
        ("grep 'a|b' \"c>d\" e\\;f", ["grep", "a|b", "c>d", "e;f"]),
        ("echo '$HOME' \\$HOME '`x`' 100$ a$1", ["echo", "$HOME", "$HOME", "`x`", "100$", "a$1"]),
        ("make \"it's\" fine 'A=1' B=2", ["make", "it's", "fine", "A=1", "B=2"]),
        ("pytest a#b \"#c\"", ["pytest", "a#b", "#c"]),
    ],
)  # fmt: skip
def test_a_string_is_split_as_a_shell_would(command: str, words: list[str]) -> None:
    assert split(command, "test.command") == words


def test_a_list_is_taken_as_it_is() -> None:
    assert split(["sh", "-c", "a && b > $HOME"], "test.command") == ["sh", "-c", "a && b > $HOME"]
    assert split(("tool", ""), "test.command") == ["tool", ""]


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("a && b", "'&&'"),
        ("a&&b", "'&&'"),
        ("a || b", "'||'"),
        ("a | b", "'|'"),
        ("a; b", "';'"),
        ("a3;b", "';'"),
        ("a &", "'&'"),
        ("a > b", "'>'"),
        ("a >b", "'>'"),
        ("a >>b", "'>>'"),
        ("a 2>&1", "'2>&1'"),
        ("a < b", "'<'"),
        ("a $HOME", "'$H'"),
        ("a ${HOME}", "'${'"),
        ('a "$(b)"', "'$('"),
        ("a `b`", "'`'"),
        ("A=1 a", "'A='"),
        ("a # b", "'#'"),
        ("a\nb", "a second line"),
        ("'a' \"b\" 'c' $HOME", "'$H'"),
        ('a "\\$HOME"', "'$H'"),  # shlex would leave the backslash where a shell takes it away
    ],
)
def test_what_needs_a_shell_is_refused_and_told_how_to_have_one(command: str, what: str) -> None:
    with pytest.raises(UsageError) as raised:
        split(command, "test.command")
    assert str(raised.value) == f"test.command: {what} needs a shell, and no shell reads commands here"
    assert f'["sh", "-c", {command!r}]' in raised.value.hint


@pytest.mark.parametrize("command", ["", "   ", "\n", "''", [], [""]])
def test_no_command_is_refused(command: str | list[str]) -> None:
    with pytest.raises(UsageError, match=r"check\.command is no command"):
        split(command, "check.command")


def test_an_open_quote_is_told_with_its_setting() -> None:
    with pytest.raises(UsageError, match=r"check\.command: \"it's\" cannot be split into words: No closing quotation"):
        split("it's", "check.command")


@given(st.lists(st.text(min_size=1), min_size=1))
def test_words_that_are_quoted_come_back_as_they_were(words: list[str]) -> None:
    assert split(shlex.join(["run", *words]), "test.command") == ["run", *words]


@given(st.text())
def test_a_string_gives_words_or_is_refused(command: str) -> None:
    with contextlib.suppress(UsageError):
        assert split(command, "test.command")
