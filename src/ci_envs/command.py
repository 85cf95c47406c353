"""The only module that starts a process.

A :class:`Command` says what to run; :func:`run` answers with an :class:`Outcome`, which is truthy when the command
exited 0. Nothing here reads a shell: a command is a list of arguments, each passed as it is.

Every child leads a process group of its own, so that a time limit or an interrupt ends what it started too.
"""

from __future__ import annotations

import contextlib
import errno
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

from ci_envs import windows
from ci_envs.capture import LONGEST_LINE, Capture, Outcome, opened_log
from ci_envs.errors import InterruptedRun, ToolMissing, UsageError
from ci_envs.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "Background",
    "Command",
    "Outcome",
    "ends_with_us",
    "hand_over",
    "no_longer_ours",
    "refuse_when_stopping",
    "run",
    "start",
    "stop_all",
    "stopping",
]

#: What is kept of one stream in memory, in bytes: its end, where the reason of a failure is. The log has all of it.
CAPTURE_LIMIT = 64 * 1024 * 1024

#: Between asking a process group to end and ending it.
GRACE_SECONDS = 5.0

#: How long a stream may stay open after its process has ended, held by something that it left behind.
DRAIN_SECONDS = 2.0

#: How long a signal may go unseen while a process is waited for.
_LOOK_SECONDS = 0.5


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
    #: Standard output is data for this program and comes back unredacted: a service's password that is an ordinary
    #: word (``postgres``) must not change the name of a package. It is in no log, which has what people are told:
    #: data may be all variables of a shell, with secrets that nobody knows by their names.
    raw: bool = False
    #: What the log says in place of a line of either stream, for output that is made for programs. Called from two
    #: threads, as the lines come.
    as_logged: Callable[[str], str] | None = None

    def __str__(self) -> str:
        return shlex.join(self.argv)


@dataclass(slots=True)
class _Live:
    """What this program started and what still runs."""

    # Reentrant: a signal handler runs in the main thread wherever that is, so also while it holds the lock.
    lock: threading.RLock = field(default_factory=threading.RLock)
    processes: set[subprocess.Popen[bytes]] = field(default_factory=set)
    #: What is no process of ours and ends with us all the same: how to end each.
    others: list[Callable[[], None]] = field(default_factory=list)
    stopping: bool = False


# One set for the whole program: a signal handler has nothing else to go by.
_LIVE = _Live()


def run(command: Command) -> Outcome:
    """Runs a command to its end.

    Raises :class:`ToolMissing` where the program is not there or cannot be run, :class:`UsageError` where an argument
    is none that a process can be given, :class:`InterruptedRun` where :func:`stop_all` ended it.
    """
    started = time.monotonic()
    redact = Redactor.from_environment(os.environ if command.env is None else command.env)
    with opened_log(command.log, str(command), redact) as log:
        process = _start(command)
        streams = [
            _Reader(stream, Capture(logged, redact, CAPTURE_LIMIT, command.as_logged))
            for stream, logged in ((process.stdout, None if command.raw else log), (process.stderr, log))
            if stream is not None
        ]
        try:
            timed_out = _wait(process, command)
        except BaseException:
            _end_group(process)
            raise
        finally:
            _drain(streams, process)
            with _LIVE.lock:
                _LIVE.processes.discard(process)
    refuse_when_stopping(f"while running {Path(command.argv[0]).name}")
    for stream in streams:
        if stream.capture.failed is not None:
            raise stream.capture.failed
    stdout, stderr = (stream.capture.text() for stream in streams)
    return Outcome(
        argv=command.argv,
        returncode=process.returncode,
        stdout=stdout if command.raw else redact(stdout),
        stderr=redact(stderr),
        seconds=time.monotonic() - started,
        timed_out=timed_out,
    )


def stop_all() -> None:
    """Ends every process that this program started, politely first; later commands are refused."""
    with _LIVE.lock:
        _LIVE.stopping = True
        live, others = list(_LIVE.processes), list(_LIVE.others)
    for end in others:
        end()
    for process in live:
        _signal_group(process, _TERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for process in live:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        _signal_group(process, _KILL)


def stopping() -> bool:
    """Whether :func:`stop_all` was called: nothing may begin any more."""
    return _LIVE.stopping


def refuse_when_stopping(what: str) -> None:
    """Raises :class:`InterruptedRun` once :func:`stop_all` was called; ``what`` follows the word "stopped"."""
    if _LIVE.stopping:
        raise InterruptedRun(f"stopped {what}")


def ends_with_us(end: Callable[[], None]) -> None:
    """Has :func:`stop_all` call this, once; it may come from a signal handler, so it takes no lock and does not wait.

    Raises :class:`InterruptedRun` where that is under way already.
    """
    with _LIVE.lock:
        refuse_when_stopping("before the next command")
        _LIVE.others.append(end)


def no_longer_ours(end: Callable[[], None]) -> None:
    """Takes back what :func:`ends_with_us` was told."""
    with _LIVE.lock, contextlib.suppress(ValueError):
        _LIVE.others.remove(end)


_TERM = signal.SIGTERM
# Windows has neither; there it only is another word than the first.
_KILL: int = getattr(signal, "SIGKILL", 9)
_NEW_GROUP: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # a Windows flag


# What execve(2) says of a program that is not there or is none.
_NO_PROGRAM = frozenset((errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ELOOP))


def _start(command: Command) -> subprocess.Popen[bytes]:
    if any("\0" in word for word in command.argv):
        raise UsageError(f"an argument of {command.argv[0]!r} holds a NUL character, which no process can be given")
    with _LIVE.lock:
        refuse_when_stopping("before the next command")
        try:
            process = _popen(command)
        except OSError as error:
            raise _no_program(error, command) from error
        _LIVE.processes.add(process)
    if _LIVE.stopping:  # by a signal that came while it was being started, and so did not find it
        _end_group(process)
    return process


def _no_program(error: OSError, command: Command) -> OSError | ToolMissing:
    """What it means that a process could not be started."""
    folder_failed = command.cwd is not None and (error.filename == command.cwd or not command.cwd.is_dir())
    if folder_failed or error.errno not in _NO_PROGRAM:
        return error
    if isinstance(error, FileNotFoundError):
        return ToolMissing(f"there is no program {command.argv[0]!r} here")
    return ToolMissing(f"{command.argv[0]!r} cannot be run here: {error.strerror}")


def _popen(command: Command) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        _located(command),
        cwd=command.cwd,
        env=None if command.env is None else dict(command.env),
        stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=() if sys.platform == "win32" else command.hold,
        start_new_session=True,  # of no effect on Windows
        creationflags=_NEW_GROUP,
    )


def _located(command: Command, *, on_windows: bool = sys.platform == "win32") -> tuple[str, ...]:
    """The arguments, with the program as the command's own PATH has it: elsewhere execvpe(3) looks there itself."""
    if not on_windows:
        return command.argv
    variables = os.environ if command.env is None else command.env
    found = windows.find_program(command.argv[0], variables, os.path.isfile)
    if not found:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command.argv[0])
    return (found, *command.argv[1:])


class _Reader:
    """Takes one stream as it comes."""

    def __init__(self, stream: IO[bytes], capture: Capture) -> None:
        self._stream = stream
        self.capture = capture
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        # ValueError: the log was closed, because nobody waits for this stream any more (see _drain).
        with contextlib.suppress(ValueError, OSError), self._stream:
            while line := self._stream.readline(LONGEST_LINE):
                self.capture.take(line)


def _drain(streams: list[_Reader], process: subprocess.Popen[bytes]) -> None:
    """Waits for the ends of the streams; what a dead process left behind does not hold them for ever."""
    deadline = time.monotonic() + DRAIN_SECONDS
    for stream in streams:
        stream.thread.join(max(0.0, deadline - time.monotonic()))
    if any(stream.thread.is_alive() for stream in streams):
        _signal_group(process, _KILL)
    for stream in streams:
        stream.thread.join(DRAIN_SECONDS / 4)


def _feed(process: subprocess.Popen[bytes], text: str) -> None:
    """Hands the input over, in a thread of its own: a child that does not read it must still meet its time limit."""

    def write(pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError), pipe:  # the child need not read all of it
            pipe.write(text.encode("utf-8", "surrogateescape"))

    if process.stdin is not None:
        threading.Thread(target=write, args=(process.stdin,), daemon=True).start()


def _wait(process: subprocess.Popen[bytes], command: Command) -> bool:
    """Whether the time limit ended it."""
    _feed(process, command.stdin)
    ended = threading.Event()

    def wait() -> None:
        process.wait()
        ended.set()

    # Popen.wait with a limit asks again and again, up to 50 ms apart, and holds a lock that a signal handler which
    # interrupts it here would need; a thread that waits without one does neither.
    threading.Thread(target=wait, daemon=True).start()
    if _set_in_time(ended, command.timeout):
        return False
    _end_group(process)
    return True


def _set_in_time(event: threading.Event, seconds: float | None) -> bool:
    """Waits in short pieces: on Windows Ctrl-C is not seen before a wait has ended."""
    deadline = time.monotonic() + (float("inf") if seconds is None else seconds)
    while not event.is_set():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        event.wait(min(left, _LOOK_SECONDS))
    return True


def _end_group(process: subprocess.Popen[bytes]) -> None:
    _signal_group(process, _TERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    _signal_group(process, _KILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    if sys.platform == "win32":
        _end_on_windows(process, politely=number == _TERM)
        return
    # The group outlives its leader where it left something behind; its id is not reused while a member lives.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _end_on_windows(process: subprocess.Popen[bytes], *, politely: bool) -> None:
    """Ctrl-Break, which a process group of its own gets as a whole; or the end of the process and all below it.

    What has been left behind by a process that has ended is out of reach: nobody is told whose it was.
    """
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if process.poll() is not None:
            return
        if politely:
            process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", _TERM))
        else:
            subprocess.run(
                windows.end_tree(process.pid, os.environ),
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=GRACE_SECONDS,
            )
            process.kill()


class Background:
    """A process that goes on beside others; it is not logged. Its standard input is a pipe that ends when we do."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def tell(self, text: str) -> None:
        """Writes to its standard input, and ends that; nothing where it has ended already."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(OSError), self._process.stdin as pipe:
                pipe.write(text.encode())

    def wait(self, seconds: float) -> bool:
        """Whether it has ended in time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return not self.running

    def leave(self) -> None:
        """Ends its standard input, and leaves it to itself: nobody asks how it ends, and it may outlive us."""
        self.tell("")
        # Without anybody who waits for it, it would stay as a zombie, and subprocess would warn of it.
        threading.Thread(target=self._process.wait, daemon=True).start()

    def end(self) -> None:
        """Ends it, politely first."""
        self.tell("")
        _end_group(self._process)
        with _LIVE.lock:
            _LIVE.processes.discard(self._process)


def start(command: Command, *, outlives_us: bool = False) -> Background:
    """Starts a command that goes on in the background; of ``command`` only argv, cwd, env and log are heeded.

    :func:`stop_all` ends it, unless it is to clean up after us: it sees its input end then. Raises as :func:`run` does.
    """
    with contextlib.ExitStack() as opened:
        log = opened.enter_context(command.log.open("ab")) if command.log else subprocess.DEVNULL
        with _LIVE.lock:
            refuse_when_stopping("before the next command")
            try:
                process = subprocess.Popen(
                    _located(command),
                    cwd=command.cwd,
                    env=None if command.env is None else dict(command.env),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    creationflags=_NEW_GROUP,
                )
            except OSError as error:
                raise _no_program(error, command) from error
            if not outlives_us:
                _LIVE.processes.add(process)
    return Background(process)


def quoted(argv: Sequence[str]) -> str:
    """The command as a person would paste it into a POSIX shell."""
    return shlex.join(argv)


def hand_over(command: Command) -> int:
    """Runs a command with this terminal: it reads and writes what we would, and takes the signals of the keyboard.

    Answers with its exit code, 128 + N where signal N ended it, as shells do.
    """
    try:
        process = subprocess.Popen(_located(command), cwd=command.cwd, env=command.env)
    except OSError as error:
        raise _no_program(error, command) from error
    with _handing_on(process):
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _handing_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Signals are the command's: the terminal gives it Ctrl-C itself, what is sent to us is handed on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hand_on(number: int, _frame: object) -> None:
        process.send_signal(number)

    before = {signal.SIGINT: signal.signal(signal.SIGINT, lambda _number, _frame: None)}
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            number = getattr(signal, name)
            before[number] = signal.signal(number, hand_on)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
