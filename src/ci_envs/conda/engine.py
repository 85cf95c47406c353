"""py-rattler from threads: its coroutines run to their end here, and an interrupt ends them."""

from __future__ import annotations

import atexit
import importlib.util
import threading
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ci_envs import command
from ci_envs.errors import InterruptedRun, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["complete", "has_rattler", "require_rattler", "wait_for_threads"]

T = TypeVar("T")

#: How long an interrupt may go unseen.
_LOOK_SECONDS = 0.1

#: Between two looks at the threads of this process, and how long it looks at most.
_BETWEEN_LOOKS_SECONDS = 0.002
_LONGEST_END_SECONDS = 1.0

_TASKS = Path("/proc/self/task")


def has_rattler() -> bool:
    """Whether the embedded front end is installed. Nothing is imported."""
    return importlib.util.find_spec("rattler") is not None


def require_rattler() -> None:
    """:class:`ToolMissing` where py-rattler is not installed, with the command that brings it."""
    if not has_rattler():
        raise ToolMissing(
            "py-rattler, which solves and installs conda packages, is not installed beside ci-envs",
            hint="pip install 'repro-envs[conda]'",
        )


def complete(work: Coroutine[object, object, T], *, to_its_end: bool = False) -> T:
    """What a coroutine comes to; :class:`InterruptedRun` where a signal came first, after it was cancelled.

    ``to_its_end`` lets no signal end it: the threads of a cancelled coroutine may go on for a while.
    """
    import asyncio

    async def watched() -> T:
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=_LOOK_SECONDS)
                if command.stopping() and not task.done():
                    raise InterruptedRun("stopped")
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    _let_threads_end_first()
    return asyncio.run(work if to_its_end else watched())


@cache
def _let_threads_end_first() -> None:
    """Has this process wait for rattler's threads when it ends.

    They hold Python's lock once more after their work is done. A process that ends in that moment is ended by a signal
    (py-rattler 0.28: one in 64 of 16 processes at once on two processors that did nothing after ``rattler.install``).
    """
    atexit.register(wait_for_threads)


def wait_for_threads() -> None:
    """Until every other thread has been asleep in two looks one after the other: none of them waits for us then."""
    deadline = time.monotonic() + _LONGEST_END_SECONDS
    asleep = 0
    while asleep < 2 and time.monotonic() < deadline:
        time.sleep(_BETWEEN_LOOKS_SECONDS)
        asleep = asleep + 1 if _others_sleep() else 0


def _others_sleep() -> bool:
    """Whether all threads of this process but this one wait for something; always so where nobody tells (not Linux)."""
    own = str(threading.get_native_id())
    try:
        # "<id> (<name>) <state> ...", and the name may hold anything (proc(5)).
        told = [
            path.read_text().rpartition(")")[2].split()[0] for path in _TASKS.glob("*/stat") if path.parent.name != own
        ]
    except (OSError, IndexError):
        return False  # one has just ended
    return all(state == "S" for state in told)
