from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest

import ci_envs
from ci_envs import decoding
from ci_envs.decoding import convert, decode, decoder


class Fruit(msgspec.Struct, frozen=True):
    name: str
    weight: int = 0


def test_json_and_what_was_read_become_what_the_type_says() -> None:
    assert decode('{"name": "fig"}', Fruit) == decode(b'{"name": "fig"}', Fruit) == Fruit("fig")
    assert convert({"name": "fig", "weight": 3}, Fruit) == Fruit("fig", 3)
    assert decode('{"a": [1]}', dict[str, list[int]]) == {"a": [1]}
    assert decoder(Fruit) is decoder(Fruit)


def test_what_is_not_of_the_type_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.weight"):
        decode('{"name": "fig", "weight": "3"}', Fruit)
    with pytest.raises(msgspec.DecodeError):
        decode("{", Fruit)
    with pytest.raises(msgspec.ValidationError, match="missing required field `name`"):
        convert({}, Fruit)


def typed_by_msgspec(source: str) -> list[int]:
    """The lines in which msgspec is asked for a type."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    typed = {"msgspec.json.decode": 2, "msgspec.json.Decoder": 1, "msgspec.convert": 1}
    return [
        call.lineno
        for call in calls
        if len(call.args) + len(call.keywords) >= typed.get(ast.unparse(call.func), len(typed) * 99)
    ]


def test_nobody_else_asks_msgspec_for_a_type() -> None:
    """Threads that do so at once end the process: see the module."""
    package = Path(ci_envs.__file__).parent
    # The model imports nothing of ours; its types are private there, and learnt when the module is imported.
    alone = {Path(decoding.__file__), package / "model" / "conda_record.py"}
    files = set(package.rglob("*.py")) - alone
    assert len(files) > 100
    assert {str(file): lines for file in sorted(files) if (lines := typed_by_msgspec(file.read_text("utf-8")))} == {}
    assert typed_by_msgspec("import msgspec\nmsgspec.json.decode(a)\nmsgspec.json.decode(a, type=B)\n") == [3]
