"""Which paths share a layer: the popular ones have their own, and nothing depends on the order of the list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs.errors import BuildError
from ci_envs.model.closure import Closure, StorePath
from ci_envs.nix.layers import by_popularity, grouped

if TYPE_CHECKING:
    from random import Random


def closure_of(references: dict[str, list[str]]) -> Closure:
    paths = (
        StorePath(path=path, name=path, nar_hash="sha256:", nar_size=1, references=tuple(found))
        for path, found in references.items()
    )
    return Closure(paths=tuple(paths))


def named(groups: tuple[tuple[StorePath, ...], ...]) -> list[list[str]]:
    return [[one.path for one in group] for group in groups]


#: foo needs bar and baz, bar needs baz, and baz needs tux: the example that dockerTools explains itself with.
EXAMPLE = {"foo": ["bar", "baz"], "bar": ["baz"], "baz": ["tux", "baz"], "tux": []}


@st.composite
def closures(draw: st.DrawFn) -> Closure:
    """Paths that refer to later ones, to themselves, and to some that are not there."""
    count = draw(st.integers(0, 30))
    names = [f"p{number:02}" for number in range(count)]
    return closure_of(
        {
            name: draw(st.lists(st.sampled_from([*names[at:], "elsewhere"]), unique=True, max_size=6))
            for at, name in enumerate(names)
        }
    )


def test_what_most_others_need_comes_first() -> None:
    assert by_popularity(closure_of(EXAMPLE)) == ("tux", "baz", "bar", "foo")


def test_a_path_counts_for_each_that_refers_to_it_and_for_their_distance_from_a_root() -> None:
    # "deep" has one path that refers to it and "wide" two, but "deep" lies three steps below the root.
    references = {"a": ["wide", "b"], "b": ["c"], "c": ["deep"], "d": ["wide"], "deep": [], "wide": []}
    assert by_popularity(closure_of(references)) == ("deep", "wide", "c", "b", "a", "d")


def test_each_path_has_a_layer_where_there_is_room() -> None:
    assert named(grouped(closure_of(EXAMPLE), 4)) == [["tux"], ["baz"], ["bar"], ["foo"]]
    assert named(grouped(closure_of(EXAMPLE), 3)) == [["tux"], ["baz"], ["bar", "foo"]]
    assert named(grouped(closure_of(EXAMPLE), 1)) == [["bar", "baz", "foo", "tux"]]
    assert grouped(Closure(), 5) == ()


def test_ways_are_counted_and_not_walked() -> None:
    # 2 to the power of 100 of them lead to the last row.
    references = {f"{row:03}{side}": [f"{row + 1:03}{other}" for other in "ab"] for row in range(100) for side in "ab"}
    last: dict[str, list[str]] = {"100a": [], "100b": []}
    assert by_popularity(closure_of({**references, **last}))[:2] == ("100a", "100b")


def test_a_circle_is_no_closure() -> None:
    with pytest.raises(BuildError, match="refers to itself by way of others"):
        by_popularity(closure_of({"a": ["b"], "b": ["a"], "c": []}))


@given(closures(), st.integers(1, 12))
def test_every_path_is_in_exactly_one_of_at_most_that_many_layers(closure: Closure, most: int) -> None:
    groups = grouped(closure, most)
    assert len(groups) <= most
    assert sorted(one for group in groups for one in group) == sorted(closure.paths)
    assert all(len(group) == 1 for group in groups[:-1])


@given(closures(), st.integers(1, 12), st.randoms())
def test_the_order_of_the_list_means_nothing(closure: Closure, most: int, chance: Random) -> None:
    shuffled = list(closure.paths)
    chance.shuffle(shuffled)
    assert grouped(Closure(paths=tuple(shuffled)), most) == grouped(closure, most)


@given(closures())
def test_nothing_is_more_popular_than_what_it_needs(closure: Closure) -> None:
    order = {path: place for place, path in enumerate(by_popularity(closure))}
    for one in closure.paths:
        needed = [other for other in one.references if other in order and other != one.path]
        assert all(order[other] < order[one.path] for other in needed)
