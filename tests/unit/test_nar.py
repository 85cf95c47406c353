"""The archive of a tree, held against one that another hand has written."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from tests.support.nix_archive import Leaf, nar

from ci_envs.guix.closure import altered_paths
from ci_envs.model.closure import Closure, StorePath
from ci_envs.nar import read_nar

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="it has neither links nor modes")

LEAVES = {
    "a/tool": Leaf(b"x" * 9, executable=True),
    "a-b": Leaf(b""),
    "link": Leaf(target="a/tool"),
    "B/eight": Leaf(b"12345678"),
}


def write(root: Path) -> Path:
    for name, leaf in LEAVES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if leaf.target:
            path.symlink_to(leaf.target)
        else:
            path.write_bytes(leaf.data)
            path.chmod(0o755 if leaf.executable else 0o644)
    return root


def test_hash_and_size_are_those_of_the_archive(tmp_path: Path) -> None:
    found, archive = read_nar(write(tmp_path / "tree")), nar(LEAVES)

    assert found == (f"sha256:{hashlib.sha256(archive).hexdigest()}", len(archive))


def test_names_at_the_top_can_be_left_out(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree")
    expected = read_nar(tree)
    (tree / "tool").touch()

    assert read_nar(tree, but=("tool",)) == expected


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match="is no file, link or folder"):
        read_nar(tmp_path)


def test_a_path_that_has_other_bytes_or_is_gone_is_altered(tmp_path: Path) -> None:
    kept, changed = write(tmp_path / "0-kept"), write(tmp_path / "0-changed")
    gone = tmp_path / "0-gone"
    hashed = read_nar(kept)
    paths = (
        StorePath(path=str(one), name=one.name, nar_hash=hashed.sha256, nar_size=hashed.size)
        for one in (kept, changed, gone)
    )
    (changed / "a-b").write_text("more")

    assert altered_paths(Closure(paths=tuple(paths))) == (str(changed), str(gone))
