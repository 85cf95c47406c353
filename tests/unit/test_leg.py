from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs.model.leg import CONTAINED, MAX_ID_LENGTH, leg_id, make_leg, python_tag
from ci_envs.record_files import is_leg_id

BASE: dict[str, Any] = {"pattern": "uv", "python": "3.12", "os": "linux", "arch": "x86_64"}


def word(**facts: Any) -> str:
    return leg_id(**{**BASE, **facts})


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, "uv-py312-linux-x86_64"),
        ({"python": "3.13t"}, "uv-py313t-linux-x86_64"),
        ({"python": "pypy3.10"}, "uv-pypy310-linux-x86_64"),
        ({"accelerator": "cuda12"}, "uv-py312-linux-x86_64-cuda12"),
        ({"groups": ("dev", "docs")}, "uv-py312-linux-x86_64-dev.docs"),
        ({"resolution": "lowest-direct"}, "uv-py312-linux-x86_64-lowest_direct"),
        ({"variables": {"mpi": "openmpi", "blas": "mkl"}}, "uv-py312-linux-x86_64-mpi_openmpi-blas_mkl"),
        ({"project": "examples/Data-Science"}, "uv-py312-linux-x86_64-examples.data_science"),
        (
            {"accelerator": "cuda12", "groups": ("dev",), "resolution": "lowest", "project": "a"},
            "uv-py312-linux-x86_64-cuda12-dev-lowest-a",
        ),
    ],
)
def test_the_word_for_a_leg(facts: dict[str, Any], expected: str) -> None:
    assert word(**facts) == expected


def test_a_legs_own_id_is_that_word() -> None:
    leg = make_leg(**BASE, groups=("dev",), variables={"mpi": "openmpi"})
    assert leg.id == word(groups=("dev",), variables={"mpi": "openmpi"})
    assert (leg.python_tag, leg.platform) == ("py312", "linux-x86_64")


@pytest.mark.parametrize(("version", "tag"), [("3.9", "py39"), ("3.13t", "py313t"), ("pypy3.10", "pypy310")])
def test_the_tag_of_a_python(version: str, tag: str) -> None:
    assert python_tag(version) == tag


def test_what_had_to_be_changed_carries_a_hash_of_what_it_was() -> None:
    spaced, accented = word(project="my project"), word(project="mü project")
    assert re.fullmatch(r"uv-py312-linux-x86_64-my_project_[0-9a-f]{8}", spaced)
    assert spaced != accented
    assert re.fullmatch(r"uv-py312-linux-x86_64-[0-9a-f]{8}", word(project="日本"))


def test_long_words_are_cut_and_still_differ() -> None:
    long = [word(project="a" * 200 + end) for end in "xy"]
    assert [len(each) for each in long] == [MAX_ID_LENGTH] * 2
    assert long[0] != long[1]


#: Whatever YAML, a folder's name or a shell can hold.
ANY = st.text(min_size=1, max_size=40)


@given(project=ANY, group=ANY, value=ANY)
def test_every_word_is_safe_as_a_file_name_and_has_the_grammar_of_a_leg_id(
    project: str, group: str, value: str
) -> None:
    made = word(project=project, groups=(group,), variables={"axis": value})
    assert is_leg_id(made)
    assert not set(made) & set("/\\ $`'\"*?[]<>|&;:\n\0")
    assert made.startswith("uv-py312-linux-x86_64-")
    assert not made.endswith((".", "-"))


@given(project=ANY)
def test_a_leg_has_one_word_on_every_day(project: str) -> None:
    assert word(project=project) == word(project=project)


def test_the_patterns_of_containers_are_those_of_the_registry() -> None:
    from ci_envs.patterns.registry import ALL_PATTERNS

    assert {name for name, pattern in ALL_PATTERNS.items() if pattern.contained} == CONTAINED
