"""Problem matchers, as actions/runner has them (IssueMatcher.cs, docs/adrs/0276-problem-matchers.md).

Expressions are .NET's there and Python's here; what both read alike is all that a matcher of ours should use.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["IssueMatcher", "read_matchers"]

_PARTS = ("file", "line", "column", "severity", "code", "message", "fromPath")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m?")


class IssueMatcher:
    """One matcher over the lines of a step."""

    def __init__(self, told: dict[str, Any]) -> None:
        unknown = told.keys() - {"owner", "severity", "pattern", "fromPath"}
        if unknown or not told.get("owner") or not told.get("pattern"):
            raise ValueError(f"not a problem matcher: {told}")
        self.owner: str = told["owner"]
        self._severity: str = told.get("severity", "")
        self._patterns: list[dict[str, Any]] = told["pattern"]
        self._compiled = [re.compile(pattern["regexp"]) for pattern in self._patterns]
        if any(pattern.get("loop") for pattern in self._patterns[:-1]) or (
            len(self._patterns) == 1 and self._patterns[0].get("loop")
        ):
            raise ValueError(f"{self.owner}: only the last of several patterns may loop")
        self._running: list[dict[str, str] | None] = [None] * (len(self._patterns) - 1)

    def match(self, line: str) -> dict[str, str] | None:
        """The parts of a problem that ends with this line."""
        line = _COLOURS.sub("", line)
        for index in reversed(range(len(self._patterns))):
            before = self._running[index - 1] if index else {}
            if before is None:
                continue
            last = index == len(self._patterns) - 1
            found = self._compiled[index].search(line)
            if found and last:
                return self._complete(index, before, found)
            if not last:
                self._running[index] = self._parts(index, before, found) if found else None
            elif index:
                self._running[index - 1] = None
        return None

    def _complete(self, index: int, before: dict[str, str], found: re.Match[str]) -> dict[str, str]:
        self._running = [None] * (len(self._patterns) - 1)
        if self._patterns[index].get("loop"):
            self._running[index - 1] = before
        parts = self._parts(index, before, found)
        return {**parts, "severity": (parts.get("severity") or self._severity).lower()}

    def _parts(self, index: int, before: dict[str, str], found: re.Match[str]) -> dict[str, str]:
        numbered = ((part, self._patterns[index].get(part)) for part in _PARTS)
        read = {part: found[number] or "" for part, number in numbered if number is not None}
        return {**read, **before}


def read_matchers(path: Path) -> dict[str, IssueMatcher]:
    """The matchers of a file, by their owners; :class:`ValueError` where it is none."""
    told = json.loads(path.read_text("utf-8"))
    if not isinstance(told, dict) or told.keys() != {"problemMatcher"}:
        raise ValueError(f"{path.name} holds no problem matchers")
    matchers = [IssueMatcher(one) for one in told["problemMatcher"]]
    return {matcher.owner: matcher for matcher in matchers}
