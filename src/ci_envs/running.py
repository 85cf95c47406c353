"""Many legs: independent ones at once, an interrupt that stops their children and leaves true records."""

from __future__ import annotations

import contextlib
import signal
import threading
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from ci_envs import command
from ci_envs.errors import InterruptedRun
from ci_envs.pipeline import run_leg

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from ci_envs.model.record import RunRecord
    from ci_envs.order import Order
    from ci_envs.pipeline import Observer

__all__ = ["run_legs"]


def run_legs(orders: Sequence[Order], *, jobs: int, observer: Observer) -> tuple[list[RunRecord], bool]:
    """The records in the orders' order, and whether the run was interrupted.

    A leg that an interrupt kept from beginning has no record among them.
    """
    futures: list[Future[RunRecord]] = []
    interrupted = False
    with _signals_interrupt(), ThreadPoolExecutor(max_workers=max(1, jobs), thread_name_prefix="leg") as pool:
        try:
            futures += [pool.submit(run_leg, order, observer) for order in orders]
            wait(futures, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            interrupted = True
            # What is under way ends in seconds; a second Ctrl-C would only leave half of it undone.
            _ignore_signals()
            command.stop_all()
            pool.shutdown(wait=True, cancel_futures=True)
    return [record for future in futures if (record := _result(future)) is not None], interrupted


def _result(future: Future[RunRecord]) -> RunRecord | None:
    if future.cancelled():
        return None
    error = future.exception()
    if isinstance(error, InterruptedRun):
        return None
    if error is not None:
        raise error
    return future.result()


@contextlib.contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM (a cancelled job, a closed terminal's SIGHUP) ends a run the way Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        for number in _SIGNALS:
            signal.signal(number, _interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _ignore_signals() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            # Not SIG_IGN: a child would inherit that.
            signal.signal(number, lambda _number, _frame: None)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
