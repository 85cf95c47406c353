"""How a process ended, in words. Pure."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci_envs.command import Outcome

__all__ = ["crashed", "how_it_ended"]

#: Windows ends a process that crashed with the exception's NTSTATUS; those of severity "error" begin here.
#: https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-erref/596a1078-e883-4972-9bbc-49e60bebca55
_FIRST_NTSTATUS = 0xC0000000


def how_it_ended(outcome: Outcome) -> str:
    """``exited with 3``, ``was ended by SIGSEGV`` or ``was ended after 120 s``: what follows the command's name."""
    if outcome.oom:
        return f"ran out of memory ({outcome.oom})"
    if outcome.timed_out:
        return f"was ended after {outcome.seconds:.0f} s"
    if outcome.returncode < 0:
        return f"was ended by {_signal(-outcome.returncode)}"
    if outcome.returncode >= _FIRST_NTSTATUS:
        return f"was ended by exception 0x{outcome.returncode:X}"
    return f"exited with {outcome.returncode}"


def crashed(outcome: Outcome) -> bool:
    """Whether a signal or an exception of the system ended it, and no time limit did."""
    return not outcome.timed_out and not 0 <= outcome.returncode < _FIRST_NTSTATUS


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal between SIGRTMIN and SIGRTMAX has no name
        return f"signal {number}"
