"""Problem matchers as GitHub's runner reads them: actions/runner, src/Runner.Worker/IssueMatcher.cs, OutputManager.cs.

The runner's expressions are .NET's in ECMAScript mode: ``\\d``, ``\\w`` and ``\\s`` are ASCII's, and there is no
look-behind. A matcher that matches makes all others begin anew, and only the first that matches a line is heard.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Issue", "issues_in"]

_PROPERTIES = ("file", "line", "code", "message")


@dataclass(frozen=True)
class Issue:
    """One annotation."""

    file: str
    line: str
    message: str
    code: str = ""


@dataclass
class _Matcher:
    owner: str
    patterns: list[dict[str, Any]]
    state: list[dict[str, str] | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert not any("(?<" in pattern["regexp"] for pattern in self.patterns)
        assert not any(pattern.get("loop") for pattern in self.patterns)
        self.reset()

    def reset(self) -> None:
        self.state = [None] * (len(self.patterns) - 1)

    def match(self, line: str) -> dict[str, str] | None:
        for number in reversed(range(len(self.patterns))):
            before = self.state[number - 1] if number else {}
            if before is None:
                continue
            pattern = self.patterns[number]
            found = re.search(pattern["regexp"], line, re.ASCII)
            last = number == len(self.patterns) - 1
            if found:
                said = {name: found[pattern[name]] for name in _PROPERTIES if name in pattern}
                if last:
                    self.reset()
                    return {**said, **before}
                self.state[number] = {**said, **before}
            elif last:
                if number:
                    self.state[number - 1] = None
            else:
                self.state[number] = None
        return None


def issues_in(files: Iterable[Path], lines: Iterable[str]) -> list[Issue]:
    """What the runner makes of these lines with the matchers of these files."""
    matchers: list[_Matcher] = []
    for path in files:
        for config in json.loads(path.read_text(encoding="utf-8"))["problemMatcher"]:
            assert config.keys() == {"owner", "pattern"}
            matchers.insert(0, _Matcher(config["owner"], config["pattern"]))  # the runner puts each before the others
    assert len({matcher.owner for matcher in matchers}) == len(matchers)
    found = []
    for line in lines:
        for matcher in matchers:
            said = matcher.match(line)
            if said is None:
                continue
            for other in matchers:
                if other is not matcher:
                    other.reset()
            if said.get("message", "").strip():
                found.append(Issue(**{name: said.get(name, "") for name in _PROPERTIES}))
                break
    return found
