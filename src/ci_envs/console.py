"""The only module that prints: results on standard output, progress and notes on standard error.

What comes from outside (package names, reasons, tails of logs) is made plain before it is shown, so it can neither
move the cursor nor speak to GitHub's runner. ``rich`` is imported for tables and live progress in a terminal only.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TextIO

from ci_envs.github.runner import acting, in_actions, project_file
from ci_envs.github.workflow_commands import annotation, group
from ci_envs.plain import one_line, plain, without_commands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    from rich.console import Console as RichConsole
    from rich.live import Live
    from rich.table import Table

    from ci_envs.errors import CiEnvsError
    from ci_envs.model.leg import Leg
    from ci_envs.model.record import RunRecord, Stage
    from ci_envs.model.report import LegResult, Report

__all__ = [
    "Progress",
    "configure",
    "show_chunks",
    "show_commands",
    "show_detail",
    "show_error",
    "show_json",
    "show_note",
    "show_report",
    "show_table",
    "show_text",
]

#: Lines of a failed stage's log that are shown where nobody can open the log, and in a terminal.
LOG_LINES = 40
LOG_LINES_IN_TERMINAL = 10

# As much of a log's end as such lines can fill.
_LOG_BYTES = 64 * 1024

# A report table gives each stage its column from this width on.
_WIDE = 100

_COLOURS = {
    "passed": "32",
    "failed": "31",
    "broken": "33",
    "skipped": "36",
    "error": "31;1",
    "hint": "36",
    "title": "1",
}


@dataclass(slots=True)
class _Settings:
    quiet: bool = False
    verbose: int = 0
    #: The lines of a running :class:`Progress`, which whatever is printed meanwhile must not tear.
    live: Live | None = None


_SETTINGS = _Settings()
# Legs run in threads: what is written under this is never interleaved.
_LOCK = threading.Lock()


def configure(*, quiet: bool = False, verbose: int = 0) -> None:
    """Set once, by the verb: ``-q`` leaves results and errors, ``-v`` adds details."""
    _SETTINGS.quiet, _SETTINGS.verbose = quiet, verbose


# --- one thing at a time


def show_json(value: Any) -> None:
    """A value as indented JSON, in UTF-8 whatever the locale, on standard output."""
    import msgspec

    data = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    with _LOCK:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def show_chunks(chunks: Iterable[bytes]) -> None:
    """Bytes on standard output as they come: JSON that is too long to be held at once."""
    with _LOCK:
        sys.stdout.flush()
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def show_text(text: str) -> None:
    """Text on standard output: a result."""
    _write(sys.stdout, _safe(text))


def show_note(text: str) -> None:
    """A line on standard error, unless ``-q``."""
    if not _SETTINGS.quiet:
        _write(sys.stderr, _safe(text))


def show_detail(text: str) -> None:
    """A line on standard error with ``-v``."""
    if _SETTINGS.verbose:
        show_note(text)


def show_error(error: CiEnvsError) -> None:
    """``error: what happened, where`` and ``hint: what to try``; beside its file too where our action runs."""
    lines = [f"{_painted('error', sys.stderr)}: {_safe(str(error))}"]
    if error.hint:
        lines.append(f"{_painted('hint', sys.stderr)}: {_safe(error.hint)}")
    _write(sys.stderr, "\n".join(lines))
    if acting():
        from ci_envs.model.record import Finding

        found = Finding(
            code="ci-envs",
            severity="error",
            title=type(error).__name__,
            message=f"{error.message}\n{error.hint}".strip(),
            file=project_file(error.file) if error.file else "",
            line=error.line,
        )
        show_commands([annotation(found)])


def show_commands(commands: Iterable[str]) -> None:
    """Workflow commands that ``github/`` made, each a line, on standard output."""
    for line in commands:
        _write(sys.stdout, line)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output: fitted to the width of a terminal, else one whole line for each row."""
    if not rows:
        return
    if title:
        _write(sys.stdout, _painted(_cell(title), sys.stdout, as_="title"))
    if _is_terminal(sys.stdout):
        with _LOCK:
            _rich(sys.stdout).print(_rich_table(columns, rows), "", sep="\n")
        return
    cells = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [columns, *cells]) for i in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [columns, *cells]]
    _write(sys.stdout, "\n".join(line.rstrip() for line in lines) + "\n")


# --- a whole run


def show_report(report: Report) -> None:
    """The legs, where their packages differ, what was found, and the verdict; with ``-q`` only that and its reasons."""
    if not _SETTINGS.quiet:
        _show_legs(report.legs)
        _show_images(report.legs)
        _show_parity(report)
        for finding in report.findings:
            where = f"{one_line(finding.where)}: " if finding.where else ""
            legs = finding.legs[0] if len(finding.legs) == 1 else f"{len(finding.legs)} legs"
            message = f": {one_line(finding.message, 500)}" if finding.message else ""
            show_text(f"{finding.severity} {finding.code}: {where}{one_line(finding.title)}{message} ({legs})")
    else:
        for leg in report.legs:
            if leg.status in ("failed", "broken"):
                _write(sys.stderr, f"{leg.id}: {_painted(leg.status, sys.stderr)}: {one_line(leg.reason, 1000)}")
    counts = (f"{report.count(status)} {status}" for status in ("passed", "failed", "broken", "skipped"))
    said = ", ".join(count for count in counts if not count.startswith("0 ")) or "no legs"
    _write(sys.stdout, f"{_painted(report.status, sys.stdout)}: {said}")


def _show_legs(legs: Sequence[LegResult]) -> None:
    from ci_envs.model.record import STAGES

    took = [{stage.name: _seconds(stage.seconds) for stage in leg.stages} for leg in legs]
    if not _is_terminal(sys.stdout):
        rows = [
            [leg.id, leg.status, *(seconds.get(name, "") for name in STAGES), leg.reason]
            for leg, seconds in zip(legs, took, strict=True)
        ]
        return show_table("Legs", ("leg", "status", *STAGES, "reason"), rows)
    # A reason stands below its leg: a column of its own would leave neither of them room in a narrow terminal.
    named = [f"{leg.id}\n  {leg.reason}" if leg.reason else leg.id for leg in legs]
    if _width() < _WIDE:
        rows = [[name, leg.status, _seconds(leg.seconds)] for name, leg in zip(named, legs, strict=True)]
        return show_table("Legs", ("leg", "status", "seconds"), rows)
    rows = [
        [name, leg.status, *(seconds.get(stage, "") for stage in STAGES)]
        for name, leg, seconds in zip(named, legs, took, strict=True)
    ]
    return show_table("Legs", ("leg", "status", *STAGES), rows)


def _show_images(legs: Sequence[LegResult]) -> None:
    from ci_envs.report.images import short_digest, size, system

    rows = [
        [leg.id, leg.image.name, short_digest(leg.image.digest), size(leg.image.bytes), system(leg.image)]
        for leg in legs
        if leg.image
    ]
    show_table("Images", ("leg", "image", "digest", "size", "system"), rows)
    for leg in legs:
        if leg.image and leg.image.relaxed:
            show_text(f"{leg.id}: its containers may do more than others: {', '.join(leg.image.relaxed)}")


def _show_parity(report: Report) -> None:
    from ci_envs.report.parity import by_version

    between = ",\n" if _is_terminal(sys.stdout) else ", "
    rows = []
    for row in report.parity:
        for index, (version, legs) in enumerate(by_version(row)):
            rows.append(
                ["" if index else row.package, version, between.join(legs) if len(legs) <= 3 else f"{len(legs)} legs"]
            )
    show_table("Parity: packages whose version is not the same in all legs", ("package", "version", "legs"), rows)


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value else ""


@dataclass(slots=True)
class _Running:
    """A leg at work: the stage it is in, and since when (monotonic seconds)."""

    stage: str = ""
    since: float = field(default_factory=time.monotonic)
    #: What it is doing there.
    said: str = ""


class Progress:
    """Shows a run while it goes on; the observer that ``pipeline.py`` calls, from the threads of the legs.

    In a terminal: one line for each leg at work, with its stage and seconds; legs that end scroll away above.
    Elsewhere: a whole line for each stage that ends. A leg that fails is followed by the end of its log, in one piece.
    """

    def __init__(
        self, log: Callable[[str, str], Path] | None = None, total: int = 0, unmatched: Sequence[str] = ()
    ) -> None:
        #: Gives the log of a leg id's stage.
        self._log = log
        self._total = total
        #: Workflow commands after which no problem matcher reads the lines that follow.
        self._unmatched = unmatched
        self._done = 0
        self._running: dict[str, _Running] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not _SETTINGS.quiet and _is_terminal(sys.stderr):
            from rich.live import Live

            _SETTINGS.live = self._live = Live(
                get_renderable=self._rendered,
                console=_rich(sys.stderr),
                refresh_per_second=8,
                transient=True,
                # Nothing else prints, and this module knows of the live lines.
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            _SETTINGS.live = self._live = None

    def leg_begins(self, leg: Leg) -> None:
        """A leg is taken up."""
        self._running[leg.id] = _Running()
        if _SETTINGS.verbose:
            self._say(f"{leg.id}: begins")

    def stage_begins(self, leg: Leg, name: str) -> None:
        """A stage of it begins."""
        self._running[leg.id] = _Running(stage=name)
        if _SETTINGS.verbose:
            self._say(f"{leg.id}: {name} begins")

    def stage_says(self, leg: Leg, text: str) -> None:
        """What it is doing now: an image takes minutes, and the step that it is at is worth a line."""
        said = one_line(text, 100)
        running = self._running.get(leg.id)
        if running is not None:
            self._running[leg.id] = replace(running, said=said)
        if self._live is None:
            self._say(f"{leg.id}: {said}")

    def stage_ends(self, leg: Leg, stage: Stage) -> None:
        """A stage of it is over."""
        if self._live is None or _SETTINGS.verbose:
            reason = f": {one_line(stage.reason, 300)}" if stage.reason else ""
            self._say(f"{leg.id}: {stage.name} {stage.status} in {stage.seconds:.1f} s{reason}")

    def leg_ends(self, record: RunRecord) -> None:
        """The leg is over; this is its record."""
        self._running.pop(record.leg.id, None)
        with _LOCK:
            self._done += 1
            count = f"[{self._done}/{self._total}] " if self._total else ""
        reason = f": {one_line(record.reason, 500)}" if record.reason else ""
        seconds = sum(stage.seconds for stage in record.stages)
        status = _painted(record.status, sys.stderr)
        tail = self._tail(record) if record.status in ("failed", "broken") else ""
        self._say(f"{count}{_safe(record.leg.id)}: {status} in {seconds:.1f} s{_safe(reason)}{tail}", safe=True)

    def _tail(self, record: RunRecord) -> str:
        """The end of the failing stage's log, to be put behind the leg's line."""
        stage = next((stage for stage in record.stages if stage.status in ("failed", "broken")), None)
        if stage is None or self._log is None:
            return ""
        path = self._log(record.leg.id, stage.name)
        lines = _last_lines(path, LOG_LINES if self._live is None else LOG_LINES_IN_TERMINAL)
        if not lines:
            return ""
        if in_actions():
            # A place that a finding names would be told of twice.
            before = self._unmatched if any(finding.code == "TEST001" for finding in record.findings) else ()
            folded = group(f"{record.leg.id}: the end of the log of {stage.name}", "\n".join(lines))
            return "".join(f"\n{line}" for line in (*before, folded))
        shown = [f"  | {without_commands(line)}" for line in lines]
        return "\n".join(["", *shown, f"  the whole log: {_safe(str(path))}"])

    def _say(self, text: str, *, safe: bool = False) -> None:
        if not _SETTINGS.quiet:
            _write(sys.stderr, text if safe else _safe(text))

    def _rendered(self) -> Table:
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        for leg, running in list(self._running.items()):
            table.add_row(_cell(leg), running.stage, f"{now - running.since:.0f} s", _cell(running.said))
        if self._total:
            table.add_row(f"{self._done} of {self._total} legs done")
        return table


def _last_lines(path: Path, count: int) -> list[str]:
    with suppress(OSError), path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _LOG_BYTES))
        text = plain(stream.read().decode("utf-8", "replace")).strip("\n").rstrip()
        return text.split("\n")[-count:] if text else []
    return []


# --- how text reaches a stream


def _safe(text: str) -> str:
    return without_commands(plain(text))


def _cell(text: str) -> str:
    return without_commands(one_line(text))


def _write(stream: TextIO, text: str) -> None:
    """One piece with its line end; characters that the stream's encoding lacks are shown as escapes."""
    encoding = stream.encoding or "utf-8"
    piece = text.encode(encoding, "backslashreplace").decode(encoding)
    live = _SETTINGS.live
    if live is not None and stream.isatty():
        from rich.text import Text

        # rich has its own lock. Taking ours around it could meet its refreshing thread the other way round.
        live.console.print(Text.from_ansi(piece), soft_wrap=True)
        return
    with _LOCK:
        if stream is sys.stdout:
            sys.stderr.flush()
        stream.write(f"{piece}\n")
        stream.flush()


def _is_terminal(stream: TextIO) -> bool:
    """Whether a person watches, with a terminal that can move its cursor."""
    dull = os.environ.get("CI") or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not dull and stream.isatty()


def _painted(word: str, stream: TextIO, as_: str = "") -> str:
    return f"\x1b[{_COLOURS[as_ or word]}m{word}\x1b[0m" if _is_terminal(stream) else word


def _width() -> int:
    return shutil.get_terminal_size().columns


def _rich(stream: TextIO) -> RichConsole:
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, emoji=False)


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="underline")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Lines within a cell are ours; each of them is made safe.
        cells = ["\n".join(without_commands(plain(line)) for line in cell.split("\n")) for cell in row]
        painted = [Text.from_ansi(_painted(cell, sys.stdout)) if cell in _COLOURS else Text(cell) for cell in cells]
        table.add_row(*painted)
    return table
