"""rattler's threads must be at rest before the interpreter goes."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ci_envs.conda import engine
from ci_envs.errors import InterruptedRun

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads are looked up in /proc")


@pytest.fixture
def busy() -> Iterator[threading.Event]:
    """A thread that works until it is told to stop."""
    enough = threading.Event()

    def work() -> None:
        while not enough.is_set():
            pass

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield enough
    enough.set()
    thread.join()


def test_a_thread_that_works_is_waited_for(busy: threading.Event) -> None:
    threading.Timer(0.2, busy.set).start()
    began = time.monotonic()
    engine.wait_for_threads()
    assert 0.15 < time.monotonic() - began < 0.9


def test_nobody_is_waited_for_for_ever(busy: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_LONGEST_END_SECONDS", 0.05)
    began = time.monotonic()
    engine.wait_for_threads()
    assert not busy.is_set()
    assert time.monotonic() - began < 0.5


def test_threads_that_rest_cost_next_to_nothing() -> None:
    resting = threading.Event()
    thread = threading.Thread(target=resting.wait, daemon=True)
    thread.start()
    seconds = []
    for _ in range(5):
        began = time.monotonic()
        engine.wait_for_threads()
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.2
    resting.set()


def test_what_runs_to_its_end_is_not_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> str:
        await asyncio.sleep(0.25)
        return "done"

    monkeypatch.setattr("ci_envs.command.stopping", lambda: True)
    with pytest.raises(InterruptedRun):
        engine.complete(work())
    assert engine.complete(work(), to_its_end=True) == "done"
