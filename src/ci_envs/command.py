"""The only module that starts a process.

A :class:`Command` says what to run; :func:`run` answers with an :class:`Outcome`, which is truthy when the command
exited 0. Nothing here reads a shell: a command is a list of arguments, each passed as it is.

Every child leads a process group of its own, so that a time limit or an interrupt ends what it started too.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .errors import InterruptedRun, ToolMissing
from .redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Command", "Outcome", "run", "stop_all"]

#: What is kept of one stream in memory; the log has all of it.
CAPTURE_LIMIT = 64 * 1024 * 1024

#: Between asking a process group to end and ending it.
GRACE_SECONDS = 5.0

#: How long a stream may stay open after its process has ended, held by something that it left behind.
_DRAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Command:
    """What to run."""

    argv: tuple[str, ...]
    cwd: Path | None = None
    #: The complete environment; ``None`` hands on this process's own.
    env: Mapping[str, str] | None = None
    #: Seconds; ``None`` waits for ever.
    timeout: float | None = None
    #: Output is appended here as it comes, redacted, under a line that shows the command.
    log: Path | None = None
    #: Written to standard input, which is empty otherwise: nothing may wait for a person.
    stdin: str = ""
    #: File descriptors that the child keeps open: a lock held this way outlives a killed orchestrator for as long
    #: as its child writes (POSIX only).
    hold: tuple[int, ...] = ()

    def __str__(self) -> str:
        return shlex.join(self.argv)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened. ``stdout`` and ``stderr`` are decoded as UTF-8, with what cannot be decoded replaced."""

    argv: tuple[str, ...]
    #: As the OS gives it: negative for the signal that ended it.
    returncode: int
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    timed_out: bool = False

    def __bool__(self) -> bool:
        return self.returncode == 0 and not self.timed_out

    @property
    def output(self) -> str:
        """Both streams, the errors last."""
        return f"{self.stdout}\n{self.stderr}".strip()

    def tail(self, lines: int = 20) -> str:
        """The last lines of what it said, for a message."""
        return "\n".join(self.output.splitlines()[-lines:])


@dataclass(slots=True)
class _Live:
    """The processes that this program started and that still run."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    processes: set[subprocess.Popen[bytes]] = field(default_factory=set)
    stopping: bool = False


# One set for the whole program: a signal handler has nothing else to go by.
_LIVE = _Live()


def run(command: Command) -> Outcome:
    """Runs a command to its end.

    Raises :class:`ToolMissing` where the program is not there, and :class:`InterruptedRun` where
    :func:`stop_all` ended it.
    """
    started = time.monotonic()
    redact = Redactor.from_environment(os.environ if command.env is None else command.env)
    process = _start(command)
    with _log(command, redact) as log:
        readers = [_Reader(stream, log, redact) for stream in (process.stdout, process.stderr) if stream is not None]
        try:
            _feed(process, command.stdin)
            timed_out = _wait(process, command.timeout)
            for reader in readers:
                reader.finish(process)
        except BaseException:
            _end_group(process, GRACE_SECONDS)
            raise
        finally:
            with _LIVE.lock:
                _LIVE.processes.discard(process)
    if _LIVE.stopping:
        raise InterruptedRun(f"stopped while running {Path(command.argv[0]).name}")
    stdout, stderr = (redact(reader.text) for reader in readers)
    return Outcome(
        argv=command.argv,
        returncode=process.returncode,
        stdout=stdout,
        stderr=stderr,
        seconds=time.monotonic() - started,
        timed_out=timed_out,
    )


def stop_all() -> None:
    """Ends every process that this program started, politely first; later commands are refused."""
    with _LIVE.lock:
        _LIVE.stopping = True
        live = list(_LIVE.processes)
    for process in live:
        _signal_group(process, _TERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for process in live:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        _signal_group(process, _KILL)


_TERM = signal.SIGTERM
_KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL
_NEW_GROUP: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # a Windows flag


def _start(command: Command) -> subprocess.Popen[bytes]:
    with _LIVE.lock:
        if _LIVE.stopping:
            raise InterruptedRun("stopped before the next command")
        try:
            process = subprocess.Popen(
                command.argv,
                cwd=command.cwd,
                env=None if command.env is None else dict(command.env),
                stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=() if sys.platform == "win32" else command.hold,
                start_new_session=True,  # of no effect on Windows
                creationflags=_NEW_GROUP,
            )
        except FileNotFoundError as error:
            if command.cwd is not None and not command.cwd.is_dir():
                raise
            raise ToolMissing(f"there is no program {command.argv[0]!r} here") from error
        except PermissionError as error:
            raise ToolMissing(f"{command.argv[0]!r} may not be run here: {error.strerror}") from error
        _LIVE.processes.add(process)
        return process


@contextlib.contextmanager
def _log(command: Command, redact: Redactor) -> Iterator[IO[bytes] | None]:
    if command.log is None:
        yield None
        return
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("ab") as log:
        log.write(f"$ {redact(str(command))}\n".encode())
        log.flush()
        yield log


class _Reader:
    """Takes one stream as it comes, line by line into the log and, up to a limit, into memory."""

    def __init__(self, stream: IO[bytes], log: IO[bytes] | None, redact: Redactor) -> None:
        self._stream = stream
        self._log = log
        self._redact = redact
        self._lines: list[bytes] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        size = 0
        with contextlib.suppress(ValueError, OSError):  # closed under us by finish()
            for line in self._stream:
                size += len(line)
                if size <= CAPTURE_LIMIT:
                    self._lines.append(line)
                if self._log is not None:
                    self._log.write(self._redact(line.decode("utf-8", "replace")).encode())
                    self._log.flush()

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """Waits for the end of the stream; what a dead process left behind does not hold it for ever."""
        self._thread.join(_DRAIN_SECONDS)
        if self._thread.is_alive():
            _signal_group(process, _KILL)
            self._thread.join(_DRAIN_SECONDS)
        if not self._thread.is_alive():
            self._stream.close()

    @property
    def text(self) -> str:
        return b"".join(self._lines).decode("utf-8", "replace")


def _feed(process: subprocess.Popen[bytes], text: str) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(text.encode())
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _wait(process: subprocess.Popen[bytes], timeout: float | None) -> bool:
    """Whether the time limit ended it."""
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        _end_group(process, GRACE_SECONDS)
        return True
    return False


def _end_group(process: subprocess.Popen[bytes], grace: float) -> None:
    _signal_group(process, _TERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    _signal_group(process, _KILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if sys.platform == "win32":
        with contextlib.suppress(OSError):
            process.terminate() if number == _TERM else process.kill()
        return
    # The group outlives its leader where it left something behind; its id is not reused while a member lives.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def quoted(argv: Sequence[str]) -> str:
    """The command as a person would paste it into a POSIX shell."""
    return shlex.join(argv)
