"""Builds an image twice, each time past every cache of the builder, and compares the two manifests.

What differs is named by layer, instruction and file. An engine that gives no archive (its image store is the classic
one) has no manifest that could be the same twice: there the environments inside are compared.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from ci_envs.building import Facts
from ci_envs.containers.cleaning import remove_all
from ci_envs.containers.image_difference import compare
from ci_envs.decoding import convert
from ci_envs.layout import Layout, remove_tree
from ci_envs.verifying import Verdict, build_apart

if TYPE_CHECKING:
    from ci_envs.order import Order
    from ci_envs.pipeline import Observer

__all__ = ["verify_image"]

#: Paths of one layer that differ in one way: where time stamps were not rewritten, every file does.
_SHOWN = 20


def verify_image(order: Order, observer: Observer) -> Verdict:
    """Two builds of one lock. :class:`BuildError` where one of them cannot be built.

    Both are the verification's own: the leg's image is left alone, and nothing of the two stays.
    """
    folder = order.layout.state / "verify" / order.leg.id
    with order.layout.alone(f"verify-{order.leg.id}"):
        layouts = [Layout(root=order.layout.root, state=folder / name) for name in ("first", "second")]
        try:
            facts = [_built(_placed(order, layout), observer) for layout in layouts]
            return _compared(order, layouts, facts)
        finally:
            for layout in layouts:
                remove_all(layout, order.environ)
            remove_tree(folder)
            with contextlib.suppress(OSError):  # another leg is being verified
                folder.parent.rmdir()


def _placed(order: Order, layout: Layout) -> Order:
    return replace(
        order,
        layout=layout,
        archive=layout.state / "image.tar",
        fresh=True,
        stages=frozenset({"detect", "lock", "build"}),
    )


def _built(order: Order, observer: Observer) -> Facts:
    build_apart(order, observer)
    kept = msgspec.json.decode(order.layout.image(order.leg.id).read_bytes())
    return convert(kept["facts"], Facts)


def _compared(order: Order, layouts: list[Layout], facts: list[Facts]) -> Verdict:
    one, other = (layout.state / "image.tar" for layout in layouts)
    if one.is_file() and other.is_file():
        found = compare(one, other)
        return Verdict(
            leg=order.leg.id,
            same=found.same,
            first=found.first,
            second=found.second,
            differences=found.differences(limit=_SHOWN),
        )
    first, second = (one.digest for one in facts)
    return Verdict(leg=order.leg.id, same=first == second, first=first, second=second)
