"""Builds an environment a second time, elsewhere and from nothing, and compares what is in the two."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from ci_envs.assembling import read_digest
from ci_envs.content import HashCache
from ci_envs.digest import Difference, Digest, differences
from ci_envs.errors import BuildError, InterruptedRun
from ci_envs.layout import Layout, remove_tree
from ci_envs.patterns.registry import ALL_PATTERNS
from ci_envs.running import run_legs

if TYPE_CHECKING:
    from ci_envs.order import Order
    from ci_envs.pipeline import Observer

__all__ = ["Verdict", "build_apart", "verify"]

_OF_GUIX = (
    "guix made the profile twice and every byte was read twice, but what the store had was not built again: "
    "`guix challenge` compares it with other builders, `guix build --check` builds one package anew"
)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Two builds of one lock."""

    leg: str
    same: bool
    first: str
    second: str
    #: Path, kind and, where it is known, the reason.
    differences: tuple[Difference, ...] = ()
    #: What of it was built a second time, where that is not all of it.
    notes: tuple[str, ...] = ()


def verify(order: Order, observer: Observer) -> Verdict:
    """Builds the leg twice; both builds are its own: the environment that stands there is left alone.

    The first is what a run would build now. The second takes nothing from a cache, so that what uv or pip has built
    from sources is built again, and files that were altered in a cache show.

    Of a guix profile both are guix's own, each with every byte read; the notes say what that is worth.

    Raises :class:`BuildError` where one of the two cannot be built.
    """
    if ALL_PATTERNS[order.leg.pattern].contained:
        from ci_envs.containers.verifying import verify_image  # a prefix needs none of it

        return verify_image(order, observer)
    if order.leg.pattern == "nix":
        from ci_envs.nix.rebuilding import verify_nix

        return verify_nix(order, observer)
    with order.layout.alone(f"verify-{order.leg.id}"):
        layouts = [_layout(order, number) for number in (1, 2)]
        try:
            first, second = (_digest(_placed(order, layout), observer) for layout in layouts)
        finally:
            folder = layouts[0].state.parent
            remove_tree(folder)
            with contextlib.suppress(OSError):  # another leg is being verified
                folder.parent.rmdir()
    return Verdict(
        leg=order.leg.id,
        same=first.value == second.value,
        first=first.value,
        second=second.value,
        differences=tuple(differences(first, second)),
        notes=(_OF_GUIX,) if order.leg.pattern == "guix" else (),
    )


def _layout(order: Order, number: int) -> Layout:
    # The two paths differ in length, so that a path in some file cannot go unseen.
    folder = order.layout.state / "verify" / order.leg.id / ("b" * 3**number)
    return Layout(root=order.layout.root, state=folder)


def _placed(order: Order, layout: Layout) -> Order:
    """The order of one of the two builds."""
    environ = dict(order.environ)
    if layout == _layout(order, 2) and not order.policy.offline:
        environ |= {name: str(layout.state / "cache" / name) for name in ("UV_CACHE_DIR", "PIP_CACHE_DIR")}
    return replace(
        order,
        layout=layout,
        environ=environ,
        fresh=True,
        recorded=True,
        hashes=HashCache(),
        stages=frozenset({"detect", "lock", "build"}),
    )


def _digest(order: Order, observer: Observer) -> Digest:
    build_apart(order, observer)
    prefix = order.layout.prefix(order.leg.id)
    if order.leg.pattern == "guix":
        from ci_envs.guix.closure import digest_of_closure

        return digest_of_closure(prefix)
    return read_digest(prefix)


def build_apart(order: Order, observer: Observer) -> None:
    """One of the two builds, in a state folder that is made anew. :class:`BuildError` where it does not pass."""
    remove_tree(order.layout.state)
    order.layout.prepare()
    records, interrupted = run_legs([order], jobs=1, observer=observer)
    if interrupted:
        raise InterruptedRun("interrupted; nothing was compared")
    if records[0].status != "passed":
        raise BuildError(records[0].reason, hint=f"run it alone: {order.reproduce}")
