"""Which paths of a closure share a layer of an image. Pure.

The rule is the one of nixpkgs' ``dockerTools.buildLayeredImage``, told in
https://grahamc.com/blog/nix-and-layered-docker-images: what most others need gets a layer of its own, since another
image, and the next version of this one, need it too; what is left shares the last one.
"""

from __future__ import annotations

from collections import Counter
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from ci_envs.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci_envs.model.closure import Closure, StorePath

__all__ = ["by_popularity", "grouped"]


def grouped(closure: Closure, most: int) -> tuple[tuple[StorePath, ...], ...]:
    """The paths of each layer, the lowest first: one path each, and in the last one all for which there is no room.

    ``most`` is how many layers there may be, at least one.
    """
    known = {one.path: one for one in closure.paths}
    ordered = [known[path] for path in by_popularity(closure)]
    alone = ordered if len(ordered) <= most else ordered[: most - 1]
    rest = sorted(ordered[len(alone) :])
    return (*((one,) for one in alone), *((tuple(rest),) if rest else ()))


def by_popularity(closure: Closure) -> tuple[str, ...]:
    """The closure's paths, the most popular first; among equals the one that sorts first.

    A path counts once for each path that refers to it, and once more for each step that those are away from a root,
    which is a path that none refers to. References to what is not in the closure, and to itself, count for nothing.
    Raises :class:`BuildError` where paths refer to each other in a circle, which no store has.
    """
    known = {one.path for one in closure.paths}
    references = {one.path: {other for other in one.references if other in known} - {one.path} for one in closure.paths}
    roots = known.difference(*references.values())
    below: dict[str, Counter[str]] = {}
    for path in _leaves_first(references):
        below[path] = _counted(references[path], below)
    counts = _counted(roots, below)
    return tuple(sorted(known, key=lambda path: (-counts[path], path)))


def _counted(paths: Iterable[str], below: Mapping[str, Counter[str]]) -> Counter[str]:
    """How popular some paths and what is below them are, as far as those paths make it so."""
    counts: Counter[str] = Counter()
    for path in paths:
        counts[path] += 1
        for other, popularity in below[path].items():
            counts[other] += popularity + 1
    return counts


def _leaves_first(references: Mapping[str, set[str]]) -> tuple[str, ...]:
    try:
        return tuple(TopologicalSorter(references).static_order())
    except CycleError as error:
        raise BuildError(
            f"{error.args[1][0]} refers to itself by way of others, which no store has",
            hint="the list of the closure was altered: build it anew with --fresh",
        ) from error
