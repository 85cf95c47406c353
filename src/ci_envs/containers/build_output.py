"""What a build says while it goes on: its steps, and the lines that its log gets.

Three forms are read: BuildKit's status as JSON (``--progress=rawjson``, buildx 0.13 and later, an object after the
other, over many lines each), BuildKit's text (``--progress=plain``, as older ones have it), and Podman's.
The log reads like BuildKit's text whichever it was: ``#7 [deps 3/5] RUN ...``, ``#7 0.149 it said``, ``#7 DONE 1.2s``.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from ci_envs.decoding import decoder
from ci_envs.plain import one_line, plain

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Form", "Step", "Transcript", "reader", "without_our_mounts"]

Form = Literal["rawjson", "plain", "podman"]

#: Of what a step says, the end is kept for the message of its failure.
KEPT_LINES = 200

#: Of what the builder itself says at its end.
_KEPT_SAID = 400

#: A step's name is its instruction, which may be a whole script.
NAME_LENGTH = 200

# What firewall.py puts into a RUN; nobody wrote it, so nobody is shown it.
_OUR_MOUNTS = re.compile(r" --mount=type=secret,id=ci-envs-[a-z-]+[^\s]*")


def without_our_mounts(text: str) -> str:
    """An instruction as its author wrote it: without the mounts that hand the user's index settings to it."""
    return _OUR_MOUNTS.sub("", text)


@dataclass(slots=True)
class Step:
    """One vertex of BuildKit's graph, or one instruction of Podman's."""

    number: int
    #: ``[deps 3/5] RUN pip install ...``, ``[internal] load build context``, ``exporting to image``.
    name: str
    cached: bool = False
    done: bool = False
    seconds: float = 0.0
    error: str = ""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))

    @property
    def instruction(self) -> str:
        """``RUN pip install ...``: the name without its place."""
        return re.sub(r"^\[[^\]]*\] ", "", self.name)


class Transcript:
    """The steps so far, and what the builder said beside them."""

    def __init__(
        self, on_step: Callable[[str], object] = lambda _name: None, redact: Callable[[str], str] = lambda text: text
    ) -> None:
        self._on_step = on_step
        self._redact = redact
        self.steps: dict[str, Step] = {}
        #: The lines that belong to no step: where the builder says why it failed.
        self.said: deque[str] = deque(maxlen=_KEPT_SAID)

    @property
    def failed(self) -> Step | None:
        """The step that ended the build; those that were ended because of it say so."""
        wrong = [step for step in self.steps.values() if step.error and "context canceled" not in step.error]
        return wrong[-1] if wrong else None

    def begin(self, key: str, name: str) -> str:
        """A step begins: its line in the log."""
        name = without_our_mounts(name)
        step = Step(number=len(self.steps) + 1, name=self._redact(one_line(name, NAME_LENGTH)))
        self.steps[key] = step
        if not step.name.startswith("[internal]"):
            self._on_step(step.name)
        return f"\n#{step.number} {self._redact(plain(name))}\n"

    def tell(self, key: str, text: str, seconds: float = -1.0) -> str:
        """It says a line, so many seconds after its begin."""
        step = self.steps[key]
        text = self._redact(plain(text.rstrip("\r").rpartition("\r")[2]))
        step.lines.append(text)
        return f"#{step.number} {f'{seconds:.3f} ' if seconds >= 0 else ''}{text}\n"

    def note(self, key: str, text: str) -> str:
        """Something is said about it."""
        return f"#{self.steps[key].number} {self._redact(plain(text))}\n"

    def end(self, key: str, seconds: float, *, cached: bool = False, error: str = "") -> str:
        """It is over."""
        step = self.steps[key]
        step.done, step.cached, step.seconds = True, cached, seconds
        step.error = self._redact(without_our_mounts(error))
        if error:
            return f"#{step.number} ERROR: {step.error}\n"
        return f"#{step.number} CACHED\n" if cached else f"#{step.number} DONE {seconds:.1f}s\n"

    def say(self, line: str) -> str:
        """The builder says a line of its own."""
        text = self._redact(plain(without_our_mounts(line.rstrip("\r\n"))))
        self.said.append(text)
        return f"{text}\n"


def reader(form: Form, transcript: Transcript) -> Callable[[str], str]:
    """What takes a builder's lines and answers with those of the log. Threads may share it; it raises nothing."""
    taken: dict[Form, Callable[[str], str]] = {
        "rawjson": _RawJson(transcript).take,
        "plain": _Plain(transcript).take,
        "podman": _Podman(transcript).take,
    }
    take, lock = taken[form], threading.Lock()

    def locked(line: str) -> str:
        with lock:
            return take(line)

    return locked


# --- BuildKit's status: https://pkg.go.dev/github.com/moby/buildkit/client#SolveStatus


# Times that lack a zone could not be compared with those that have one.
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Vertex(msgspec.Struct):
    digest: str
    name: str = ""
    started: _Time | None = None
    completed: _Time | None = None
    cached: bool = False
    error: str = ""


class _Status(msgspec.Struct):
    id: str
    vertex: str
    current: int = 0
    started: _Time | None = None
    completed: _Time | None = None


class _Log(msgspec.Struct):
    vertex: str
    #: Base64 in the JSON.
    data: bytes = b""
    timestamp: _Time | None = None


class _Warning(msgspec.Struct):
    vertex: str = ""
    short: bytes = b""


class _Event(msgspec.Struct):
    vertexes: tuple[_Vertex, ...] | None = None
    statuses: tuple[_Status, ...] | None = None
    logs: tuple[_Log, ...] | None = None
    warnings: tuple[_Warning, ...] | None = None


class _RawJson:
    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._decode = decoder(_Event).decode
        self._begun: list[str] = []
        self._started: dict[str, datetime] = {}
        #: What a step has said of a line that it has not ended yet.
        self._rest: dict[str, str] = {}
        self._noted: set[tuple[str, str]] = set()

    def take(self, line: str) -> str:
        bare = line.rstrip("\r\n")
        if not self._begun and not bare.startswith("{"):
            return self._transcript.say(bare)
        self._begun.append(bare)
        # Strings in JSON hold no line ends: a brace alone at the left edge is the end of an object.
        if bare != "}" and not (len(self._begun) == 1 and bare.endswith("}")):
            return ""
        text, self._begun = "\n".join(self._begun), []
        try:
            event = self._decode(text)
        except msgspec.MsgspecError:
            return "".join(map(self._transcript.say, text.splitlines()))
        return self._event(event)

    def _event(self, event: _Event) -> str:
        # A vertex may end and begin again within one event: the last word counts.
        vertexes = {vertex.digest: vertex for vertex in event.vertexes or ()}
        said = [self._begin(vertex) for vertex in vertexes.values()]
        said += [self._status(status) for status in event.statuses or ()]
        said += [self._log(log) for log in event.logs or ()]
        said += [
            self._transcript.say(f"WARN: {each.short.decode('utf-8', 'replace')}") for each in event.warnings or ()
        ]
        said += [self._end(vertex) for vertex in vertexes.values()]
        return "".join(said)

    def _begin(self, vertex: _Vertex) -> str:
        if vertex.started is None or vertex.digest in self._transcript.steps:
            return ""
        self._started[vertex.digest] = vertex.started
        return self._transcript.begin(vertex.digest, vertex.name)

    def _end(self, vertex: _Vertex) -> str:
        step = self._transcript.steps.get(vertex.digest)
        if step is None or vertex.completed is None or vertex.started is None or step.done:
            return ""
        rest = self._rest.pop(vertex.digest, "")
        said = self._transcript.tell(vertex.digest, rest) if rest else ""
        seconds = (vertex.completed - vertex.started).total_seconds()
        return said + self._transcript.end(vertex.digest, seconds, cached=vertex.cached, error=vertex.error)

    def _status(self, status: _Status) -> str:
        key = (status.vertex, status.id)
        if status.completed is None or key in self._noted or status.vertex not in self._transcript.steps:
            return ""
        self._noted.add(key)
        took = (status.completed - status.started).total_seconds() if status.started else 0.0
        size = f" {status.current / 1e6:.1f} MB" if status.current >= 100_000 else ""
        return self._transcript.note(status.vertex, f"{status.id}{size}{f' {took:.1f}s' if took >= 0.1 else ''} done")

    def _log(self, log: _Log) -> str:
        if log.vertex not in self._transcript.steps:
            return ""
        begun = self._started[log.vertex]
        seconds = (log.timestamp - begun).total_seconds() if log.timestamp else -1.0
        text = self._rest.pop(log.vertex, "") + log.data.decode("utf-8", "replace")
        *lines, rest = text.split("\n")
        if rest:
            self._rest[log.vertex] = rest
        return "".join(self._transcript.tell(log.vertex, line, seconds) for line in lines)


# --- BuildKit's text

_PLAIN = re.compile(r"#(\d+) (.*)")
_TOLD = re.compile(r"(\d+\.\d+) (.*)")
_DONE = re.compile(r"DONE (\d+\.\d+)s")


class _Plain:
    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript

    def take(self, line: str) -> str:
        bare = line.rstrip("\r\n")
        found = _PLAIN.fullmatch(bare)
        if found is None:
            return self._transcript.say(bare) if bare.strip() else ""
        key, text = found.groups()
        if key not in self._transcript.steps:
            return self._transcript.begin(key, text)
        if text in ("CACHED", "CANCELED") or text.startswith("ERROR: "):
            error = "context canceled" if text == "CANCELED" else text.partition("ERROR: ")[2]
            return self._transcript.end(key, 0.0, cached=text == "CACHED", error=error)
        if done := _DONE.fullmatch(text):
            return self._transcript.end(key, float(done[1]))
        told = _TOLD.fullmatch(text)
        return self._transcript.tell(key, told[2], float(told[1])) if told else self._transcript.note(key, text)


# --- Podman: no times and no ends of steps; what it says is the running step's

_STEP = re.compile(r"(?:\[(?P<stage>\d+)/\d+\] )?STEP (?P<at>\d+)/(?P<of>\d+): (?P<instruction>.*)")
_STAGE_NAME = re.compile(r"FROM .*\sAS\s+(\S+)\s*$", re.IGNORECASE)
_ENDS = re.compile(r"--> (?:Using cache )?[0-9a-f]{6,64}")


class _Podman:
    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._key = ""
        self._begun = 0.0
        self._stages: dict[str, str] = {}

    def take(self, line: str) -> str:
        bare = line.rstrip("\r\n")
        if found := _STEP.fullmatch(bare):
            return self._end() + self._begin(found)
        if bare.startswith("Error: "):
            # Its other streams may be a line behind: the step is over when the next one begins.
            return self._failed(bare) + self._transcript.say(bare)
        if bare.startswith("COMMIT"):
            return self._end() + self._transcript.say(bare)
        if not self._key:
            return self._transcript.say(bare) if bare.strip() else ""
        if _ENDS.fullmatch(bare):
            return self._end(cached="Using cache" in bare)
        return self._transcript.tell(self._key, bare, time.monotonic() - self._begun)

    def _begin(self, found: re.Match[str]) -> str:
        stage, at, of, instruction = (found[name] or "" for name in ("stage", "at", "of", "instruction"))
        if at == "1" and (named := _STAGE_NAME.match(instruction)):
            self._stages[stage] = named[1]
        place = f"{self._stages.get(stage, f'stage-{stage}' if stage else '')} {at}/{of}".strip()
        self._key, self._begun = f"{stage}:{at}", time.monotonic()
        return self._transcript.begin(self._key, f"[{place}] {instruction}")

    def _end(self, *, cached: bool = False, error: str = "") -> str:
        key, self._key = self._key, ""
        if not key:
            return ""
        return self._transcript.end(key, time.monotonic() - self._begun, cached=cached, error=error)

    def _failed(self, line: str) -> str:
        if not self._key:
            return ""
        return self._transcript.end(self._key, time.monotonic() - self._begun, error=line.removeprefix("Error: "))
