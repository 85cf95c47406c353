"""YAML as text that knows its lines, and the expressions inside it.

Every scalar is text, as it is written: YAML's own types would turn the key ``on`` into a truth value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EXPRESSION", "Table", "expressions", "leaves", "table", "texts"]

EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


class Table(dict[str, Any]):
    """A mapping of YAML, with the line of each key, from 1; values are text, tables and lists of them."""

    def __init__(self, line: int = 0) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}

    def sub(self, key: str) -> Table:
        """The table under ``key``; an empty one where there is none."""
        found = self.get(key)
        return found if isinstance(found, Table) else Table(self.lines.get(key, self.line))

    def text(self, key: str) -> str:
        """The text under ``key``; empty where there is none."""
        found = self.get(key)
        return found if isinstance(found, str) else ""

    def at(self, key: str) -> int:
        """The line of ``key``, or that of the table."""
        return self.lines.get(key, self.line)


def table(text: str) -> Table:
    """One YAML document; ``yaml.YAMLError`` where it is none, or says a key twice."""
    node = yaml.compose(text, Loader=yaml.BaseLoader)
    read = _value(node) if node else Table()
    if not isinstance(read, Table):
        raise yaml.YAMLError("the document is no mapping")
    return read


def _value(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        read = Table(node.start_mark.line + 1)
        for key, value in node.value:
            if key.value in read:
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: the key {key.value!r} is there twice")
            read[key.value] = _value(value)
            read.lines[key.value] = key.start_mark.line + 1
        return read
    if isinstance(node, yaml.SequenceNode):
        return [_value(one) for one in node.value]
    return node.value


def texts(value: Any) -> Iterator[str]:
    """Every text inside a value, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from texts(one)


def leaves(value: Any, line: int) -> Iterator[tuple[int, str]]:
    """Every expression inside a value with its line, and every ``if:``, which is one without its braces."""
    if isinstance(value, Table):
        for key, one in value.items():
            if key == "if" and isinstance(one, str):
                yield value.at(key), one
            else:
                yield from leaves(one, value.at(key))
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one, line)
    elif isinstance(value, str):
        yield from ((line, found.strip()) for found in EXPRESSION.findall(value))


def expressions(value: Any) -> Iterator[str]:
    """What stands in ``${{ }}`` anywhere inside a value."""
    for text in texts(value):
        for found in EXPRESSION.findall(text):
            yield found.strip()
