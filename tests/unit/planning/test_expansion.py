from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.plans import expanded, ids, matrix_of, matrix_with

from ci_envs.errors import CiEnvsError, UsageError
from ci_envs.model.matrix import AXES, SETTINGS, Entry, Matrix
from ci_envs.planning.expansion import expand

CASES = sorted(path.parent for path in Path(__file__).parents[2].glob("cases/plan/*/matrix.yml"))


# --- include and exclude


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_expands_to_the_legs_beside_it(case: Path) -> None:
    expected = json.loads((case / "legs.json").read_text(encoding="utf-8"))
    legs = expanded((case / "matrix.yml").read_text(encoding="utf-8")).legs
    found = [json.loads(msgspec.json.encode(leg)) for leg in legs]
    assert [{key: leg[key] for key in row} for leg, row in zip(found, expected, strict=True)] == expected


def test_there_are_cases() -> None:
    assert len(CASES) >= 12


LETTERS = st.sampled_from("pqr")
VALUES = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), LETTERS, max_size=3)


def reference(axes: dict[str, list[str]], exclude: list[dict[str, str]], include: list[dict[str, str]]) -> list[Any]:
    """GitHub's description, sentence by sentence, without a thought for speed."""
    products = itertools.product(*axes.values()) if axes else ()
    originals = [dict(zip(axes, values, strict=True)) for values in products]
    originals = [one for one in originals if not any(rule.items() <= one.items() for rule in exclude)]
    combinations = [dict(one) for one in originals]
    alone = []
    for entry in include:
        added = False
        for original, combination in zip(originals, combinations, strict=True):
            if all(original[key] == value for key, value in entry.items() if key in original):
                combination.update(entry)
                added = True
        if not added:
            alone.append(dict(entry))
    return combinations + alone


@given(
    axes=st.dictionaries(st.sampled_from("abc"), st.lists(LETTERS, min_size=1, unique=True), max_size=3),
    exclude=st.lists(VALUES, max_size=3),
    include=st.lists(VALUES, max_size=5),
)
@settings(max_examples=400)
def test_expansion_agrees_with_a_plain_reading_of_the_rules(
    axes: dict[str, list[str]], exclude: list[dict[str, str]], include: list[dict[str, str]]
) -> None:
    rules = [rule for rule in exclude if rule and rule.keys() <= axes.keys()]
    wanted = reference(axes, rules, include)
    matrix = Matrix(
        file="m.yml",
        axes={f"variables.{name}": tuple(values) for name, values in axes.items()},
        exclude=tuple(Entry(values={f"variables.{k}": v for k, v in rule.items()}) for rule in rules),
        include=tuple(Entry(values={f"variables.{k}": v for k, v in entry.items()}) for entry in include),
        defaults=Entry(values={"pattern": "uv", "python": "3.12"}),
    )
    twins = max(Counter(tuple(sorted(one.items())) for one in wanted).values(), default=0) > 1
    if twins or not (axes or include):
        with pytest.raises(UsageError):
            expand(matrix, os="linux", arch="x86_64")
        return
    expansion = expand(matrix, os="linux", arch="x86_64")
    assert [leg.variables for leg in expansion.legs] == wanted
    assert len(set(ids(expansion.cells))) == len(wanted)
    assert not {row.id for row in expansion.left_out} & set(ids(expansion.cells))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["uv", "venv", "3.12", "3.1", "linux", "."])
)
SECTIONS = ["name", "axes", "variables", "include", "exclude", "defaults"]
WORDS = st.sampled_from([*SECTIONS, *AXES, *SETTINGS, "reason", "runs-on", "timeout-minutes", "timeout", "a"])
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=15
)


@given(DATA | st.fixed_dictionaries({"axes": DATA}) | st.fixed_dictionaries({"include": st.lists(DATA, max_size=3)}))
def test_any_document_makes_legs_or_one_of_our_errors(data: Any) -> None:
    try:
        expansion = expanded(json.dumps(data))
    except CiEnvsError as error:
        assert error.message  # noqa: PT017 - any other exception fails the test by itself
    else:
        assert len(set(ids(expansion.cells))) == len(expansion.cells)


def test_what_is_left_out_is_named_with_its_reason() -> None:
    expansion = expanded("""
axes: {pattern: [venv, uv], python: ["3.11", "3.12"]}
exclude:
  - {pattern: venv, reason: described for uv}
  - {python: "3.11"}
""")
    assert ids(expansion.cells) == ["uv-py312-linux-x86_64"]
    assert [(row.id, row.reason) for row in expansion.left_out] == [
        ("venv-py311-linux-x86_64", "described for uv"),
        ("venv-py312-linux-x86_64", "described for uv"),
        ("uv-py311-linux-x86_64", "excluded at m.yml:5"),
    ]


def test_a_combination_that_says_too_little_for_an_id_is_left_out_by_its_values() -> None:
    expansion = expanded("""
axes: {os: [linux, macos]}
exclude: [{os: macos}]
include: [{pattern: uv, python: "3.12"}]
""")
    assert [row.id for row in expansion.left_out] == ["os: macos"]


# --- what is refused


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("name: nothing", 0, "has no axes and no include"),
        ("axes: {python: ['3.12']}", 0, "the matrix says no pattern"),
        ("axes: {pattern: [uv]}", 0, "the matrix says no python"),
        (
            "axes: {pattern: [uv], python: ['3.12']}\ninclude:\n  - {pattern: venv}\n",
            3,
            "this include entry makes a leg of its own, and says no python",
        ),
        (
            "axes: {pattern: [uv], python: ['3.12'], project: [a-b, a_b]}",
            0,
            "two legs have the id 'uv-py312-linux-x86_64-a_b': project 'a-b' and project 'a_b'",
        ),
        (
            "include:\n  - {pattern: uv, python: '3.12'}\n  - {pattern: uv, python: '3.12'}\n",
            3,
            "one of include, line 2 and one of include, line 3",
        ),
    ],
)
def test_a_matrix_that_makes_no_sense_is_refused(text: str, line: int, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        expanded(text)
    assert said in caught.value.message
    assert (caught.value.file, caught.value.line) == ("m.yml", line)


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ((10,) * 7, "has 10,000,000 combinations; 200,000 are the most"),
        ((200_001,), "has 200,001 combinations"),
        # A product of thousands of digits cannot even be printed.
        ((1000,) * 2000, "has more than "),
    ],
)
def test_a_matrix_that_is_too_large_is_refused_before_it_is_expanded(lengths: tuple[int, ...], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        expand(matrix_with(*lengths), os="linux", arch="x86_64")


def test_ten_thousand_legs_with_thousands_of_rules_take_no_time() -> None:
    rules = tuple(Entry(values={"variables.v0": str(number)}) for number in range(5, 5000))
    matrix = msgspec.structs.replace(matrix_with(100, 100), exclude=rules, include=rules)
    expansion = expand(matrix, os="linux", arch="x86_64")
    # Five values are left; each of the others is excluded, and added back as a leg of its own.
    assert len(expansion.cells) == 500 + 4995


# --- what the matrix does not say


@pytest.mark.parametrize("machine", ["macos", "windows", "linux"])
def test_containers_are_linux_on_every_machine(machine: str) -> None:
    matrix = matrix_of('axes: {pattern: [uv, docker], python: ["3.12"]}')
    legs = expand(matrix, os=machine, arch="aarch64").legs
    assert [leg.id for leg in legs] == [f"uv-py312-{machine}-aarch64", "docker-py312-linux-aarch64"]


def test_a_matrix_that_names_a_system_is_obeyed() -> None:
    matrix = matrix_of('{axes: {pattern: [docker], python: ["3.12"]}, defaults: {os: windows}}')
    assert expand(matrix, os="linux", arch="x86_64").legs[0].os == "windows"


# --- strategies


PAIRS = """
strategy: pairwise
axes: {pattern: [venv, uv, conda], python: ["3.11", "3.12", "3.13"], project: [a, b, c]}
exclude: [{pattern: venv, project: c, reason: not for venv}]
include:
  - {pattern: uv, python: "3.14", project: a}
  - {pattern: uv, python: "3.11", timeout-minutes: 5}
"""


def test_pairwise_keeps_few_combinations_and_every_leg_of_an_include_entry() -> None:
    expansion = expanded(PAIRS)
    # Nine would be a Latin square in which venv has no c: then c could not meet three Pythons.
    assert (len(expansion.cells), expansion.combinations) == (10 + 1, 24 + 1)
    assert "uv-py314-linux-x86_64-a" in ids(expansion.cells)
    assert expansion.coverage == "every pair of values is covered"
    assert not set(ids(expansion.cells)) & set(ids(expansion.thinned))
    assert {row.reason for row in expansion.left_out} == {"not for venv"}


@pytest.mark.parametrize("strategy", ["pairwise", "ends"])
def test_a_strategy_changes_no_leg(strategy: Any) -> None:
    matrix = matrix_of(PAIRS)
    whole = {cell.leg.id: cell for cell in expand(matrix, os="linux", arch="x86_64", strategy="all").cells}
    expansion = expand(matrix, os="linux", arch="x86_64", strategy=strategy)
    found = {cell.leg.id: cell for cell in (*expansion.cells, *expansion.thinned)}
    assert found == whole


def test_ends_keep_patterns_and_projects_whole() -> None:
    expansion = expand(matrix_of(PAIRS), os="linux", arch="x86_64", strategy="ends")
    kept = [cell.leg for cell in expansion.cells]
    assert {leg.python for leg in kept} == {"3.11", "3.13", "3.14"}
    pairs = set(itertools.product(["venv", "uv", "conda"], "abc")) - {("venv", "c")}
    assert {(leg.pattern, leg.project) for leg in kept} == pairs


def test_ends_do_not_grow_with_an_axis() -> None:
    def size(count: int) -> int:
        pythons = ", ".join(f'"3.{minor}"' for minor in range(8, 8 + count))
        text = f"axes: {{pattern: [uv, venv], python: [{pythons}], project: [a, b], os: [linux, macos, windows]}}"
        return len(expand(matrix_of(text), os="linux", arch="x86_64", strategy="ends").cells)

    assert size(2) == size(3) == size(12)


def test_twins_are_refused_even_where_a_strategy_would_leave_one_out() -> None:
    with pytest.raises(UsageError, match="two legs have the id"):
        expanded("strategy: ends\naxes: {pattern: [uv], python: ['3.12'], project: [a, x-y, x_y, z]}")
    with pytest.raises(UsageError, match="two legs have the id"):
        expanded("strategy: ends\naxes: {pattern: [uv], python: ['3.12'], groups: [a, x-y, x_y, z]}")


def test_ten_thousand_combinations_are_thinned_quickly() -> None:
    expansion = expand(matrix_with(10, 10, 10, 10), os="linux", arch="x86_64", strategy="pairwise")
    assert 100 <= len(expansion.cells) <= 121
    assert expansion.combinations == 10_000
