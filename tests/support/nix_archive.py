"""A NAR written byte by byte: a tree as nix sees it, with no time, no owner, and one order.

The format is that of E. Dolstra's thesis "The purely functional software deployment model", figure 5.2.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Leaf", "nar", "sri", "write_nar"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A file, or a symbolic link where it has a target."""

    data: bytes = b""
    executable: bool = False
    target: str = ""


_Tree = dict[str, "Leaf | _Tree"]


def nar(leaves: Mapping[str, Leaf]) -> bytes:
    """The archive of a folder; ``leaves`` are by relative path."""
    return b"".join([_text("nix-archive-1"), *_node(_tree(leaves))])


def write_nar(path: Path, leaves: Mapping[str, Leaf]) -> str:
    """Writes the archive and returns its hash, which is the narHash of the store path that it becomes."""
    data = nar(leaves)
    path.write_bytes(data)
    return sri(data)


def sri(data: bytes) -> str:
    """The hash as nix writes it: ``sha256-`` and base64."""
    return f"sha256-{base64.b64encode(hashlib.sha256(data).digest()).decode()}"


def _tree(leaves: Mapping[str, Leaf]) -> _Tree:
    root: _Tree = {}
    for path, leaf in leaves.items():
        *folders, name = path.split("/")
        folder = root
        for part in folders:
            inside = folder.setdefault(part, {})
            assert isinstance(inside, dict), f"{path} is below a file"
            folder = inside
        folder[name] = leaf
    return root


def _node(node: Leaf | _Tree) -> Iterator[bytes]:
    yield _text("(")
    yield _text("type")
    if isinstance(node, dict):
        yield _text("directory")
        # By the bytes of the name.
        for name in sorted(node, key=str.encode):
            yield from map(_text, ("entry", "(", "name", name, "node"))
            yield from _node(node[name])
            yield _text(")")
    elif node.target:
        yield from map(_text, ("symlink", "target", node.target))
    else:
        yield _text("regular")
        if node.executable:
            yield from map(_text, ("executable", ""))
        yield _text("contents")
        yield _string(node.data)
    yield _text(")")


def _text(text: str) -> bytes:
    return _string(text.encode())


def _string(data: bytes) -> bytes:
    """Its length in eight bytes, the least first, and itself, up to a multiple of eight."""
    return len(data).to_bytes(8, "little") + data + b"\0" * (-len(data) % 8)
