"""A layer of store paths: the same bytes for the same content, whatever else is true of the files."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
from typing import TYPE_CHECKING

import pytest
from tests.support.nix_archive import nar
from tests.support.nix_trees import LEAVES, NAME, stored

from ci_envs.errors import BuildError
from ci_envs.model.closure import StorePath
from ci_envs.nix.image_layers import Item, pack_items, pack_paths

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    folder = tmp_path / "blobs"
    folder.mkdir()
    return folder


def test_a_layer_holds_what_the_store_has(tmp_path: Path, blobs: Path) -> None:
    layer = pack_paths([stored(tmp_path)], blobs, root=tmp_path)
    data = (blobs / layer.digest.removeprefix("sha256:")).read_bytes()
    assert [path.name for path in blobs.iterdir()] == [hashlib.sha256(data).hexdigest()]
    assert (layer.size, layer.made_of) == (len(data), NAME)
    assert layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(data)).hexdigest()}"
    with tarfile.open(blobs / layer.digest.removeprefix("sha256:")) as tar:
        tar.extractall(tmp_path / "out", filter="fully_trusted")  # noqa: S202 - what was just packed
    out = tmp_path / "out" / NAME.lstrip("/")
    for relative, leaf in LEAVES.items():
        path = out / relative
        assert (str(path.readlink()) == leaf.target) if leaf.target else (path.read_bytes() == leaf.data)
    assert (out / "bin/run").stat().st_mode & 0o777 == 0o555


def test_entries_are_sorted_owned_by_root_and_as_old_as_a_store(tmp_path: Path, blobs: Path) -> None:
    layer = pack_paths([stored(tmp_path)], blobs, root=tmp_path)
    with tarfile.open(blobs / layer.digest.removeprefix("sha256:"), encoding="utf-8") as tar:
        members = tar.getmembers()
    assert [each.name for each in members[:4]] == ["nix", "nix/store", NAME.lstrip("/"), f"{NAME.lstrip('/')}/bin"]
    below = [each.name for each in members if each.name.startswith(f"{NAME.lstrip('/')}/share/")]
    assert [name.rpartition("share/")[2][:4] for name in below] == ["a", "a/b", "a-b", "empt", "long", "\u00e4\u2713"]
    assert {(each.uid, each.gid, each.uname, each.gname, each.mtime) for each in members} == {(0, 0, "", "", 1)}
    assert {each.mode for each in members if each.isdir()} == {0o755, 0o555}
    assert [name[-8:] for each in members if each.pax_headers for name in [each.name]] == [
        "longlong",
        "share/\u00e4\u2713",
    ]


def test_what_nix_does_not_hash_is_in_no_layer(tmp_path: Path, blobs: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "elsewhere"
    one = pack_paths([stored(here)], blobs, root=here)
    stored(there)
    store = there / NAME.lstrip("/")
    os.link(store / "share/a/b", store / "share/a/c")  # an optimised store has such links, between any two paths
    (store / "share/a/c").replace(there / "linked")
    for path in sorted(store.rglob("*")):
        os.utime(path, (1e9, 1e9), follow_symlinks=False)
        if path.is_file() and not path.is_symlink():
            path.chmod(0o775 if path.stat().st_mode & 0o100 else 0o664)
    assert pack_paths([stored_again(there)], blobs, root=there) == one
    assert len(list(blobs.iterdir())) == 1


def stored_again(root: Path) -> StorePath:
    """What :func:`stored` has told of what lies there already."""
    assert (root / NAME.lstrip("/")).is_dir()
    return StorePath(path=NAME, name="thing", nar_hash=f"sha256:{hashlib.sha256(nar(LEAVES)).hexdigest()}", nar_size=1)


def test_a_file_a_link_and_an_empty_folder_can_be_store_paths(tmp_path: Path, blobs: Path) -> None:
    file, link = f"/nix/store/{'b' * 32}-text", f"/nix/store/{'c' * 32}-link"
    (tmp_path / "nix/store").mkdir(parents=True)
    (tmp_path / file.lstrip("/")).write_bytes(b"words")
    (tmp_path / link.lstrip("/")).symlink_to(file)
    hashes = {file: _hash("(type regular contents words )"), link: _hash(f"(type symlink target {file} )")}
    paths = [StorePath(path=path, name="x", nar_hash=found, nar_size=1) for path, found in hashes.items()]
    layer = pack_paths(paths, blobs, root=tmp_path)
    with tarfile.open(blobs / layer.digest.removeprefix("sha256:")) as tar:
        assert [(each.name, each.linkname) for each in tar][2:] == [(file[1:], ""), (link[1:], file)]
    assert layer.made_of == f"{file} {link}"


def _hash(words: str) -> str:
    """Of a NAR of these words, each in its padding."""
    data = b""
    for word in ["nix-archive-1", "(", *words.removeprefix("(").split()]:
        data += len(word).to_bytes(8, "little") + word.encode() + bytes(-len(word) % 8)
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize("harm", ["content", "mode", "more", "link"])
def test_what_was_altered_in_the_store_becomes_no_layer(tmp_path: Path, blobs: Path, harm: str) -> None:
    one = stored(tmp_path)
    store = tmp_path / NAME.lstrip("/")
    if harm == "content":
        (store / "share/a/b").chmod(0o644)
        (store / "share/a/b").write_bytes(b"DEEP")
    elif harm == "mode":
        (store / "share/a/b").chmod(0o555)
    elif harm == "more":
        (store / "share/new").touch()
    else:
        (store / "bin/again").unlink()
        (store / "bin/again").symlink_to("ran")
    with pytest.raises(BuildError, match=r"thing-1\.0 was altered in the store"):
        pack_paths([one], blobs, root=tmp_path)
    assert list(blobs.iterdir()) == []


def test_what_is_gone_or_of_no_kind_that_a_store_has_is_said(tmp_path: Path, blobs: Path) -> None:
    one = stored(tmp_path)
    os.mkfifo(tmp_path / NAME.lstrip("/") / "share/pipe")
    with pytest.raises(BuildError, match="share/pipe is neither a file, a folder nor a link"):
        pack_paths([one], blobs, root=tmp_path)
    with pytest.raises(BuildError, match="cannot be read from the store: No such file or directory"):
        pack_paths([one], blobs, root=tmp_path / "empty")
    assert list(blobs.iterdir()) == []


def test_whoever_asks_to_stop_is_heard_and_nothing_is_left(tmp_path: Path, blobs: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_paths([stored(tmp_path)], blobs, root=tmp_path, check=stop)
    assert list(blobs.iterdir()) == []


def test_where_nothing_can_be_written_is_no_fault_of_the_store(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none/\..*part"):
        pack_paths([stored(tmp_path)], tmp_path / "none", root=tmp_path)


def test_our_own_entries_are_sorted_whatever_their_order(blobs: Path) -> None:
    items = [
        Item("tmp", 0o1777),
        Item("etc/group", 0o644, b"root:x:0:\n"),
        Item("bin/sh", target="/nix/x"),
        Item("etc"),
    ]
    one = pack_items(items, blobs, "ours")
    assert pack_items(reversed(items), blobs, "ours") == one
    with tarfile.open(blobs / one.digest.removeprefix("sha256:")) as tar:
        found = [(each.name, each.mode, each.linkname) for each in tar]
    assert found == [
        ("bin/sh", 0o777, "/nix/x"),
        ("etc", 0o755, ""),
        ("etc/group", 0o644, ""),
        ("tmp", 0o1777, ""),
    ]
