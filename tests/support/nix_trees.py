"""Store paths that nix has never seen: files below a root, and what nix would say of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tests.support.nix_archive import Leaf, nar

from ci_envs.model.closure import StorePath

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["LEAVES", "NAME", "stored"]

NAME = f"/nix/store/{'a' * 32}-thing-1.0"

#: One of each kind, and what a tar has trouble with.
LEAVES = {
    "bin/run": Leaf(b"#!/bin/sh\n", executable=True),
    "bin/again": Leaf(target="run"),
    "share/empty": Leaf(),
    "share/a-b": Leaf(b"x" * 3_000_000),
    "share/a/b": Leaf(b"deep"),
    "share/\u00e4\u2713": Leaf(b"named with more than ASCII"),
    f"share/{'long' * 40}": Leaf(b"longer than a header has room for"),
}


def stored(
    root: Path, leaves: Mapping[str, Leaf] = LEAVES, *, name: str = NAME, references: tuple[str, ...] = ()
) -> StorePath:
    """Writes a store path below a root."""
    for relative, leaf in leaves.items():
        path = root / name.lstrip("/") / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        if leaf.target:
            path.symlink_to(leaf.target)
        else:
            path.write_bytes(leaf.data)
            path.chmod(0o555 if leaf.executable else 0o444)
    data = nar(leaves)
    return StorePath(
        path=name,
        name=name.partition("-")[2],
        nar_hash=f"sha256:{hashlib.sha256(data).hexdigest()}",
        nar_size=len(data),
        references=references,
    )
