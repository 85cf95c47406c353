"""Whole processes, timed in pairs (ours, theirs, ours, theirs), so that a noisy machine is noise in both."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

RUNS = 5


class Taken(NamedTuple):
    """One run: seconds on the clock and peak memory in MiB."""

    seconds: float
    peak: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what was measured, against what, and the goal."""

    what: str
    ours: float
    theirs: float
    against: str
    goal: str
    met: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """Commands that are run one after another, as ``a && b`` would; ``before`` is not timed."""

    commands: tuple[tuple[str, ...], ...]
    env: Mapping[str, str]
    cwd: Path
    before: Callable[[], None] = field(default=lambda: None)

    def take(self) -> Taken:
        """Runs it once."""
        self.before()
        began, peak = time.perf_counter(), 0.0
        for command in self.commands:
            peak = max(peak, _run(command, self.env, self.cwd))
        return Taken(time.perf_counter() - began, peak)


def pairs(ours: Script, theirs: Script, runs: int = RUNS) -> tuple[float, float]:
    """Median seconds of both, after one uncounted run of each."""
    return answers(lambda: ours.take().seconds, lambda: theirs.take().seconds, runs)


def alone(script: Script, runs: int = RUNS) -> Taken:
    """Median seconds and the largest peak, after one uncounted run."""
    script.take()
    taken = [script.take() for _ in range(runs)]
    return Taken(statistics.median(one.seconds for one in taken), max(one.peak for one in taken))


def calls(ours: Callable[[], object], theirs: Callable[[], object], runs: int = RUNS) -> tuple[float, float]:
    """The same for two functions of this process."""
    return answers(lambda: _clock(ours), lambda: _clock(theirs), runs)


def answers(ours: Callable[[], float], theirs: Callable[[], float], runs: int = RUNS) -> tuple[float, float]:
    """The same for what two functions say that they took, in seconds."""
    ours(), theirs()
    taken = [(ours(), theirs()) for _ in range(runs)]
    return statistics.median(a for a, _ in taken), statistics.median(b for _, b in taken)


def _clock(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _run(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> float:
    """Runs to the end and answers with the peak memory of the process; a failure ends the benchmark."""
    with subprocess.Popen(command, env=env, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        said = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} exited with {process.returncode}:\n{said.decode(errors='replace')}")
    return usage.ru_maxrss / 1024
