"""What is in a nix store for one environment: paths with their hashes, and what refers to what."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import msgspec

__all__ = ["Closure", "StorePath"]


class StorePath(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One path of a store."""

    #: ``/nix/store/<hash>-<name>``.
    path: str
    #: What follows the hash, cut where nix cuts it: ``python3`` and ``3.11.9``; the version may be empty.
    name: str
    version: str = ""
    #: ``sha256:<hex>`` of its serialisation as a NAR.
    nar_hash: str
    #: Bytes of that serialisation.
    nar_size: int
    #: The paths that occur in it, sorted; itself may be among them.
    references: tuple[str, ...] = ()
    #: Whether this machine built it; ``False`` for what a binary cache gave.
    built_here: bool = False
    #: The derivation that makes it; empty where that is not known, as of sources.
    deriver: str = ""
    #: Whether its path follows from its content (sources, fixed outputs): anybody can prove it, no signature is needed.
    content_addressed: bool = False


class Closure(msgspec.Struct, frozen=True, kw_only=True):
    """Paths and all that they refer to."""

    #: Sorted.
    paths: tuple[StorePath, ...] = ()

    @property
    def bytes(self) -> int:
        """The sum of their sizes as NARs."""
        return sum(one.nar_size for one in self.paths)

    @property
    def in_order(self) -> tuple[StorePath, ...]:
        """Each after all that it refers to; a store has no cycles but of a path with itself."""
        known = {one.path: one for one in self.paths}
        graph = {
            one.path: [path for path in one.references if path in known and path != one.path] for one in self.paths
        }
        try:
            return tuple(known[path] for path in TopologicalSorter(graph).static_order())
        except CycleError:
            return self.paths
