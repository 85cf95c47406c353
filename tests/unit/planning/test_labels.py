from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.plans import expanded

from ci_envs.plain import one_line
from ci_envs.planning.labels import Wished, chosen_by, read_labels, unknown_label, words_of

LEGS = expanded('axes: {pattern: [uv, conda], python: ["3.12", "3.13", "3.13t", "pypy3.10"]}').legs


def chosen(*words: str) -> list[str]:
    return [leg.id.removesuffix("-linux-x86_64") for leg in LEGS if chosen_by(words)(leg)[0]]


@pytest.mark.parametrize(
    ("labels", "wished"),
    [
        ([], Wished()),
        (["bug", "envs", "xenvs:all", "environment:skip", "envs:", "envs: "], Wished()),
        (["envs:all"], Wished(whole=True)),
        (["ENVS:All"], Wished(whole=True)),
        (["envs:skip", "bug"], Wished(skip=True)),
        (["envs:conda", "envs:py313", "envs:conda"], Wished(words=("conda", "py313"))),
        (["envs: uv"], Wished(words=("uv",))),
        (["envs:all", "envs:uv"], Wished(whole=True, words=("uv",))),
        (["envs:sk\u200bip"], Wished(skip=True)),
    ],
)
def test_labels_with_our_prefix_are_read(labels: list[str], wished: Wished) -> None:
    assert read_labels(labels) == wished


def test_patterns_and_pythons_combine() -> None:
    assert chosen("uv") == ["uv-py312", "uv-py313", "uv-py313t", "uv-pypy310"]
    assert chosen("uv", "conda") == [leg.id.removesuffix("-linux-x86_64") for leg in LEGS]
    assert chosen("py313") == ["uv-py313", "conda-py313"]
    assert chosen("py312", "pypy310") == ["uv-py312", "uv-pypy310", "conda-py312", "conda-pypy310"]
    assert chosen("conda", "py313t") == ["conda-py313t"]


def test_the_words_are_those_of_the_legs() -> None:
    assert words_of(LEGS) == {"uv", "conda", "py312", "py313", "py313t", "pypy310"}
    assert chosen_by(["uv", "py312"])(LEGS[0]) == (True, "label envs:uv, envs:py312")
    assert chosen_by(["conda"])(LEGS[0]) == (False, "not meant by label envs:conda")


def test_a_misspelt_label_is_told_the_nearest_word() -> None:
    assert unknown_label("cnda", words_of(LEGS)).endswith("; did you mean 'conda'?")
    assert unknown_label("al", words_of(LEGS)).endswith("; did you mean 'all'?")


@given(st.lists(st.text() | st.text().map(lambda text: f"envs:{text}"), max_size=300))
def test_no_label_brings_more_than_a_word(labels: list[str]) -> None:
    wished = read_labels(labels)
    assert len(wished.words) <= 100
    for word in wished.words:
        assert len(word) <= 65
        assert one_line(word) == word
