from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs import documents
from ci_envs.documents import Document, load_yaml
from ci_envs.errors import UsageError

BILLION_LAUGHS = """
a: &a [x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]
"""


def read(text: str) -> Any:
    return load_yaml(text, file="m.yml").data


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("Null", None),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("-3", -3),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("1:30", "1:30"),
        ("2026-01-31", "2026-01-31"),
        ("3.10", 3.1),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        ("-.inf", float("-inf")),
        ("3.12.1", "3.12.1"),
        (".", "."),
        ("+", "+"),
        ('"3.10"', "3.10"),
        ("'true'", "true"),
        ("=", "="),
    ],
)
def test_a_plain_scalar_is_what_the_yaml_1_2_core_schema_says(written: str, value: object) -> None:
    found = read(f"key: {written}")["key"]
    assert (found, type(found)) == (value, type(value))


def test_keys_like_on_stay_text() -> None:
    assert read("on: 1\nno: 2\n") == {"on": 1, "no": 2}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (BILLION_LAUGHS, 2, "the anchor &a is not read"),
        ("a: 1\nb: *x\n", 2, "the alias *x is not read"),
        ("a:\n  <<: {b: 1}\n", 2, "the merge key << is not read"),
        ("a: 1\nb: 2\na: 3\n", 3, "the key 'a' stands here a second time"),
        ("axes:\n\tpython: []\n", 2, "a tab stands where YAML wants spaces"),
        ("axes:\n  a: 1\n  \tb: 2\n", 3, "a tab stands where YAML wants spaces"),
        (
            "a: 1\nb: !!python/object/apply:os.system [x]\n",
            2,
            "the tag 'tag:yaml.org,2002:python/object/apply:os.system'",
        ),
        ("a: ! x\n", 1, "the tag '!' is not read"),
        ("a: 1\n---\nb: 2\n", 2, "a second document begins here"),
        ("a: {b: c\n", 2, "is not valid YAML"),
        ("a: b: c\n", 1, "is not valid YAML: mapping values are not allowed"),
        ("a: 1\n3.10: x\n", 2, "the key '3.10' is not text here"),
        ("? [a]\n: b\n", 1, "a key must be text"),
        ("a: b\n# \x07\n", 2, "holds a character that YAML does not allow"),
        ("a: " + "9" * 5000, 1, "a number of 5000 digits is not read"),
        ("a:\n  " + "[" * 60 + "]" * 60, 2, "is nested deeper than 50 levels"),
    ],
)
def test_what_is_not_read_is_refused_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(text)
    assert said in caught.value.message
    assert (caught.value.file, caught.value.line) == ("m.yml", line)


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(UsageError, match="surrogate"):
        read("a: \ud800")


def test_more_nodes_than_the_budget_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_NODES", 10)
    assert read("[1, 2, 3, 4, 5, 6, 7, 8, 9]") == list(range(1, 10))
    with pytest.raises(UsageError, match="holds more than 10 values"):
        read("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]")


def test_a_file_over_the_limit_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_BYTES", 10)
    with pytest.raises(UsageError, match="has 11 bytes; 10 are the most"):
        read("\t" * 11)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null"])
def test_a_file_that_says_nothing_holds_none(text: str) -> None:
    assert read(text) is None


def test_a_value_is_found_by_its_line_and_as_it_was_written() -> None:
    document = load_yaml('axes:\n  python:\n    - 3.10\n    - "3.11"\n  os: [linux,\n    macos]\n', file="m.yml")
    assert document.line("axes") == 1
    assert document.line("axes", "python") == 2
    assert document.line("axes", "python", 0) == 3
    assert document.written("axes", "python", 0) == "3.10"
    assert document.line("axes", "os", 1) == 6
    assert document.line("axes", "python", 7) == 2, "what is not there is looked for in what it would be in"
    assert document.value("axes", "os", 1) == "macos"
    assert document.value("axes", "os", "x") is None


def test_data_from_elsewhere_has_no_lines() -> None:
    document = Document({"a": 1}, file="pyproject.toml")
    error = document.error("is wrong", "a")
    assert (error.file, error.line) == ("pyproject.toml", 0)


# JSON writes what lies beyond the basic plane as two halves, which YAML does not know.
TEXT = st.text(alphabet=st.characters(max_codepoint=0xFFFF, codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_json_is_read_as_json_reads_it(value: Any) -> None:
    text = json.dumps(value)
    assert read(text) == json.loads(text)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        read(text)
    except UsageError as error:
        assert error.file == "m.yml"  # noqa: PT017 - any other exception fails the test by itself


@given(st.text(alphabet="ab:-[]{}\"'#&*!|>%@`?, \n\t0.~<", max_size=60))
def test_any_punctuation_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        read(text)
    except UsageError as error:
        assert error.message  # noqa: PT017 - as above
