"""A plan: the legs of a matrix and what a CI system needs to run each in a job of its own."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ci_envs.model.leg import Leg

__all__ = ["MAX_LEFT_OUT", "Cell", "Expansion", "LeftOut", "Plan", "PlannedLeg", "Platforms"]


#: The most rows of :attr:`Plan.left_out`; the others are counted.
MAX_LEFT_OUT = 10_000


class LeftOut(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A leg that is not to be run: the matrix excludes it, or it was not chosen."""

    id: str
    reason: str


class Cell(msgspec.Struct, frozen=True, gc=False):
    """A leg, and the include entries that had a part in it, by their positions in the matrix."""

    leg: Leg
    added: tuple[int, ...] = ()


class Expansion(msgspec.Struct, frozen=True, kw_only=True):
    """What a matrix comes to."""

    #: What is to be run as far as the matrix and its strategy say.
    cells: list[Cell]
    #: What the matrix excludes.
    left_out: list[LeftOut]
    #: What the matrix allows and its strategy leaves out.
    thinned: list[Cell] = []
    #: Why it does.
    thinned_for: str = ""
    #: What the others have together.
    coverage: str = ""

    @property
    def combinations(self) -> int:
        """How many legs the matrix has without a strategy."""
        return len(self.cells) + len(self.thinned)

    @property
    def legs(self) -> list[Leg]:
        """The legs in the order of the matrix."""
        return [cell.leg for cell in self.cells]


class PlannedLeg(Leg, frozen=True, kw_only=True, gc=False):
    """A leg with what its job needs."""

    #: Runner label, or the labels that a runner must have all of.
    runs_on: str | tuple[str, ...] = ""
    timeout_minutes: int = 0
    #: What is known of a cache's key before the leg has its machine: another lock, runner label or version of ci-envs
    #: gives another one. Which image the runner has, and which interpreter, only the leg's own job knows.
    cache_key: str = ""
    #: The command that makes the leg on a laptop.
    reproduce: str = ""
    #: Why an include entry made or changed it, where the entry says so.
    reason: str = ""
    #: The tables of configuration that the matrix gives it.
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    #: Why it was kept, where others were left out for want of the same.
    kept: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What ``ci-envs plan --json`` prints, and the file that the jobs of a run hand each other."""

    legs: tuple[PlannedLeg, ...] = ()
    #: Ids, at most 256 to a shard by default: the most jobs that one ``strategy.matrix`` may have.
    shards: tuple[tuple[str, ...], ...] = ()
    #: The first 10,000 of them; ``left_out_more`` is how many there are beyond.
    left_out: tuple[LeftOut, ...] = ()
    left_out_more: int = 0
    #: The matrix file, relative to the project; empty where it was made from what the files describe.
    matrix: str = ""
    tier: str = ""
    strategy: str = ""
    #: What the legs have together, where they are what a strategy leaves and nothing was taken from them.
    coverage: str = ""
    #: How many legs the matrix has without strategy, tier and filters.
    combinations: int = 0
    #: ``skipped`` where nothing is to be done; ``reason`` says why.
    status: Literal["planned", "skipped"] = "planned"
    reason: str = ""
    #: What the names of the run's artifacts begin with.
    artifact: str = ""
    #: The run of a CI system that planned, ``<repository>/<run id>``; empty outside of one.
    run: str = ""


class Platforms(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What the world calls its machines: ``resources/platforms.json``."""

    #: By :attr:`Leg.platform`: the label of a machine that anybody can have.
    runners: dict[str, str]
    #: The same for legs that ask for an accelerator.
    accelerated_runners: dict[str, tuple[str, ...]]
    timeout_minutes: int
    #: The labels that GitHub gives its own runners: another one is the user's own, or a slip.
    hosted_labels: tuple[str, ...] = ()
