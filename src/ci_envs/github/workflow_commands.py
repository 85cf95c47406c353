"""Workflow commands: lines that ``console.py`` writes and the runner reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.plain import one_line, plain, without_commands

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci_envs.model.record import Finding

__all__ = ["annotate", "annotation", "group"]

#: GitHub shows this many annotations of each level for one step and drops the rest without a word.
ANNOTATION_LIMIT = 10

_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}


def annotation(finding: Finding, base: str = "") -> str:
    """The workflow command that shows a finding beside its line; ``base`` is the project's path in the repository."""
    file = f"{base}/{finding.file}" if finding.file and base not in ("", ".") else finding.file
    properties = {"file": file, "line": str(finding.line) if file and finding.line else ""}
    properties["title"] = one_line(f"{finding.code}: {finding.title}", 200)
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    return f"::{_LEVELS[finding.severity]} {written}::{_data(plain(finding.message or finding.title))}"


def annotate(findings: Iterable[tuple[Finding, str]]) -> list[str]:
    """The commands for many findings, each with its base; no more of a level than GitHub shows.

    Where there are more, the last of the level says how many: GitHub would drop them without a word.
    """
    levels: dict[str, list[str]] = {level: [] for level in _LEVELS}
    for finding, base in findings:
        levels[finding.severity].append(annotation(finding, base))
    kept = []
    for level, commands in levels.items():
        more = len(commands) - ANNOTATION_LIMIT + 1 if len(commands) > ANNOTATION_LIMIT else 0
        kept += commands[: len(commands) - more]
        if more:
            kept.append(f"::{_LEVELS[level]} title=and {more} more::The summary has all of them.")
    return kept


def group(title: str, body: str) -> str:
    """A folded group of log lines; the body is outside text, and nothing in it is taken for a command."""
    lines = without_commands(plain(body)).strip("\n")
    return f"::group::{_data(one_line(title))}\n{lines}\n::endgroup::"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(plain(text)).replace(":", "%3A").replace(",", "%2C")
