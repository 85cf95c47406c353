from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs import __version__
from ci_envs.github.caching import cache_choice, cache_key

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNNER = {"RUNNER_OS": "Linux", "RUNNER_ARCH": "X64", "ImageOS": "ubuntu24", "ImageVersion": "20261115.1.0"}
LOCK = "sha256:" + "0123456789abcdef" * 4


def key(environ: Mapping[str, str] = RUNNER, **more: Any) -> str:
    usual = {"kind": "packages", "pattern": "uv", "interpreter": "cpython3.12.4.1f3a90c2", "lock": LOCK}
    return cache_key(**{**usual, **more}, environ=environ)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/main"}, True),
        ({"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/1/merge"}, True),
        ({"GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/tags/v1"}, False),
        ({"GITHUB_EVENT_NAME": "release"}, False),
        ({"GITHUB_EVENT_NAME": "pull_request_target"}, False),
        ({"GITHUB_EVENT_NAME": "workflow_run"}, False),
        ({"GITHUB_EVENT_NAME": "push", "RUNNER_ENVIRONMENT": "self-hosted"}, False),
        ({"GITHUB_EVENT_NAME": "push", "UV_CACHE_DIR": "/elsewhere"}, False),
    ],
)
def test_the_cache_is_left_alone_where_it_could_be_poisoned(environ: dict[str, str], expected: bool) -> None:
    assert cache_choice("auto", environ)[0] is expected
    assert cache_choice("true", environ)[0] is True
    assert cache_choice("false", environ)[0] is False


def test_a_key_holds_all_that_package_files_depend_on() -> None:
    assert key(suffix="v2") == (
        f"ci-envs-packages-{__version__}-linux-x64-ubuntu24.20261115.1.0-uv-cpython3.12.4.1f3a90c2-v2-"
        "0123456789abcdef0123456789abcdef"
    )


def test_a_runner_that_is_not_githubs_has_no_image() -> None:
    assert key({}) == (
        f"ci-envs-packages-{__version__}-unknown-unknown-unknown-uv-cpython3.12.4.1f3a90c2-"
        "0123456789abcdef0123456789abcdef"
    )


def test_every_part_makes_another_key() -> None:
    others = [
        key(),
        key(kind="environment"),
        key({**RUNNER, "RUNNER_OS": "macOS"}),
        key({**RUNNER, "RUNNER_ARCH": "ARM64"}),
        key({**RUNNER, "ImageOS": "ubuntu22"}),
        key({**RUNNER, "ImageVersion": "20261201.1.0"}),
        key(pattern="venv"),
        key(interpreter="cpython3.12.4.99999999"),
        key(interpreter="cpython3.12.5.1f3a90c2"),
        key(lock="sha256:" + "f" * 64),
        key(suffix="mine"),
    ]

    assert len(set(others)) == len(others)


words = st.text("abc-._0", max_size=8)


@given(words, words, st.text("0a", min_size=64, max_size=64), st.text("0a", min_size=64, max_size=64))
def test_no_key_begins_with_another(one: str, other: str, lock: str, another: str) -> None:
    """GitHub restores what begins with a key where nothing has that key."""
    keys = {key(suffix=suffix, lock=f"sha256:{each}") for suffix in (one, other) for each in (lock, another)}

    assert not [(a, b) for a, b in itertools.permutations(keys, 2) if b.startswith(a)]


def test_a_key_holds_nothing_that_github_refuses_and_is_short_enough() -> None:
    made = key(
        {**RUNNER, "ImageOS": "x," * 90, "RUNNER_OS": "A b\n,c"},
        interpreter="i," * 90,
        pattern="p" * 99,
        suffix="s" * 64,
    )

    assert re.fullmatch(r"[\w.+-]+", made, re.ASCII)
    assert len(made) < 512
