"""Builds an environment a second time, elsewhere and from nothing, and compares what is in the two."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from ci_envs.building import read_digest
from ci_envs.digest import Difference, differences
from ci_envs.errors import BuildError
from ci_envs.layout import Layout, remove_tree
from ci_envs.running import run_legs

if TYPE_CHECKING:
    from ci_envs.model.record import RunRecord
    from ci_envs.order import Order
    from ci_envs.pipeline import Observer

__all__ = ["Verdict", "verify"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Two builds of one lock."""

    leg: str
    same: bool
    first: str
    second: str
    #: Path, kind and, where it is known, the reason.
    differences: tuple[Difference, ...] = ()


def verify(order: Order, observer: Observer) -> Verdict:
    """Builds the leg twice; both builds are its own: the environment that stands there is left alone.

    Raises :class:`BuildError` where one of the two cannot be built.
    """
    digests = []
    layouts = [_layout(order.layout, number) for number in (1, 2)]
    try:
        for layout in layouts:
            remove_tree(layout.state)
            layout.prepare()
            record = _built(replace(order, layout=layout, fresh=True, recorded=True), observer)
            digests.append(read_digest(layout.prefix(record.leg.id)))
        first, second = digests
        return Verdict(
            leg=order.leg.id,
            same=first.value == second.value,
            first=first.value,
            second=second.value,
            differences=tuple(differences(first, second)),
        )
    finally:
        for layout in layouts:
            remove_tree(layout.state)


def _layout(layout: Layout, number: int) -> Layout:
    # The two paths differ in length, so that a path in some file cannot go unseen.
    return Layout(root=layout.root, state=layout.state / "verify" / ("b" * 3**number))


def _built(order: Order, observer: Observer) -> RunRecord:
    order = replace(order, stages=frozenset({"detect", "lock", "build"}))
    records, interrupted = run_legs([order], jobs=1, observer=observer)
    if interrupted or not records or records[0].status != "passed":
        raise BuildError(records[0].reason if records else "interrupted", hint=f"run it alone: {order.reproduce}")
    return records[0]
