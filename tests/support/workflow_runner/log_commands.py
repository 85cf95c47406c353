"""Commands in a log (``::error file=a.py,line=3::text``), by the rules of actions/runner.

ActionCommand.cs says what is one, ActionCommandManager.cs what each does. A line that is one is no part of the log that
people see.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.workflow_runner.matchers import IssueMatcher, read_matchers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Annotation", "LogCommand", "LogReader", "Masks", "parse_command"]

_LEVELS = ("error", "warning", "notice")

#: What the runner registers; anything else that looks like a command is a line of the log.
COMMANDS = frozenset((
    "stop-commands", "set-env", "set-output", "save-state", "add-mask", "add-path", "add-matcher", "remove-matcher",
    "debug", "group", "endgroup", "echo", *_LEVELS,
))  # fmt: skip

# In the order in which the runner replaces them: "%25" comes last, so that "%250A" is no line end.
_DATA = (("%0D", "\r"), ("%0A", "\n"), ("%25", "%"))
_PROPERTY = (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%"))
_OLD = (("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%25", "%"))


@dataclass(frozen=True)
class LogCommand:
    """``::name key=value,key=value::data``."""

    name: str
    properties: Mapping[str, str]
    data: str


@dataclass(frozen=True)
class Annotation:
    """What GitHub shows at a file and in the run's overview. ``file`` is relative to the repository."""

    level: str
    message: str
    title: str = ""
    file: str = ""
    line: str = ""
    properties: Mapping[str, str] = field(default_factory=dict, compare=False)


class Masks:
    """What logs of a job must not show: its secrets, and what ``add-mask`` names."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._lock = threading.Lock()
        self.values: set[str] = set()
        for value in (values or {}).values():
            self.add(value)

    def add(self, value: str) -> None:
        """Each line of a value is masked by itself, too."""
        with self._lock:
            self.values |= {part for part in (value, *value.splitlines()) if part.strip()}

    def __call__(self, text: str) -> str:
        for value in sorted(self.values, key=len, reverse=True):
            text = text.replace(value, "***")
        return text


def parse_command(line: str, known: frozenset[str] | set[str] = COMMANDS) -> LogCommand | None:
    """The command that a line is: ``::name …::data`` at its beginning, or the older ``##[name …]data`` anywhere."""
    return _parse_new(line.lstrip(), known) or _parse_old(line, known)


def _parse_new(line: str, known: frozenset[str] | set[str]) -> LogCommand | None:
    end = line.find("::", 2)
    if not line.startswith("::") or end < 0:
        return None
    name, _, properties = line[2:end].partition(" ")
    return _command(name, properties.strip().split(","), line[end + 2 :], (_PROPERTY, _DATA), known)


def _parse_old(line: str, known: frozenset[str] | set[str]) -> LogCommand | None:
    start = line.find("##[")
    end = line.find("]", start)
    if start < 0 or end < 0:
        return None
    name, _, properties = line[start + 3 : end].partition(" ")
    return _command(name, properties.split(";"), line[end + 1 :], (_OLD, _OLD), known)


_Escapes = tuple[tuple[str, str], ...]


def _command(
    name: str, properties: list[str], data: str, escapes: tuple[_Escapes, _Escapes], known: frozenset[str] | set[str]
) -> LogCommand | None:
    if name.lower() not in {word.lower() for word in known}:
        return None
    split = (part.partition("=") for part in properties)
    read = {key.lower(): _unescape(value, escapes[0]) for key, _, value in split if key and value}
    return LogCommand(name.lower(), read, _unescape(data, escapes[1]))


def _unescape(text: str, escapes: _Escapes) -> str:
    for replacement, token in escapes:
        text = text.replace(replacement, token)
    return text


class LogReader:
    """Reads the log of one step, line by line."""

    def __init__(self, workspace: Path, masks: Masks, matchers: dict[str, IssueMatcher]) -> None:
        self.annotations: list[Annotation] = []
        #: What ``::set-output`` and ``::save-state`` have set: deprecated, and the runner obeys them still.
        self.outputs: dict[str, str] = {}
        self.state: dict[str, str] = {}
        #: Why the step fails, where a command makes it fail.
        self.failures: list[str] = []
        self.groups: list[str] = []
        self._workspace, self._masks, self._matchers = workspace, masks, matchers
        self._known = set(COMMANDS)
        self._stopped_until = ""

    def read(self, line: str) -> bool:
        """Whether the line was a command; it is obeyed then, and matched with the problem matchers else."""
        command = parse_command(line, self._known)
        if command is None or (self._stopped_until and command.name != self._stopped_until.lower()):
            self._match(line)
            return False
        if self._stopped_until:
            self._known.discard(self._stopped_until)
            self._stopped_until = ""
        else:
            self._obey(command)
        return True

    def _obey(self, command: LogCommand) -> None:
        name, data = command.name, command.data
        if name in _LEVELS:
            self.annotations.append(self._annotation(name, command))
        elif name == "stop-commands":
            self._stopped_until = data
            self._known.add(data)
        elif name in ("set-env", "add-path"):
            self.failures.append(f"Unable to process command '::{name}': it is disabled")
        elif name in ("set-output", "save-state"):
            (self.outputs if name == "set-output" else self.state)[command.properties["name"]] = data
        elif name == "add-mask":
            self._masks.add(data)
        elif name == "group":
            self.groups.append(data)
        elif name in ("add-matcher", "remove-matcher"):
            self._change_matchers(command)

    def _annotation(self, level: str, command: LogCommand) -> Annotation:
        told = dict(command.properties)
        file = self._relative(told.get("file", ""))
        return Annotation(level, command.data, told.get("title", ""), file, told.get("line", ""), told)

    def _relative(self, file: str) -> str:
        path = self._workspace / file
        inside = file and path.is_absolute() and path.is_relative_to(self._workspace)
        return path.relative_to(self._workspace).as_posix() if inside else file

    def _change_matchers(self, command: LogCommand) -> None:
        try:
            owners = [command.properties["owner"]] if "owner" in command.properties else None
            named = {} if owners else read_matchers(self._workspace / command.data)
        except (OSError, ValueError) as error:
            self.failures.append(f"Unable to process command '::{command.name}': {error}")
            return
        if command.name == "add-matcher":
            self._matchers.update(named)
        for owner in (owners or named) if command.name == "remove-matcher" else ():
            self._matchers.pop(owner, None)

    def _match(self, line: str) -> None:
        # What was added last is asked first, and one line makes one annotation.
        for matcher in reversed(list(self._matchers.values())):
            found = matcher.match(line)
            if found is not None:
                file = self._relative(found.get("file", ""))
                level = found.get("severity") or "error"
                self.annotations.append(
                    Annotation(level, found.get("message", ""), "", file, found.get("line", ""), found)
                )
                return
