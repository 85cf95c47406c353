"""A plan: the legs of a matrix and what a CI system needs to run each in a job of its own."""

from __future__ import annotations

from typing import Any

import msgspec

from ci_envs.model.leg import Leg

__all__ = ["Cell", "Expansion", "LeftOut", "Plan", "PlannedLeg", "Platforms"]


class LeftOut(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A combination that the matrix excludes."""

    id: str
    reason: str


class Cell(msgspec.Struct, frozen=True, gc=False):
    """A leg, and the include entries that had a part in it, by their positions in the matrix."""

    leg: Leg
    added: tuple[int, ...] = ()


class Expansion(msgspec.Struct, frozen=True, kw_only=True):
    """What a matrix comes to."""

    cells: list[Cell]
    left_out: list[LeftOut]

    @property
    def legs(self) -> list[Leg]:
        """The legs in the order of the matrix."""
        return [cell.leg for cell in self.cells]


class PlannedLeg(Leg, frozen=True, kw_only=True, gc=False):
    """A leg with what its job needs."""

    #: Runner label, or the labels that a runner must have all of.
    runs_on: str | tuple[str, ...] = ""
    timeout_minutes: int = 0
    #: Names what may be restored for the leg; another lock, runner or version of ci-envs gives another key.
    cache_key: str = ""
    #: The command that makes the leg on a laptop.
    reproduce: str = ""
    #: Why an include entry made or changed it, where the entry says so.
    reason: str = ""
    #: The tables of configuration that the matrix gives it.
    settings: dict[str, Any] = msgspec.field(default_factory=dict)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What ``ci-envs plan --json`` prints."""

    legs: tuple[PlannedLeg, ...] = ()
    #: Ids, at most 256 to a shard by default: the most jobs that one ``strategy.matrix`` may have.
    shards: tuple[tuple[str, ...], ...] = ()
    left_out: tuple[LeftOut, ...] = ()


class Platforms(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What the world calls its machines: ``resources/platforms.json``."""

    #: By :attr:`Leg.platform`: the label of a machine that anybody can have.
    runners: dict[str, str]
    #: The same for legs that ask for an accelerator.
    accelerated_runners: dict[str, tuple[str, ...]]
    timeout_minutes: int
