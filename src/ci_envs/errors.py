"""The errors that end a verb, each with its own exit code.

A message says what happened and where; ``hint`` says what to try next. Exit codes are unique and documented
in ``docs/reference/exit-codes.md``; a test compares the two.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BrokenError",
    "BuildError",
    "CheckError",
    "CiEnvsError",
    "DriftFound",
    "InterruptedRun",
    "LockError",
    "NothingToDo",
    "PublishRefused",
    "Skip",
    "TestError",
    "ToolMissing",
    "UsageError",
]


class CiEnvsError(Exception):
    """Anything this program ends with on purpose; on its own, something unexpected."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", file: str = "", line: int = 0, title: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        #: The user's file that the message is about, relative to the project, and its 1-based line (0: unknown).
        self.file = file
        self.line = line
        #: A few words for a finding at that place; empty where the kind of the error says enough.
        self.title = title

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        return f"{where}{self.message}"


class UsageError(CiEnvsError):
    """A flag, a matrix or a configuration file says something it cannot mean."""

    exit_code = 2


class NothingToDo(CiEnvsError):  # noqa: N818 - reads as the sentence it is
    """No leg is left to run: the matrix, ``--only`` and ``--skip`` leave none."""

    exit_code = 3


class ToolMissing(CiEnvsError):  # noqa: N818
    """A tool that a leg needs is not on this machine."""

    exit_code = 4


class LockError(CiEnvsError):
    """A lock file is missing or stale, or the requirements cannot be locked."""

    exit_code = 5


class BuildError(CiEnvsError):
    """An environment could not be built from its lock."""

    exit_code = 6


class CheckError(CiEnvsError):
    """A built environment is not what it should be."""

    exit_code = 7


class TestError(CiEnvsError):
    """The project's own tests failed inside an environment."""

    exit_code = 8
    __test__ = False  # pytest must not collect it


class DriftFound(CiEnvsError):  # noqa: N818
    """Two records that should agree do not."""

    exit_code = 9


class PublishRefused(CiEnvsError):  # noqa: N818
    """A set that is to be published is not whole."""

    exit_code = 10


class InterruptedRun(CiEnvsError):  # noqa: N818
    """Ctrl-C or SIGTERM ended the run; what was finished is kept."""

    exit_code = 130


class BrokenError(CiEnvsError):
    """The world failed, not the project: an index that is down, a full disk, a builder that does not exist yet.

    A stage that raises it is ``broken: <message>``, never ``failed``.
    """


class Skip(CiEnvsError):  # noqa: N818
    """A stage has nothing it could do here, and says why: it is ``skipped: <message>``, never ``passed``."""
