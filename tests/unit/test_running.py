from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.observers import Told
from tests.support.work import a_leg, an_order

from ci_envs import command
from ci_envs.layout import Layout
from ci_envs.running import run_legs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci_envs.order import Order


@pytest.fixture(autouse=True)
def _goes_on() -> Iterator[None]:
    """An interrupt stops this program for good; the next test is a program of its own."""
    yield
    command._LIVE.stopping = False


@pytest.fixture
def orders(tmp_path: Path) -> list[Order]:
    """Three legs for another machine: each is skipped at once, and starts nothing."""
    Layout.at(tmp_path, {}).prepare()
    return [an_order(tmp_path, leg=a_leg(arch="mips", python=python)) for python in ("3.11", "3.12", "3.13")]


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_records_come_in_the_orders_order(orders: list[Order]) -> None:
    records, interrupted = run_legs(orders, jobs=3, observer=Told())
    assert not interrupted
    assert [record.leg for record in records] == [order.leg for order in orders]
    assert {record.status for record in records} == {"skipped"}


def test_no_legs_make_no_records() -> None:
    assert run_legs([], jobs=4, observer=Told()) == ([], False)


@pytest.mark.parametrize("jobs", [0, 1])
def test_one_job_runs_one_leg_after_the_other(orders: list[Order], jobs: int) -> None:
    told = Told()
    run_legs(orders, jobs=jobs, observer=told)
    assert [event.partition(" ")[0] for event in told.events] == [order.leg.id for order in orders for _ in range(4)]


def test_two_jobs_run_two_legs_at_once(orders: list[Order]) -> None:
    both = threading.Barrier(2, timeout=30)

    def meet(event: str) -> None:
        if event.endswith("detect begins") and not event.startswith(orders[2].leg.id):
            both.wait()  # ends only where two legs are under way

    records, _ = run_legs(orders, jobs=2, observer=Told(meet))
    assert len(records) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_lets_what_is_under_way_end_and_begins_nothing_more(orders: list[Order], name: str) -> None:
    before = handlers()
    told = Told()

    def interrupt(event: str) -> None:
        if event == f"{orders[0].leg.id} begins":
            os.kill(os.getpid(), signal.Signals[name])
            ended.wait(30)

    ended = threading.Event()
    stop_all = command.stop_all

    def stop() -> None:
        stop_all()
        ended.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "stop_all", stop)
        records, interrupted = run_legs(orders, jobs=1, observer=Told(interrupt))
    assert interrupted
    assert [record.leg for record in records] in ([], [orders[0].leg])
    assert not any(orders[2].leg.id in event for event in told.events)
    assert handlers() == before


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_signal_while_a_leg_is_handed_out_leaves_no_leg_at_work(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    start, at_work = threading.Thread.start, threading.Event()

    def start_and_interrupt(thread: threading.Thread) -> None:
        start(thread)
        at_work.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    def take_long(event: str) -> None:
        at_work.set()
        if event.endswith("detect begins"):
            threading.Event().wait(0.3)

    monkeypatch.setattr(threading.Thread, "start", start_and_interrupt)
    told = Told(take_long)
    _, interrupted = run_legs(orders[:1], jobs=1, observer=told)
    assert interrupted
    assert len(told.records) == 1, "it was not waited for"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_signal_that_comes_too_late_to_stop_a_leg_is_told(orders: list[Order]) -> None:
    def interrupt(event: str) -> None:
        if event == f"{orders[0].leg.id} skipped":  # after which nothing more is asked of the leg
            os.kill(os.getpid(), signal.SIGINT)

    records, interrupted = run_legs(orders[:1], jobs=1, observer=Told(interrupt))
    assert [record.status for record in records] == ["skipped"]
    assert interrupted


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_signal_that_is_ignored_stays_ignored(orders: list[Order]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        records, interrupted = run_legs(
            orders, jobs=1, observer=Told(lambda _event: os.kill(os.getpid(), signal.SIGHUP))
        )
        assert (len(records), interrupted) == (3, False)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_in_another_thread_leaves_signals_alone(orders: list[Order]) -> None:
    before, found = handlers(), []
    thread = threading.Thread(target=lambda: found.append(run_legs(orders, jobs=2, observer=Told())))
    thread.start()
    thread.join()
    assert len(found[0][0]) == 3
    assert handlers() == before


def test_a_bug_of_an_observer_is_no_leg_that_passed(orders: list[Order]) -> None:
    def fail(event: str) -> None:
        if event.endswith("begins"):
            raise ZeroDivisionError("an observer's bug")

    with pytest.raises(ZeroDivisionError):
        run_legs(orders, jobs=2, observer=Told(fail))
