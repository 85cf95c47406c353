from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs.plain import one_line, plain, without_commands


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("numpy", "numpy"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07shown", "shown"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\x1b[2K\rb", "a\nb"),
        ("a\x9b31mb", "ab"),
        ("bell\x07back\x08", "bellback"),
        ("safe\u202egnp.exe", "safegnp.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("two\r\nlines\u2028three", "two\nlines\nthree"),
        ("a tab\tstays, Zürich and 東京 too", "a tab\tstays, Zürich and 東京 too"),
    ],
)
def test_plain_drops_what_moves_a_cursor_or_cannot_be_seen(text: str, expected: str) -> None:
    assert plain(text) == expected


@given(st.text())
def test_plain_text_has_no_control_or_format_character_left(text: str) -> None:
    assert {unicodedata.category(c) for c in plain(text) if c not in "\n\t"}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})


@given(st.text(alphabet="\x1b[]0;m9\x07a\u200b:#\u0300 \n"))
def test_making_plain_twice_changes_nothing_more(text: str) -> None:
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize(
    "line",
    [
        "::set-output name=a::b",
        "  ::add-mask::secret",
        "\t::error::x",
        "\u3000::error::x",
        "\u200b::error::x",
        "#\u034f#[error]x",
        ":::error::x",
        "harmless\n::stop-commands::x",
        "text ##[error]x",
        "###[[error]x",
        "\x1b[1m::warning::x",
        "\u0300::error::x",
        ":\u0300:error::x",
    ],
)
def test_no_line_is_left_that_the_runner_takes_for_a_command(line: str) -> None:
    shown = without_commands(plain(line))

    assert "##[" not in shown
    assert not any(part.lstrip().startswith("::") for part in shown.split("\n"))


@given(st.text(alphabet=":#[ \t\na\u3000\u200b\u0300\u034f"))
def test_nothing_that_is_made_of_command_characters_is_a_command(text: str) -> None:
    shown = without_commands(plain(text))

    # What a comparison by culture does not see is left out, as .NET's may do.
    seen = "".join(c for c in shown if not unicodedata.category(c).startswith(("M", "C")) or c in "\n\t")
    assert "##[" not in shown
    assert not any(part.lstrip().startswith("::") for part in seen.split("\n"))


@pytest.mark.parametrize("text", ["std::vector", "a :: b", "[::1]:8080", "# title", "issue #3 [x]"])
def test_text_that_only_looks_a_little_like_a_command_stays_as_it_is(text: str) -> None:
    assert without_commands(text) == text


def test_one_line_joins_lines_and_cuts_at_the_limit() -> None:
    assert one_line("a\n  b\tc") == "a b c"
    assert one_line("x" * 50, 10) == "xxxxxxx..."
    assert one_line("short", 10) == "short"
