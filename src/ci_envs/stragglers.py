"""Ends what a command has left running: scripts of a project start services that nobody would ever end.

A command that is to leave nothing gets a variable with a value of its own (:func:`mark`), which whatever it starts
inherits, also what has made itself a session of its own. Only Linux tells the variables of other processes (proc(5));
elsewhere the command's process group is all that can be found.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MARK", "end_left", "mark"]

#: The variable's name.
MARK = "CI_ENVS_STARTED_BY"

#: Between asking a process to end and ending it.
GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.02

_PROC = Path("/proc")


def mark() -> str:
    """A value that no other command has."""
    return secrets.token_hex(16)


def end_left(value: str, group: int = 0) -> tuple[str, ...]:
    """Ends all that carries the mark, politely first; the sorted names of the programs that were found.

    ``group`` is the command's process group, for systems other than Linux (0: none). To be called when the command
    itself has ended: whatever is found then was left behind.
    """
    found: set[str] = set()
    for number in _signals():
        left = _left(value, group)
        found |= set(left.values())
        for process in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, number)
        if not left or _all_gone(value, group):
            break
    return tuple(sorted(found))


def _signals() -> tuple[signal.Signals, ...]:
    if sys.platform == "win32":
        return (signal.SIGTERM,)
    return (signal.SIGTERM, signal.SIGKILL)


def _left(value: str, group: int) -> dict[int, str]:
    """What a signal can be sent to, with the names of the programs: processes, a negative number is a group."""
    if sys.platform == "linux":
        return dict(_marked(value))
    # Windows has no groups, and takes signal 0 for Ctrl-C.
    return {-group: "a process"} if group and sys.platform != "win32" and _has_members(group) else {}


def _marked(value: str) -> Iterator[tuple[int, str]]:
    """The processes that carry the mark. One that has ended and was not waited for has no variables any more."""
    wanted = f"{MARK}={value}".encode()
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name), (folder / "comm").read_text("utf-8", "replace").strip()


def _has_members(group: int) -> bool:
    # The id of a group is not another's while it has members.
    try:
        os.kill(-group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _all_gone(value: str, group: int) -> bool:
    """Whether they have ended in time."""
    deadline = time.monotonic() + GRACE_SECONDS
    while _left(value, group):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
