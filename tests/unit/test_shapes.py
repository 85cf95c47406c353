from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest

from ci_envs.documents import Document, load_yaml
from ci_envs.errors import UsageError
from ci_envs.shapes import dotted, read_as


class Inner(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    some_words: tuple[str, ...] = ()
    limit: Annotated[int, msgspec.Meta(ge=1)] = 1
    switch: bool | Literal["auto"] = "auto"


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    needed: str
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    tags: dict[str, str] = {}
    lists: dict[str, tuple[int, ...]] = {}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("needed: x\ninner: {some-word: []}", 2, "unknown key 'some-word' in inner; did you mean 'some-words'?"),
        ("needed: x\nmany:\n  - {}\n  - {limits: 1}", 4, "unknown key 'limits' in many[1]; did you mean 'limit'?"),
        ("inner: {}", 1, "the file: Object missing required field"),
        ("needed: 3.10", 1, 'needed: 3.10 is the number 3.1 here; write "3.10"'),
        ("needed: 0x10", 1, 'needed: 0x10 is the number 16 here; write "0x10"'),
        ("needed: yes\ntags: {a: x, b: 1}", 2, 'tags.b: 1 is a number here; write "1"'),
        ("needed: true", 1, 'needed: true is no text here; write "true"'),
        ("needed: []", 1, "needed must be text, not a list"),
        ("needed: ~", 1, "needed must be text, not nothing"),
        ("needed: x\ninner: []", 2, "inner must be a table of keys or nothing, not a list"),
        ("needed: x\nmany: {}", 2, "many must be a list, not a table of keys"),
        ("needed: x\nlists:\n  a: [1]\n  b: [1, x]", 4, "lists.b[1] must be a whole number, not text"),
        ("needed: x\ninner: {limit: 0}", 2, "inner.limit must be a whole number >= 1"),
        ("needed: x\ninner: {switch: atuo}", 2, "'atuo' is none of true, false, auto; did you mean 'auto'?"),
        ("needed: x\ninner: {switch: 3}", 2, "inner.switch: '3' is none of true, false, auto"),
    ],
)
def test_a_complaint_says_where_and_what_to_write(text: str, line: int, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_as(load_yaml(text, file="m.yml"), Outer)
    assert said in caught.value.message
    assert caught.value.line == line


def test_data_without_lines_is_complained_of_by_its_path() -> None:
    with pytest.raises(UsageError, match=r'^pyproject\.toml: needed: 3\.1 is a number here; write "3\.1"') as caught:
        read_as(Document({"needed": 3.1}, file="pyproject.toml"), Outer)
    assert caught.value.line == 0


def test_advice_becomes_the_hint() -> None:
    with pytest.raises(UsageError) as caught:
        read_as(load_yaml("wanted: 1", file="m.yml"), Outer, advice=lambda path, value: f"{path} {value}")
    assert caught.value.hint == "('wanted',) 1"


def test_without_advice_the_known_keys_are_the_hint() -> None:
    with pytest.raises(UsageError) as caught:
        read_as(load_yaml("wanted: 1", file="m.yml"), Outer)
    assert caught.value.hint == "known here: needed, inner, many, tags, lists"


def test_a_fitting_document_becomes_the_value() -> None:
    text = "needed: x\nmany: [{limit: 2}, {switch: true}]"
    assert read_as(load_yaml(text, file="m.yml"), Outer) == Outer(needed="x", many=(Inner(limit=2), Inner(switch=True)))


def test_a_path_is_written_with_dots_and_brackets() -> None:
    assert dotted(("axes", "python", 0)) == "axes.python[0]"
    assert dotted((2, "a")) == "[2].a"
    assert dotted(()) == ""
