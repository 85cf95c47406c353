"""Many legs: independent ones at once, an interrupt that stops their children and leaves true records."""

from __future__ import annotations

import contextlib
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from ci_envs import command
from ci_envs.errors import InterruptedRun
from ci_envs.pipeline import run_leg

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future
    from types import FrameType

    from ci_envs.model.record import RunRecord
    from ci_envs.order import Order
    from ci_envs.pipeline import Observer

__all__ = ["run_legs"]

#: How long a signal may go unseen.
_LOOK_SECONDS = 0.5


def run_legs(orders: Sequence[Order], *, jobs: int, observer: Observer) -> tuple[list[RunRecord], bool]:
    """The records in the orders' order, and whether the run was interrupted.

    A leg that an interrupt kept from beginning has no record among them.
    """
    told: SimpleQueue[Future[RunRecord] | None] = SimpleQueue()
    with _signals_tell(told) as signals, ThreadPoolExecutor(max_workers=max(1, jobs), thread_name_prefix="leg") as pool:
        futures = [pool.submit(run_leg, order, observer) for order in orders]
        for future in futures:
            future.add_done_callback(told.put)
        for _ in futures:
            if _next(told) is None:
                command.stop_all()
                pool.shutdown(wait=True, cancel_futures=True)
                break
    return [record for future in futures if (record := _result(future)) is not None], bool(signals)


def _next(told: SimpleQueue[Future[RunRecord] | None]) -> Future[RunRecord] | None:
    """What is told next. Handlers run between two steps of Python: a signal that comes just before a wait ends none."""
    while True:
        with contextlib.suppress(Empty):
            return told.get(timeout=_LOOK_SECONDS)


def _result(future: Future[RunRecord]) -> RunRecord | None:
    if future.cancelled():
        return None
    error = future.exception()
    if isinstance(error, InterruptedRun):
        return None  # it had not begun
    if error is not None:
        raise error
    return future.result()


_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def _signals_tell(told: SimpleQueue[Future[RunRecord] | None]) -> Iterator[list[int]]:
    """SIGTERM (a cancelled job, a closed terminal's SIGHUP) ends a run the way Ctrl-C does: each puts a None.

    Yields the numbers of those that have come, also of one that came too late to stop a leg.

    Nothing is raised where the signal happens to come: between a thread's start and the pool's note of it, that would
    leave a leg at work that nobody waits for. Nor does a second Ctrl-C: what is under way ends in seconds, and would
    be left half undone. The handler is none of SIG_IGN's kind, which children would inherit.

    A signal that we were started to ignore stays ignored: ``nohup`` means it.
    """
    in_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS if in_main}
    before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    signals: list[int] = []

    def tell(number: int, _frame: FrameType | None) -> None:
        signals.append(number)
        told.put(None)  # made to be used in handlers too, as no other queue is

    try:
        for number in before:
            signal.signal(number, tell)
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
