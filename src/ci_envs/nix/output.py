"""Reads what nix says while it works. Pure.

nix is told ``--log-format internal-json``: each event is one line, ``@nix {...}`` (``src/libutil/logging.cc``). An
error then says by itself where it was found, and a builder's words cannot be taken for nix's. What is said in plain
text all the same (before nix has read its flags, by a daemon, by git) is read as text:

- until 2.13: ``error: MESSAGE``, its place, then the trace, the innermost frame first;
- since then: ``error:``, the trace, the outermost frame first, then ``error: MESSAGE`` and its place.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import msgspec

from ci_envs.decoding import decoder
from ci_envs.plain import one_line, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Live", "Message", "Said", "read_said"]

#: What is kept of one builder's log, as nix itself shows of one.
KEPT_LINES = 25

_EVENT = "@nix "

# enum Verbosity, ActivityType and ResultType (src/libutil/error.hh, logging.hh).
_ERROR, _INFO = 0, 3
_COPY, _TRANSFER, _BUILDS, _BUILD, _FETCH = 100, 101, 104, 105, 112
_LOG_LINE, _PHASE, _PROGRESS = 101, 104, 105

_COPIED_TO = {"file": "keeping", "ssh": "sending", "ssh-ng": "sending"}

_FINAL: Final = re.compile(r"^ *error: ?", re.MULTILINE)
_PLACE: Final = re.compile(r"^ *at (?P<file>\S.*?):(?P<line>\d+)(?::\d+)?:?(?: \(source not available\))?$")
# What stands below a message: its place, the source around it, a frame of the trace, advice.
_BELOW: Final = re.compile(
    r"^ *(?:at \S.*:\d+:\d+|\d*\|(?: |$)|\u2026 |Did you mean |\(stack trace truncated|\(use '--show-trace')"
)
_MEANT: Final = re.compile(r"Did you mean (?P<names>[^?\n]+)\?")
_PATH: Final = re.compile(r"[/\u00ab][^\n]*$")
_NAME: Final = re.compile(r"[0-9a-df-np-sv-z]{32}-(?P<name>.+?)(?:\.drv)?$")


class _Frame(msgspec.Struct, frozen=True):
    file: str | None = None
    line: int | None = None


class _Event(msgspec.Struct, frozen=True):
    action: str
    id: int = 0
    level: int = _INFO
    type: int = 0
    text: str = ""
    fields: list[int | str] = []
    msg: str = ""
    raw_msg: str = ""
    file: str | None = None
    line: int | None = None
    trace: list[_Frame] = []


_DECODER: Final = decoder(_Event)


@dataclass(frozen=True, slots=True)
class Message:
    """An error, or a warning."""

    #: The sentence, without its trace and its place; it may have several lines.
    said: str
    #: All of it, as a person sees it.
    text: str
    #: File and 1-based line of where it was found and of what led there, the innermost first.
    places: tuple[tuple[str, int], ...] = ()
    #: What nix thinks was meant: ``hello`` or ``one of hello, help``.
    meant: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command of nix said on standard error."""

    #: In their order; warnings and errors that nix itself ignores are none.
    errors: tuple[Message, ...] = ()
    #: The last lines of each builder's log, by its derivation.
    logs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: What others said, such as git.
    others: tuple[str, ...] = ()
    #: All of it as text, without the builders' words.
    text: str = ""


def read_said(stderr: str) -> Said:
    """What was said, from events, from text, or from both."""
    reader = _Reader()
    for line in stderr.splitlines():
        reader.take(line)
    return reader.said()


def _event(line: str) -> _Event | None:
    if not line.startswith(_EVENT):
        return None
    try:
        return _DECODER.decode(line[len(_EVENT) :])
    except msgspec.MsgspecError:  # a newer nix, or a line in two pieces
        return None


class _Reader:
    def __init__(self) -> None:
        self.shown: list[str] = []
        self.texts: list[str] = []
        self.errors: list[Message] = []
        self.drvs: dict[int, str] = {}
        self.logs: dict[str, deque[str]] = {}

    def take(self, line: str) -> None:
        event = _event(line)
        if event is None:
            self.texts.append(plain(line))
            self.shown.append(plain(line))
        elif event.action == "msg":
            self._message(event)
        elif event.action == "start" and event.type == _BUILD and event.fields:
            self.drvs[event.id] = str(event.fields[0])
        elif event.action == "result" and event.type == _LOG_LINE and event.id in self.drvs and event.fields:
            log = self.logs.setdefault(self.drvs[event.id], deque(maxlen=KEPT_LINES))
            log.append(one_line(str(event.fields[0])))

    def _message(self, event: _Event) -> None:
        text = plain(event.msg)
        self.shown.append(text)
        if event.level != _ERROR:
            return
        if not event.raw_msg:  # a daemon's error, which comes as text
            self.errors.extend(_messages(text.splitlines()))
            return
        frames = [_Frame(event.file, event.line), *event.trace]
        # Of what nix itself brings along there is the text where a file's name would be.
        places = tuple((one.file, one.line) for one in frames if one.file and one.line and _PATH.match(one.file))
        self.errors.append(Message(plain(event.raw_msg).strip(), text, places, _meant(text)))

    def said(self) -> Said:
        errors = tuple(self.errors) + tuple(_messages(self.texts))
        logs = {drv: tuple(log) for drv, log in self.logs.items()}
        others = tuple(line for line in self.texts if line.strip() and not line.startswith((" ", "error", "warning")))
        return Said(errors, logs, others, "\n".join(self.shown))


def _messages(lines: list[str]) -> Iterator[Message]:
    """The errors of a text: each begins a line, and what is indented below belongs to it."""
    starts = [number for number, line in enumerate(lines) if line[:1].strip()]
    for number, end in pairwise([*starts, len(lines)]):
        if lines[number].startswith("error:"):
            yield _message("\n".join(lines[number:end]).rstrip())


def _message(text: str) -> Message:
    *before, last = _FINAL.split(text)
    lines = last.splitlines()
    below = next((number for number, line in enumerate(lines) if number and _BELOW.match(line)), len(lines))
    said = "\n".join(line.strip() for line in lines[:below]).strip()
    after = _places(last.splitlines())
    return Message(said, text, (*after, *reversed(_places("\n".join(before).splitlines()))), _meant(text))


def _places(lines: list[str]) -> tuple[tuple[str, int], ...]:
    return tuple((found["file"], int(found["line"])) for line in lines if (found := _PLACE.match(line)))


def _meant(text: str) -> str:
    found = _MEANT.search(text)
    return found["names"] if found else ""


class Live:
    """What a log has in place of each line, as it comes; and what is told of the progress.

    ``tell`` takes ``[2/5] building numpy-2.1.0: installPhase``.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._names: dict[int, str] = {}
        self._of_builds = 0
        self._count = ""

    def __call__(self, line: str) -> str:
        """The line for the log, with its end; empty for an event that a log does not need."""
        event = _event(line)
        if event is None:
            return plain(line)
        shown = plain(self._shown(event)).rstrip()
        return f"{shown}\n" if shown else ""

    def _shown(self, event: _Event) -> str:
        if event.action == "msg":
            return event.msg
        if event.action == "start":
            return self._started(event)
        if event.action == "result":
            return self._result(event)
        self._names.pop(event.id, None)
        return ""

    def _started(self, event: _Event) -> str:
        if event.type == _BUILDS:
            self._of_builds = event.id
        if event.type in (_BUILD, _COPY, _TRANSFER, _FETCH):
            self._names[event.id] = name = _name_of(event)
            self._progress(name)
        return event.text if event.level <= _INFO else ""

    def _result(self, event: _Event) -> str:
        name, first = self._names.get(event.id, ""), event.fields[0] if event.fields else ""
        if event.type == _LOG_LINE:
            return f"{name.removeprefix('building ')}> {first}"
        if event.type == _PHASE and name:
            self._progress(f"{name}: {first}")
        if event.type == _PROGRESS and event.id == self._of_builds and len(event.fields) > 1 and event.fields[1]:
            self._count = f"[{first}/{event.fields[1]}] "
        return ""

    def _progress(self, what: str) -> None:
        self._tell(one_line(f"{self._count}{what}", 120))


def _name_of(event: _Event) -> str:
    """``building hello-1.0``, ``fetching hello-1.0``, ``keeping hello-1.0``, ``downloading https://...``."""
    about = str(event.fields[0]) if event.fields else event.text
    found = _NAME.search(about)
    if event.type == _BUILD:
        return f"building {found['name'] if found else about}"
    if event.type == _COPY:
        # The path, from where, to where: `file:///the/cache`, `ssh-ng://builder`, else this machine's own store.
        target = str(event.fields[2]).partition(":")[0] if len(event.fields) > 2 else ""
        return f"{_COPIED_TO.get(target, 'fetching')} {found['name'] if found else about}"
    return f"downloading {about}" if event.type == _TRANSFER else event.text
