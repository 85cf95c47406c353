"""py-rattler from threads: its coroutines run to their end here, and an interrupt ends them."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, TypeVar

from ci_envs import command
from ci_envs.errors import InterruptedRun, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["complete", "has_rattler", "require_rattler"]

T = TypeVar("T")

#: How long an interrupt may go unseen.
_LOOK_SECONDS = 0.1


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


def complete(work: Coroutine[object, object, T]) -> T:
    """What a coroutine comes to; :class:`InterruptedRun` where a signal came first, after it was cancelled."""
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

    return asyncio.run(watched())
