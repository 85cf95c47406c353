"""How environments ask the probe, and what they make of its answers: the same on this machine and in a container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ci_envs.decoding import decode
from ci_envs.endings import how_it_ended
from ci_envs.errors import BuildError
from ci_envs.model.inventory import Inventory

if TYPE_CHECKING:
    from pathlib import PurePath

    from ci_envs.capture import Outcome

__all__ = ["PROBE_SECONDS", "SEARCH_PATH", "answer_of", "inventory_of", "probing"]

#: The probe only reads metadata; a prefix on a slow network disk still answers in this time.
PROBE_SECONDS = 120.0


#: For an interpreter whose packages lie where variables and its own ``sitecustomize`` say, as nix's do: what is on
#: its search path is installed.
SEARCH_PATH = "search-path"


def probing(python: PurePath, verb: str, *arguments: str, flags: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The command that reads the probe from its standard input; its answer is one line of JSON."""
    alone = ("-s",) if SEARCH_PATH in arguments else ("-I", "-S")
    return (str(python), *alone, *flags, "-", verb, *arguments)


def inventory_of(outcome: Outcome) -> Inventory:
    """What ``probe.py inventory`` said. :class:`BuildError` where it did not run, or said something else."""
    try:
        return decode(_said(outcome), Inventory)
    except msgspec.MsgspecError as error:
        raise _unread(error) from error


def answer_of(outcome: Outcome) -> dict[str, Any]:
    """What another verb said. :class:`BuildError` as above."""
    import json  # msgspec refuses half a surrogate pair, which stands for a byte of a name that is no text

    try:
        answer: dict[str, Any] = json.loads(_said(outcome))
    except ValueError as error:
        raise _unread(error) from error
    return answer


def _said(outcome: Outcome) -> str:
    if not outcome:
        why = "" if outcome.oom else outcome.tail(3)
        raise BuildError(f"the interpreter of the environment does not run: {why or f'it {how_it_ended(outcome)}'}")
    return outcome.stdout


def _unread(error: Exception) -> BuildError:
    return BuildError(f"the probe's answer cannot be read: {error}")
