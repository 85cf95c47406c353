"""What a command says, and how it ended. All of it goes to a log as it comes, without secrets; its end is kept."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ci_envs.redact import Redactor

__all__ = ["LONGEST_LINE", "Capture", "Outcome", "opened_log"]

#: A longer line is taken in pieces, since a stream that never ends its line would fill the memory.
LONGEST_LINE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened.

    ``stdout`` and ``stderr`` are decoded as UTF-8, with what cannot be decoded replaced, and are redacted.
    """

    argv: tuple[str, ...]
    #: As the OS gives it: negative for the signal that ended it.
    returncode: int
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    timed_out: bool = False
    #: Of a command that the kernel ended for want of memory: how much there was, as in ``limit 64m``.
    oom: str = ""

    def __bool__(self) -> bool:
        return self.returncode == 0 and not self.timed_out

    @property
    def output(self) -> str:
        """Both streams, the errors last."""
        return f"{self.stdout}\n{self.stderr}".strip()

    @property
    def last_line(self) -> str:
        """The last line of standard output, where a program says its answer that others may speak before."""
        return self.stdout.strip().rpartition("\n")[2]

    def tail(self, lines: int = 20) -> str:
        """The last lines of what it said, for a message."""
        return "\n".join(self.output.splitlines()[-lines:])


@contextlib.contextmanager
def opened_log(path: Path | None, shown: str, redact: Redactor) -> Iterator[IO[bytes] | None]:
    """The log, to be appended to under a line that shows the command."""
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as log:
        log.write(f"$ {redact(shown)}\n".encode())
        log.flush()
        yield log


class Capture:
    """Takes one stream line by line: into the log, and up to ``limit`` bytes of its end into memory."""

    def __init__(
        self,
        log: IO[bytes] | None,
        redact: Redactor,
        limit: int,
        as_logged: Callable[[str], str] | None = None,
    ) -> None:
        self._log = log
        self._redact = redact
        self._limit = limit
        self._as_logged = as_logged
        self._kept: deque[bytes] = deque()
        self._size = 0
        self._begun = b""
        self._lock = threading.Lock()
        #: Why the log is not whole. What comes after is taken all the same: a command must not meet a closed pipe.
        self.failed: OSError | None = None

    def take(self, line: bytes) -> None:
        """One line with its end, or a piece of a very long one.

        Raises :class:`ValueError` where the log was closed, because nobody waits for this stream any more.
        """
        with self._lock:
            self._kept.append(line)
            self._size += len(line)
            while self._size > self._limit:
                self._size -= len(self._kept.popleft())
        if self._as_logged is not None:
            line = self._as_logged(line.decode("utf-8", "replace")).encode()
        if self._log is not None and self.failed is None:
            self._note(self._log, line)

    def take_piece(self, data: bytes) -> None:
        """Bytes that end where they happen to: a secret in two pieces is seen only in its whole line."""
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in lines:
            self.take(line + b"\n")
        if len(self._begun) >= LONGEST_LINE:
            self.finish()

    def finish(self) -> None:
        """The last line, which had no end."""
        line, self._begun = self._begun, b""
        if line:
            self.take(line)

    def _note(self, log: IO[bytes], line: bytes) -> None:
        try:
            log.write(self._redact(line.decode("utf-8", "replace")).encode())
            log.flush()
        except OSError as error:
            self.failed = OSError(error.errno, error.strerror, str(log.name))

    def text(self) -> str:
        """What was kept."""
        with self._lock:
            return b"".join(self._kept).decode("utf-8", "replace")
