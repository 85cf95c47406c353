"""A pytest plugin: runs a test again beneath which the engine itself ended.

dockerd is known to end by itself at times, where much is built at once (https://github.com/moby/moby/issues/48564).
That says nothing of what is tested. docker_command.py starts it again and tells of it in the file that the variable
names; a test that failed while a line came is run once more, and FILE.tests names it. Any other failure stays one.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.runner import runtestprotocol
from tests.support.docker_engine import FALLS, engine_at
from tests.support.docker_registry import RegistryClient

if TYPE_CHECKING:
    from collections.abc import Generator

    from _pytest.fixtures import SubRequest

__all__ = ["pytest_fixture_setup", "pytest_runtest_protocol"]

#: dockerd is up in two on a machine that does nothing else.
_START_SECONDS = 60

#: Fixtures that could not be set up, and for whom: each would say so again without another try.
_FAILED: list[tuple[pytest.FixtureDef[object], SubRequest]] = []


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object], request: SubRequest) -> Generator[None, object, object]:
    """Takes down which fixtures fail."""
    try:
        return (yield)
    except BaseException:
        _FAILED.append((fixturedef, request))
        raise


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Tells of the test itself, so that nobody hears of a try that says nothing."""
    told = os.environ.get(FALLS)
    if not told:
        return None
    known, clock = len(_lines(told)), signal.getitimer(signal.ITIMER_REAL)
    _FAILED.clear()
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    if any(report.failed for report in reports) and _has_fallen(told, known):
        with Path(f"{told}.tests").open("a", encoding="utf-8") as file:
            file.write(f"{item.nodeid} failed meanwhile, and is run again\n")
        _forget_failures()
        signal.setitimer(signal.ITIMER_REAL, *clock)  # pytest-timeout's
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _has_fallen(told: str, known: int) -> bool:
    """Whether a line came; then what ended is there again. Who keeps the engine looks at it five times a second."""
    time.sleep(0.5)
    fallen = len(_lines(told)) > known
    deadline = time.monotonic() + _START_SECONDS
    while fallen and time.monotonic() < deadline and not _answers():
        time.sleep(0.1)
    return fallen


def _answers() -> bool:
    host, registry = (os.environ.get(f"CI_ENVS_TEST_{name}", "") for name in ("DOCKER_HOST", "REGISTRY"))
    return bool(not host or engine_at(host)) and (not registry or RegistryClient(registry).answers())


def _lines(path: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return Path(path).read_text("utf-8").splitlines()
    return []


def _forget_failures() -> None:
    """Has fixtures that failed made again, and sockets closed that nobody else closes."""
    for definition, request in _FAILED:
        definition.finish(request)
    hook, sys.unraisablehook = sys.unraisablehook, lambda _unraisable: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = hook
