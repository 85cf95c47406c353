"""Processes are read from a folder of the test's own. tests/component/test_nix_shell.py has real ones."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from ci_envs import stragglers
from ci_envs.stragglers import MARK, end_left, mark

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the variables of other processes")


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[int, int]]:
    """What is sent to whom; nobody ends by it."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(stragglers, "_PROC", tmp_path)
    monkeypatch.setattr(stragglers, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(os, "kill", lambda process, number: sent.append((process, number)))
    return sent


def process(folder: Path, number: int, name: str, *variables: str) -> None:
    (folder / str(number)).mkdir()
    (folder / str(number) / "environ").write_bytes(b"".join(f"{each}\0".encode() for each in variables))
    (folder / str(number) / "comm").write_text(f"{name}\n")


def test_marks_differ() -> None:
    assert mark() != mark()


def test_what_carries_the_mark_is_ended_and_named(tmp_path: Path, signals: list[tuple[int, int]]) -> None:
    process(tmp_path, 11, "postgres", "A=1", f"{MARK}=mine")
    process(tmp_path, 12, "redis", f"{MARK}=mine", "B=2")

    assert end_left("mine") == ("postgres", "redis")
    assert set(signals) == {(number, kind) for number in (11, 12) for kind in (signal.SIGTERM, signal.SIGKILL)}


def test_everything_else_is_left_alone(tmp_path: Path, signals: list[tuple[int, int]]) -> None:
    process(tmp_path, 11, "other", f"{MARK}=another", f"X{MARK}=mine", f"{MARK}=mine2")
    process(tmp_path, 12, "zombie")
    (tmp_path / "13").mkdir()  # whose variables cannot be read
    (tmp_path / "self").mkdir()

    assert end_left("mine", 4711) == ()
    assert signals == []


def test_on_windows_nothing_is_sent(monkeypatch: pytest.MonkeyPatch, signals: list[tuple[int, int]]) -> None:
    # os.kill takes signal 0 for Ctrl-C there, and would send it.
    monkeypatch.setattr(sys, "platform", "win32")
    assert end_left("mine", 4711) == ()
    assert signals == []


def test_elsewhere_the_commands_group_is_ended(monkeypatch: pytest.MonkeyPatch, signals: list[tuple[int, int]]) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert end_left("mine") == ()
    assert end_left("mine", 4711) == ("a process",)
    assert {process for process, _ in signals} == {-4711}
    assert {kind for _, kind in signals} == {0, signal.SIGTERM, signal.SIGKILL}
