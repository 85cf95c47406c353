from __future__ import annotations

import contextlib
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs.errors import UsageError
from ci_envs.github.input_values import CHOICES, read_value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("check", "false", False),
        ("changed_only", "true", True),
        ("tier", "pull-request", "pull-request"),
        ("python_version", "pypy3.10", "pypy3.10"),
        ("python_version", "3.13t", "3.13t"),
        ("groups", "dev, test\n docs", ("dev", "test", "docs")),
        ("labels", "envs:all\n good first issue \n\n", ("envs:all", "good first issue")),
        ("matrix_filter", "uv-*  !*-windows-*\nconda-py31[23]-*", ("uv-*", "!*-windows-*", "conda-py31[23]-*")),
        ("leg", "uv-py312-linux-x86_64-examples.data_science", "uv-py312-linux-x86_64-examples.data_science"),
        ("max_legs", "256", 256),
        ("shard", "0", 0),
        ("timeout_minutes", "7200", 7200),
        ("test_command", "pytest -k 'a or b'\t-q", "pytest -k 'a or b'\t-q"),
        ("working_directory", "a folder/ünï", "a folder/ünï"),
        ("plan_result", "cancelled", "cancelled"),
    ],
)
def test_a_value_is_of_its_kind(name: str, text: str, value: Any) -> None:
    assert read_value(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "said", "hint"),
    [
        ("check", "yes", "'check' is 'yes'", "true, false"),
        ("check", "True", "'check' is 'True'", "true, false"),
        ("enable_cache", "on", "'enable-cache' is 'on'", "auto, true, false"),
        ("lock_mode", "lock", "'lock-mode' is 'lock'", "locked, auto, frozen, update"),
        ("expect_gpu", "1", "'expect-gpu'", "auto, true, false"),
        ("tier", "pull_request", "'tier' is 'pull_request'", "auto, pull-request, nightly, release, all"),
        ("strategy", "all-pairs", "'strategy'", "all, pairwise, ends"),
        ("python_version", "3", "'python-version' is '3'", "3.12"),
        ("python_version", "3.12\n3.13", "more than one line", "strategy.matrix"),
        ("python_version", "$(touch pwned)", "'python-version'", "3.12"),
        ("python_version", "٣.١٢", "'python-version'", "3.12"),
        ("pattern", "--help", "'pattern' is '--help'", "auto"),
        ("pattern", "uv\nGITHUB_ENV", "more than one line", "strategy.matrix"),
        ("cache_suffix", "a,b", "'cache-suffix'", "letters"),
        ("cache_suffix", "x" * 65, "'cache-suffix'", "64"),
        ("artifact_name", "../x", "'artifact-name'", "letters"),
        ("artifact_name", "-x", "'artifact-name'", "letters"),
        ("groups", "dev,--help", "'groups' is '--help'", "dependency groups"),
        ("groups", "dev $(touch pwned)", "'groups' is '$(touch'", "dependency groups"),
        ("leg", "uv-*", "'leg' is 'uv-*'", "ci-envs plan"),
        ("leg", "x" * 101, "'leg'", "ci-envs plan"),
        ("matrix_filter", "uv-* ;x", "'matrix-filter' is ';x'", "globs"),
        ("matrix_filter", "!", "'matrix-filter' is '!'", "globs"),
        ("labels", "x" * 101, "'labels'", "one a line"),
        ("max_legs", "0", "'max-legs' is '0'", "1 to 256"),
        ("max_legs", "257", "'max-legs' is '257'", "1 to 256"),
        ("max_legs", "1e2", "'max-legs' is '1e2'", "1 to 256"),
        ("shard", "256", "'shard' is '256'", "0 to 255"),
        ("shard", "-1", "'shard' is '-1'", "0 to 255"),
        ("timeout_minutes", "2.5", "'timeout-minutes' is '2.5'", "0 to 7200"),
        ("test_command", "a\nb", "more than one line", "script"),
        ("working_directory", "a\nb", "more than one line", "one value"),
        ("matrix", "a\x1b[2Jb", "control character", "one line"),
        ("as_of", "a\rb", "control character", "one line"),
        ("test_command", "a\u2028b", "control character", "one line"),
        ("plan_result", "failed", "'plan-result' is 'failed'", "success, failure, cancelled, skipped"),
    ],
)
def test_a_wrong_value_is_named_with_what_the_input_takes(name: str, text: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_value(name, text)

    assert said in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_a_choice_takes_its_choices_and_nothing_else(name: str) -> None:
    assert [read_value(name, choice) for choice in CHOICES[name]] == list(CHOICES[name])
    for other in ("", "AUTO", "all ", "none"):
        with pytest.raises(UsageError, match="is"):
            read_value(name, other)


@given(st.text(min_size=1))
def test_what_is_let_through_is_one_line(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert read_value("test_command", text) == text
        assert len(text.splitlines()) <= 1
        assert not {unicodedata.category(letter) for letter in text.replace("\t", "")} & {"Cc", "Zl", "Zp"}
