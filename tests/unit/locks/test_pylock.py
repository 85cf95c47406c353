from __future__ import annotations

import copy
import tomllib
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.locks.intent import MARKERS, refusal
from tests.unit.locks.test_cases import CASES

from ci_envs.errors import LockError
from ci_envs.locks.pylock import is_pylock_name, read_pylock

UV = (CASES / "pylock" / "pylock.toml").read_text("utf-8")
GROUPS = (CASES / "pylock-groups" / "pylock.ci.toml").read_text("utf-8")


def names(text: str, **options: Any) -> list[str]:
    return [pin.name for pin in read_pylock(text, path="pylock.toml", markers=MARKERS, **options).lock.pins]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["apple", "pytool"]),
        ({"groups": []}, ["apple"]),
        ({"groups": ["docs"]}, ["apple", "eggy"]),
        ({"extras": ["Net"], "groups": ["dev", "docs"]}, ["apple", "cherry", "eggy", "pytool"]),
    ],
)
def test_extras_and_groups_choose(options: dict[str, Any], expected: list[str]) -> None:
    assert names(GROUPS, **options) == expected


@pytest.mark.parametrize("options", [{"groups": ["tests"]}, {"extras": ["tls"]}])
def test_a_group_or_extra_that_the_lock_was_not_made_for_is_an_error(options: dict[str, Any]) -> None:
    with pytest.raises(LockError, match="was not made for the"):
        names(GROUPS, **options)


def test_files_of_other_platforms_are_allowed_by_the_lock() -> None:
    pin = read_pylock(UV, path="pylock.toml", markers=MARKERS).lock.pin("berry-lib")
    assert pin is not None
    assert len(pin.hashes) == 3  # two wheels, of which one is for Windows, and the sdist


def test_no_index_and_no_password_is_in_a_pin() -> None:
    read = read_pylock(UV, path="pylock.toml", markers=MARKERS)
    assert "index.example" not in repr(read)
    assert "secret-word" not in repr(read)


def test_each_pin_has_its_line() -> None:
    read = read_pylock(UV, path="pylock.toml", markers=MARKERS)
    lines = UV.splitlines()
    assert all(lines[line] == f'name = "{name}"' for name, line in read.lines.items())
    assert len(read.lines) == len(read.lock.pins)


def test_packages_written_in_one_line_have_no_line_but_are_read() -> None:
    text = tomli_w.dumps(tomllib.loads(UV)).replace("[[packages]]", "[[ packages ]]")
    assert names(text) == names(UV)
    inline = 'lock-version = "1.0"\ncreated-by = "x"\npackages = [{name = "a", directory = {path = "a"}}]\n'
    assert names(inline) == ["a"]
    assert not read_pylock(inline, path="pylock.toml", markers=MARKERS).lines


def test_a_newer_minor_version_is_read_with_a_note_and_a_quiet_log(capfd: pytest.CaptureFixture[str]) -> None:
    read = read_pylock(UV.replace('"1.0"', '"1.1"', 1), path="pylock.toml", markers=MARKERS)
    assert read.notes == ("lock-version 1.1 is newer than 1.0: what it adds is not looked at",)
    assert capfd.readouterr() == ("", "")


def test_two_packages_of_one_name_that_both_apply_are_an_error() -> None:
    twice = f"{UV}[[packages]]{UV.split('[[packages]]')[1]}"
    with pytest.raises(LockError, match="Multiple packages with the name 'apple'"):
        names(twice)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("pylock.toml", True), ("pylock.ci.toml", True), ("pylock.a.b.toml", False), ("pylock..toml", False)],
)
def test_names_are_those_of_pep_751(name: str, expected: bool) -> None:
    assert is_pylock_name(name) is expected


SCALARS = st.one_of(
    st.text(max_size=8), st.integers(), st.booleans(), st.just([]), st.just({}), st.just(["x"]), st.just([{"x": 1}]),
    st.sampled_from(["1.0", "apple", ">=3", "python_version > 3", "'a' in extras", "file:///x-1.tar.gz", "http://["]),
)  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in [(*path, key), *_places(inner, (*path, key))]]


PLACES = _places(tomllib.loads(UV))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), SCALARS), min_size=1, max_size=3))
def test_a_value_of_any_kind_in_any_place_is_read_or_refused(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    table = copy.deepcopy(tomllib.loads(UV))
    for place, value in changes:
        _put(table, place, value)
    text = tomli_w.dumps(table)
    error = refusal(lambda: names(text))
    assert error is None or "secret-word" not in f"{error} {error.hint}"


def _put(table: Any, place: tuple[Any, ...], value: Any) -> None:
    for key in place[:-1]:
        try:
            table = table[key]
        except (KeyError, IndexError, TypeError):
            return
    last = place[-1]
    is_there = isinstance(last, int) and isinstance(table, list) and last < len(table)
    if is_there or (isinstance(last, str) and isinstance(table, dict)):  # an earlier change may have put another in
        table[last] = copy.deepcopy(value)  # or a later change would be put into this one


@settings(deadline=None)
@given(st.text(max_size=100))
def test_any_text_is_read_or_refused_with_an_error_of_ours(text: str) -> None:
    assert refusal(lambda: names(text)) is not None
