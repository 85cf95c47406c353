from __future__ import annotations

import tomllib
from typing import Any

import pytest

from ci_envs.toml_places import toml_places

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
    assert toml_places(TEXT) == {
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


def at(data: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


def test_the_paths_are_those_of_the_data() -> None:
    data = tomllib.loads(TEXT)
    for path, (_, text) in toml_places(TEXT).items():
        assert at(data, path) == text


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_of_windows_are_lines_too(end: str) -> None:
    text = end.join(("[a]", "b = [", '  "c",', '  "d",', "]", ""))
    assert toml_places(text)[("a", "b", 1)] == (4, "d")


@pytest.mark.parametrize("text", ["a = [", "a = 'b", "= 1", "[a", "a = {b", 'a = "\\q"', "a", "a = [" * 1000, "\0"])
def test_what_is_no_toml_has_no_places(text: str) -> None:
    assert toml_places(f'first = "there"\n{text}') == {}


def test_strings_of_every_kind_and_tables_in_any_order_are_found() -> None:
    text = (
        "[a.b]\nx = '''\none\n\ntwo'''\ny = [\"\"\"three\\\n  four\"\"\", 'five'] # 'six'\n"
        "[c]\nz = '\\u001e1\\u001f'\n[a]\n'x.y' = \"\"\n[[c.d]]\n[[c.d]]\nq.\"r s\" = 'seven'\n"
    )
    assert toml_places(text) == {
        ("a", "b", "x"): (2, "one\n\ntwo"),
        ("a", "b", "y", 0): (6, "threefour"),
        ("a", "b", "y", 1): (7, "five"),
        ("c", "z"): (9, "\\u001e1\\u001f"),
        ("a", "x.y"): (11, ""),
        ("c", "d", 1, "q", "r s"): (14, "seven"),
    }
    for path, (_, value) in toml_places(text).items():
        assert at(tomllib.loads(text), path) == value


def test_a_long_file_is_read_at_once() -> None:
    text = "a = [\n" + "".join(f'  "package-{number}>=1",\n' for number in range(20_000)) + "]\n"
    assert toml_places(text)[("a", 19_999)] == (20_001, "package-19999>=1")
