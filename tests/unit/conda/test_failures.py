from __future__ import annotations

import pytest

from ci_envs.conda import failures
from ci_envs.errors import BrokenError, BuildError
from ci_envs.model.conda import LockedPackage

PACKAGE = LockedPackage(
    name="spam",
    version="1.0",
    build="py_0",
    platform="linux-64",
    url="https://channel.example/forge/noarch/spam-1.0-py_0.conda",
)
UPGRADE = "ci-envs lock --upgrade"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("HTTP status client error (404 Not Found) for url (http://x/spam.conda)", "gone"),
        ("status 404", "gone"),
        ("HTTP status client error (410 Gone) for url (http://x)", "gone"),
        ("HTTP status client error (401 Unauthorized) for url (http://x)", "refused"),
        ("HTTP status client error (403 Forbidden) for url (http://x)", "refused"),
        ("status 403: HTTP 403 FORBIDDEN for url <http://x>", "refused"),
        ("error decoding response body", "passing"),
        ("HTTP status server error (500 Internal Server Error) for url (http://x)", "down"),
        ("HTTP status client error (429 Too Many Requests) for url (http://x)", "down"),
        ("Request failed after 3 retries", "down"),
        ("http://127.0.0.1:40404/x", "down"),
        ("No space left on device (os error 28)", "disk"),
    ],
)
def test_what_kept_a_file_away(said: str, kind: str) -> None:
    assert failures.kind_of(said) == kind


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("gone", BuildError, ("spam-1.0-py_0", "no longer has")),
        ("refused", BrokenError, ("refused us spam-1.0-py_0",)),
        ("passing", BrokenError, ("did not give", PACKAGE.url)),
        ("down", BrokenError, ("did not give", PACKAGE.url)),
        ("disk", BrokenError, ("the disk is full",)),
    ],
)
def test_each_is_an_error_that_names_the_package(
    kind: failures.Kind, error: type[Exception], words: tuple[str, ...]
) -> None:
    told = failures.download_failed(PACKAGE, kind, "what the tool said", UPGRADE)
    assert type(told) is error
    assert all(word in told.message for word in words)


def test_another_file_names_both_hashes_and_what_to_do_first() -> None:
    told = failures.another_file(PACKAGE, "sha256:1", "sha256:2", UPGRADE)
    assert all(word in told.message for word in ("spam", PACKAGE.url, "sha256:1", "sha256:2"))
    assert told.hint == "find out why before you lock again; ci-envs lock --upgrade would take what is there now"


def test_what_is_gone_names_the_command_that_takes_what_is_there() -> None:
    assert failures.gone(PACKAGE, UPGRADE).hint.endswith(UPGRADE)


def test_lengths_are_bytes_and_not_characters() -> None:
    told = failures.placeholder_too_short("spam", "bin/spam", "/é", "/old")
    assert "a name of 3 bytes" in told.message
    assert "has room for 4" in told.message
    assert "CI_ENVS_STATE_DIR" in told.hint


def test_a_prefix_that_is_no_plain_name_says_what_is_wrong_with_it() -> None:
    told = failures.unfit_prefix("/it's", "'")
    assert told.message.startswith("the folder of the environment has ' in its name")
    assert "CI_ENVS_STATE_DIR" in told.hint


def test_a_long_list_is_cut() -> None:
    told = failures.not_cached([PACKAGE] * 9)
    assert told.message.count("spam-1.0-py_0") == 5
    assert told.message.endswith("and 4 more")


def test_a_tools_words_come_as_one_line_of_bounded_length() -> None:
    told = failures.link_failed("a\nb\x1b[31m" + "c" * 5000, "log")
    assert "\n" not in told.message
    assert "\x1b" not in told.message
    assert len(told.message) < 700
