from __future__ import annotations

import pytest

from ci_envs.nearest import nearest

KNOWN = ("python", "pattern", "project", "groups")


@pytest.mark.parametrize(
    ("word", "near"), [("pyton", "python"), ("patern", "pattern"), ("PROJECT", "project"), ("group", "groups")]
)
def test_the_nearest_known_word_is_named(word: str, near: str) -> None:
    assert nearest(word, KNOWN) == f"; did you mean {near!r}?"


@pytest.mark.parametrize("word", ["", "zebra", "x" * 10_000])
def test_nothing_is_said_where_nothing_is_near(word: str) -> None:
    assert nearest(word, KNOWN) == ""


def test_known_words_may_come_from_anything_that_is_gone_through_once() -> None:
    assert nearest("pyton", iter(KNOWN)) == "; did you mean 'python'?"
    assert nearest("pyton", ()) == ""
