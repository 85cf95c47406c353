"""Where the strings of a TOML text stand: ``tomllib`` gives data without positions. Pure.

tomlkit writes a document as it was read, but for what was changed. So each string is changed into a mark that takes as
many lines, and what is written then shows the line of each.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Place", "toml_places"]

#: The 1-based line that a string begins in, and the string.
Place = tuple[int, str]
#: Keys and list positions from the top of a document to a value.
Path = tuple[str | int, ...]

_MARK = re.compile(r"\x1e([0-9]+)\x1f")


@lru_cache(maxsize=32)
def toml_places(text: str) -> dict[Path, Place]:
    """The place of every string but keys, by its path; nothing where the text is no TOML.

    Elements of an array of tables are counted, as those of a list are. The result is shared: not to be changed.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
        found = list(_strings(document, ()))
        for number, (holder, key, _, value) in enumerate(found):
            holder[key] = _mark(number, value.as_string().count("\n"))
        written = tomlkit.dumps(document)
    except (TOMLKitError, ValueError, RecursionError):
        return {}
    places: dict[Path, Place] = {}
    at, line = 0, 1
    for match in _MARK.finditer(written):
        line += written.count("\n", at, match.start())
        at = match.start()
        _, _, path, value = found[int(match[1])]
        places[path] = (line, value.unwrap())
    return places


def _strings(holder: Any, path: Path) -> Iterator[tuple[Any, Any, Path, Any]]:
    """Every string below a table or a list: what holds it, under which key, its path, itself."""
    for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
        below = (*path, key)
        if isinstance(value, str):
            yield holder, key, below, value
        elif isinstance(value, dict | list):
            yield from _strings(value, below)


def _mark(number: int, more_lines: int) -> Any:
    """A string of so many line ends, with characters that stand in no TOML unescaped, written as they are."""
    import tomlkit

    raw = f"\x1e{number}\x1f" + "\n" * more_lines
    return tomlkit.string(raw, multiline=bool(more_lines), escape=False)
