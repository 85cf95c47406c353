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
            for order in orders:
                futures.append(pool.submit(run_leg, order, observer))  # noqa: PERF401 - an interrupt must not lose them
            wait(futures, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            interrupted = True
            command.stop_all()
            pool.shutdown(wait=True, cancel_futures=True)
    return [record for future in futures if (record := _result(future)) is not None], interrupted


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
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM (a cancelled job, a closed terminal's SIGHUP) ends a run the way Ctrl-C does.

    A signal that we were started to ignore stays ignored: ``nohup`` means it.
    """
    in_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS if in_main}
    before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, _interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # What is under way ends in seconds; a second Ctrl-C would only leave half of it undone. Not SIG_IGN, which
    # children would inherit.
    for number in _SIGNALS:
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, _wait_for_the_end)
    raise KeyboardInterrupt


def _wait_for_the_end(_number: int, _frame: FrameType | None) -> None:
    pass
