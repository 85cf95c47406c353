"""channels.scm is read where it is literal, and refused with its line where it is not."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.stand_in_guix import CHANNELS, COMMIT

from ci_envs.locks.guix_channels import NotLiteralError, read_channels, written_without_commits
from ci_envs.model.lock import Pin

GUIX = f'(channel (name \'guix) (url "https://git.example/guix.git") (commit "{COMMIT}"))'


def test_what_guix_describes_is_read() -> None:
    (channel,) = read_channels(CHANNELS)

    assert channel.is_fixed
    assert channel.line == 1
    assert channel.branch == "master"
    assert channel.pin == Pin(name="guix", version=COMMIT, source="input", location="https://git.example/guix.git")


def test_what_a_person_writes_is_read() -> None:
    text = f"""\
;; Pinned; do not edit.
(use-modules (guix channels) (srfi srfi-1))

(list {GUIX}
      ;; (channel (name 'old) (url "https://git.example/old.git"))
      (channel
       (name 'mine)   ; ours
       (url "https://me:secret@git.example/mine;x.git")
       (branch "main")))
"""

    guix, mine = read_channels(text)

    assert (guix.line, mine.line, mine.name) == (4, 6, "mine")
    assert not mine.is_fixed
    assert mine.url == "https://me:secret@git.example/mine;x.git"
    assert "secret" not in mine.pin.location


@pytest.mark.parametrize("commit", ["v1.4.0", "1111111", "HEAD"])
def test_what_may_mean_another_commit_tomorrow_fixes_nothing(commit: str) -> None:
    (channel,) = read_channels(f"(list {GUIX.replace(COMMIT, commit)})")

    assert not channel.is_fixed


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("", 1, "the end of the file"),
        ("%default-channels\n", 1, "%default-channels"),
        (f"\n(cons* {GUIX}\n %default-channels)\n", 2, "(cons*"),
        (f"(list {GUIX}\n %default-guix-channel)\n", 2, "%default-guix-channel)"),
        (f"(list {GUIX}", 1, "the end of the file"),
        (f"(list {GUIX})\n(list)", 2, "(list)"),
        ("(list)", 1, "lists no channel"),
        ('(list\n (channel (name \'guix)\n (url (string-append "a" "b"))))', 3, "(url (string-append"),
        ('(list (channel (inherit %default-guix-channel)\n (commit "1")))', 1, "(inherit"),
        ("(list\n(channel (name 'guix)))", 2, "lacks its name or its url"),
        ('(list (channel (name "guix")))', 1, "(name"),
        ("(use-modules (guix channels))\n(begin (list))", 1, "(use-modules"),
    ],
)
def test_anything_else_is_refused_with_its_line(text: str, line: int, told: str) -> None:
    with pytest.raises(NotLiteralError) as caught:
        read_channels(text)

    assert told in str(caught.value)
    assert caught.value.line == line


def test_without_its_commits_it_is_the_same_file() -> None:
    text = written_without_commits(read_channels(CHANNELS.replace("master", "next")))

    (before,), (after,) = read_channels(CHANNELS), read_channels(text)
    assert (after.commit, after.branch) == ("", "next")
    assert (after.name, after.url) == (before.name, before.url)
    assert after.introduction.split() == before.introduction.split()


@given(st.text(alphabet="()'\"; \nlist channel name url commit guix 123", max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    with contextlib.suppress(NotLiteralError):
        assert read_channels(text)
