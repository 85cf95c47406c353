from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_envs.planning.pair_space import checker
from ci_envs.planning.strategies import ends, least, pairwise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ci_envs.planning.pair_space import Row

LENGTHS = st.lists(st.integers(min_value=1, max_value=4), min_size=1, max_size=5)


@st.composite
def spaces(draw: st.DrawFn) -> tuple[list[int], list[dict[int, int]]]:
    lengths = draw(LENGTHS)
    axes = st.integers(min_value=0, max_value=len(lengths) - 1)
    rules = [
        {axis: draw(st.integers(min_value=0, max_value=lengths[axis] - 1)) for axis in sorted(chosen)}
        for chosen in draw(st.lists(st.sets(axes, min_size=1, max_size=3), max_size=6))
    ]
    return lengths, rules


def allowed(lengths: Sequence[int], rules: list[dict[int, int]]) -> list[Row]:
    """Every combination that no rule forbids, without a thought for speed."""
    rows = itertools.product(*map(range, lengths))
    return [row for row in rows if not any(all(row[a] == v for a, v in rule.items()) for rule in rules)]


def pairs(rows: Iterable[Row]) -> set[tuple[tuple[int, int], ...]]:
    """The pairs of values that rows have; single values where there is one axis."""
    return {pair for row in rows for pair in itertools.combinations(enumerate(row), min(2, len(row)))}


@given(spaces())
@settings(max_examples=500, deadline=None)
def test_every_pair_that_is_allowed_is_covered_and_nothing_else_is_taken(
    space: tuple[list[int], list[dict[int, int]]],
) -> None:
    lengths, rules = space
    every = allowed(lengths, rules)
    rows = pairwise(lengths, rules)
    assert set(rows) <= set(every)
    assert pairs(rows) == pairs(every)
    assert rows == sorted(set(rows)), "in the order of the combinations, none twice"
    assert rows == pairwise(lengths, rules), "the same input, the same output"
    assert least(lengths, rules) <= len(rows)


@given(spaces())
@settings(max_examples=200, deadline=None)
def test_no_row_could_be_left_out(space: tuple[list[int], list[dict[int, int]]]) -> None:
    lengths, rules = space
    rows = pairwise(lengths, rules)
    for row in rows:
        assert pairs(other for other in rows if other is not row) != pairs(rows)


@given(spaces())
@settings(max_examples=300, deadline=None)
def test_ends_cover_the_pairs_of_the_ends_and_what_the_whole_axes_have_together(
    space: tuple[list[int], list[dict[int, int]]],
) -> None:
    lengths, rules = space
    whole = [axis for axis in (0, 2) if axis < len(lengths)]
    every = allowed(lengths, rules)
    rows = ends(lengths, rules, whole=whole)
    assert set(rows) <= set(every)
    at_ends = [row for row in every if all(a in whole or v in (0, lengths[a] - 1) for a, v in enumerate(row))]
    assert pairs(at_ends) <= pairs(rows)
    for count in (1, 2):
        for axes in itertools.combinations(whole, count):
            assert {tuple(row[a] for a in axes) for row in rows} == {tuple(row[a] for a in axes) for row in every}


@pytest.mark.parametrize(
    ("lengths", "most"),
    [
        # What tables of covering arrays have, or a little more (https://math.nist.gov/coveringarrays/).
        ((3, 3, 3), 9),
        ((3, 3, 3, 3), 9),
        ((5, 4, 3), 20),
        ((4, 4, 4), 16),
        ((5, 5, 5, 5, 5, 5), 25),
        ((6, 5, 4, 3, 2), 30),
        ((10, 10, 10, 10), 110),
        ((2,) * 3, 4),
        ((2,) * 4, 5),
        ((2,) * 10, 7),
        ((3,) * 13, 19),
        ((100, 100), 10_000),
        ((7,), 7),
        ((1, 1), 1),
    ],
)
def test_there_are_as_few_as_are_known(lengths: tuple[int, ...], most: int) -> None:
    rows = pairwise(lengths)
    assert len(rows) <= most
    assert len(pairs(rows)) == (sum(a * b for a, b in itertools.combinations(lengths, 2)) or most)


@pytest.mark.parametrize(
    "lengths", [(3, 3, 3), (5, 4, 3), (7, 7, 7, 7), (22, 22, 21), (58, 58, 58), (400, 250, 2), (390, *(2,) * 9)]
)
def test_the_least_number_is_reached_where_the_axes_allow_it(lengths: tuple[int, ...]) -> None:
    first, second = sorted(lengths)[-2:]
    assert len(pairwise(lengths)) == least(lengths) == first * second


def test_rules_that_leave_few_combinations_are_kept_to() -> None:
    # Each axis may change from 1 to 0 only, so of 131,072 combinations 18 are left, and each is needed.
    rules = [{axis: 0, axis + 1: 1} for axis in range(16)]
    rows = pairwise((2,) * 17, rules)
    assert rows == [tuple(int(place < ones) for place in range(17)) for ones in range(18)]


def test_rules_that_no_two_axes_show_are_kept_to() -> None:
    size = 12
    rules = [{0: a, 1: b, 2: c} for a, b, c in itertools.product(range(size), repeat=3) if (7 * a + 3 * b + c) % 5]
    rows = pairwise((size,) * 3, rules)
    assert all(map(checker(rules), rows))
    assert pairs(rows) == pairs(row for row in itertools.product(range(size), repeat=3) if checker(rules)(row))
    assert len(rows) <= 1.2 * size * size


def test_what_excludes_everything_leaves_nothing() -> None:
    assert pairwise((2, 2), [{0: 0}, {0: 1}]) == []
    assert pairwise((1, 3), [{0: 0}]) == []
    assert ends((1, 3), [{0: 0}], whole=[0]) == []


@pytest.mark.parametrize("length", [2, 3, 10, 1000])
def test_the_size_of_ends_does_not_grow_with_an_axis(length: int) -> None:
    assert len(ends((3, length, 2, length), whole=[0])) == len(ends((3, 2, 2, 2), whole=[0]))


def test_a_value_that_the_ends_exclude_is_in_a_leg_all_the_same() -> None:
    # The second pattern is for the middle Python only.
    rows = ends((2, 3), [{0: 1, 1: 0}, {0: 1, 1: 2}], whole=[0])
    assert rows == [(0, 0), (0, 2), (1, 1)]


def test_the_number_of_combinations_is_not_what_takes_time() -> None:
    lengths = (3,) * 11
    assert math.prod(lengths) == 177_147
    assert len(pairwise(lengths)) <= 18
