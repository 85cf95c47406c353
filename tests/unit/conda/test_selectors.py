from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ci_envs.conda.selectors import KNOWN_WORDS, comment_selectors, platforms_of
from ci_envs.model.conda import PLATFORMS

_LINUX = ("linux-64", "linux-aarch64")
_OSX = ("osx-64", "osx-arm64")


@pytest.mark.parametrize(
    ("expression", "platforms"),
    [
        ("linux", _LINUX),
        ("osx", _OSX),
        ("unix", (*_LINUX, *_OSX)),
        ("win", ("win-64",)),
        (" win64 ", ("win-64",)),
        ("aarch64", ("linux-aarch64",)),
        ("arm64", ("osx-arm64",)),
        ("x86_64", ("linux-64", "osx-64", "win-64")),
        ("ppc64le", ()),
        ("linux and win", ()),
        ("linux or win", (*_LINUX, "win-64")),
        ("not win", (*_LINUX, *_OSX)),
        ("not (linux or osx)", ("win-64",)),
        ("not linux and not osx", ("win-64",)),
        ("osx and arm64 or linux64", ("linux-64", "osx-arm64")),
        ("linux and (x86_64 or aarch64)", _LINUX),
        ("True", PLATFORMS),
        ("linux-aarch64", ("linux-aarch64",)),
        ("target_platform == 'osx-64'", ("osx-64",)),
        ('target_platform != "osx-64"', (*_LINUX, "osx-arm64", "win-64")),
        ("target_platform == 'linux-ppc64le'", ()),
    ],
)
def test_a_selector_holds_for_these_platforms(expression: str, platforms: tuple[str, ...]) -> None:
    assert platforms_of(expression) == platforms


@pytest.mark.parametrize(
    "expression",
    [
        *("", "12", "windows", "Linux", "py>=38", "py3k", "linux and", "(linux", "linux win", "1if linux else win"),
        *("__import__('os')", "linux.osx", "lambda: 1", "linux()", "linux or [osx]", "target_platform", "'linux'"),
        *("target_platform == linux", "linux == 'linux-64'", "target_platform == 'a' == 'b'", "not " * 60 + "linux"),
        *("(" * 150 + "linux" + ")" * 150, "linux\nor osx", "linux # or", "target_platform is 'x'", "None"),
    ],
)
def test_what_is_no_selector_is_told_apart(expression: str) -> None:
    assert platforms_of(expression) is None


@given(st.text() | st.lists(st.sampled_from([*KNOWN_WORDS, "and", "or", "not", "(", ")", "==", "'x'"])).map(" ".join))
@example("(" * 99 + "linux" + ")" * 99)
@example("not " * 48 + "linux")
@example("1_000if")
def test_any_text_is_a_selector_or_none(text: str) -> None:
    found = platforms_of(text)
    assert found is None or set(found) <= set(PLATFORMS)


def test_a_selector_belongs_to_the_value_before_it() -> None:
    text = """\
- plain  # [linux]
- 'in # [win] quotes'
- "both # [win]"  # [osx]
- {pip: [a, b]}  # [unix]
- https://files.example/x#[win]
- of two
  lines  # [arm64]
- |  # [win]
  a block # [win]
# [win]
  # a comment for itself [win]
- last#[win]
- two  # first [a] then [win]
- after # [win] (really)
"""
    assert comment_selectors(text) == {1: "linux", 3: "osx", 4: "unix", 6: "arm64", 13: "win"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_yaml_counts_them(end: str) -> None:
    assert comment_selectors(end.join(["", "- é  # [linux]", "- b # [win]"])) == {2: "linux", 3: "win"}
