from __future__ import annotations

import tomllib
from typing import Any

import pytest

from ci_envs.toml_places import MAX_DEPTH, toml_places

TEXT = '''\
# [project]
[project]
name = "x" # "y"
dependencies = [ # ["a"]
  "a>1", 'b; x == "1"',
  # "c"
  "c",
]
[project.optional-dependencies]
"my.extra" = ["d\\u0061"]
z = """
multi"""
q . r = {a = 1, b = ["s"], "c" = {d = 't'}}

[[tool.x]]
n = 1979-05-27T07:32:00Z
[[tool.x]]
n = [1,[2,"k"]]
[tool.x.y]
o = "below the second"
'''


def test_every_value_has_the_line_where_a_person_looks_for_it() -> None:
    lines = {path: place for path, place in toml_places(TEXT).items() if place[1]}
    assert lines == {
        ("project", "name"): (3, "x"),
        ("project", "dependencies", 0): (5, "a>1"),
        ("project", "dependencies", 1): (5, 'b; x == "1"'),
        ("project", "dependencies", 2): (7, "c"),
        ("project", "optional-dependencies", "my.extra", 0): (10, "da"),
        ("project", "optional-dependencies", "z"): (11, "multi"),
        ("project", "optional-dependencies", "q", "r", "b", 0): (13, "s"),
        ("project", "optional-dependencies", "q", "r", "c", "d"): (13, "t"),
        ("tool", "x", 1, "n", 1, 1): (18, "k"),
        ("tool", "x", 1, "y", "o"): (20, "below the second"),
    }
    assert toml_places(TEXT)[("project", "dependencies")] == (4, "")
    assert toml_places(TEXT)[("tool", "x", 0, "n")] == (16, "")


def at(data: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


def test_the_paths_are_those_of_the_data() -> None:
    data = tomllib.loads(TEXT)
    for path, (_, text) in toml_places(TEXT).items():
        value = at(data, path)
        assert value == text or (not text and not isinstance(value, str))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_of_windows_are_lines_too(end: str) -> None:
    text = end.join(("[a]", "b = [", '  "c",', '  "d",', "]", ""))
    assert toml_places(text)[("a", "b", 1)] == (4, "d")


@pytest.mark.parametrize("text", ["a = [", "a = 'b", "= 1", "[a", "a = {b", 'a = "\\q"', "a", "a = [" * 1000, "\0"])
def test_what_is_no_toml_is_read_up_to_its_fault(text: str) -> None:
    places = toml_places(f'first = "there"\n{text}')
    assert places[("first",)] == (1, "there")
    assert max(map(len, places)) <= MAX_DEPTH + 2


def test_a_long_file_is_read_at_once() -> None:
    text = "a = [\n" + "".join(f'  "package-{number}>=1",\n' for number in range(20_000)) + "]\n"
    assert toml_places(text)[("a", 19_999)] == (20_001, "package-19999>=1")
