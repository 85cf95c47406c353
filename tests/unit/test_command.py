from __future__ import annotations

import signal
import subprocess
import threading
from dataclasses import dataclass, field
from typing import cast

import pytest

from ci_envs import command
from ci_envs.command import Command, Outcome, quoted


@pytest.mark.parametrize(
    ("returncode", "timed_out", "good"), [(0, False, True), (1, False, False), (-9, False, False), (0, True, False)]
)
def test_an_outcome_is_good_only_with_exit_code_0_in_time(returncode: int, timed_out: bool, good: bool) -> None:
    assert bool(Outcome(argv=("x",), returncode=returncode, timed_out=timed_out)) is good


def test_the_tail_is_the_last_lines_with_the_errors_last() -> None:
    outcome = Outcome(argv=("x",), returncode=1, stdout="one\ntwo\n", stderr="three\n")

    assert outcome.output == "one\ntwo\n\nthree"
    assert outcome.tail(1) == "three"


def test_a_command_reads_as_a_person_would_paste_it() -> None:
    assert str(Command(("uv", "pip", "install", "a b", "$HOME"))) == "uv pip install 'a b' '$HOME'"
    assert quoted(["echo", "it's"]) == """echo 'it'"'"'s'"""


# --- Windows, by its facts


@dataclass
class Child:
    """A process that only notes what is done to it."""

    ended: bool = False
    told: list[object] = field(default_factory=list)
    pid: int = 4711

    def poll(self) -> int | None:
        return 0 if self.ended else None

    def send_signal(self, number: int) -> None:
        self.told.append(number)

    def kill(self) -> None:
        self.told.append("kill")


def end_on_windows(child: Child, monkeypatch: pytest.MonkeyPatch, *, politely: bool) -> list[object]:
    monkeypatch.setattr(subprocess, "run", lambda argv, **_: child.told.append(argv))
    monkeypatch.setattr(signal, "CTRL_BREAK_EVENT", 1, raising=False)
    monkeypatch.setenv("SystemRoot", r"C:\Windows")
    command._end_on_windows(cast("subprocess.Popen[bytes]", child), politely=politely)
    return child.told


def test_on_windows_a_command_is_asked_to_end_by_ctrl_break(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ctrl-C is switched off in a process group of its own.
    assert end_on_windows(Child(), monkeypatch, politely=True) == [1]


def test_on_windows_a_command_is_ended_with_all_that_it_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    taskkill = (r"C:\Windows\System32\taskkill.exe", "/PID", "4711", "/T", "/F")
    assert end_on_windows(Child(), monkeypatch, politely=False) == [taskkill, "kill"]


@pytest.mark.parametrize("politely", [True, False])
def test_on_windows_a_number_that_may_be_anothers_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, politely: bool
) -> None:
    assert end_on_windows(Child(ended=True), monkeypatch, politely=politely) == []


def test_a_wait_without_a_limit_is_made_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows runs no handler of a signal before a wait has ended."""
    waits: list[float | None] = []

    class Event(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            if len(waits) == 3:
                self.set()
            return self.is_set()

    assert command._set_in_time(Event(), None)
    assert waits == [command._LOOK_SECONDS] * 3


def test_a_wait_with_a_limit_ends_with_it() -> None:
    assert not command._set_in_time(threading.Event(), 0.01)
    done = threading.Event()
    done.set()
    assert command._set_in_time(done, 0)
