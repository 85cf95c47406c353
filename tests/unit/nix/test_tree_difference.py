"""Two trees of one derivation: what differs, and why."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from ci_envs.nix.tree_difference import SHOWN, tree_differences

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.digest import Difference


def differing(folder: Path, first: dict[str, bytes], second: dict[str, bytes]) -> list[Difference]:
    """What differs between two trees; a name that ends with a slash is a folder."""
    tops = [folder / "first", folder / "second"]
    for top, files in zip(tops, (first, second), strict=True):
        top.mkdir()
        for name, data in files.items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if name.endswith("/") else path.write_bytes(data)
    return tree_differences(tops[0], tops[1], "/nix/store/x")


def test_files_of_one_tree_alone_and_others_are_told_apart(tmp_path: Path) -> None:
    rows = differing(tmp_path, {"a": b"x", "b": b"x", "same": b"x"}, {"b": b"y", "c": b"x", "same": b"x"})

    assert [(row.path, row.kind) for row in rows] == [
        ("/nix/store/x/a", "only-in-a"),
        ("/nix/store/x/b", "different"),
        ("/nix/store/x/c", "only-in-b"),
    ]


def test_an_empty_folder_counts_as_it_does_in_an_archive_of_nix(tmp_path: Path) -> None:
    rows = differing(tmp_path, {"empty/": b"", "both/": b""}, {"both/": b""})

    assert [(row.path, row.kind) for row in rows] == [("/nix/store/x/empty", "only-in-a")]


def test_outputs_that_are_single_files_are_compared_too(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"made at 10:00:01")
    second.write_bytes(b"made at 10:00:22")

    (row,) = tree_differences(first, second, "/nix/store/x")

    assert row.path == "/nix/store/x"
    assert "only numbers differ" in row.reason


def test_a_link_is_compared_by_where_it_leads(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.symlink_to("here")
    second.symlink_to("there")

    (row,) = tree_differences(first, second, "/nix/store/x")

    assert row.reason == "here and there"


def test_a_mark_alone_is_a_difference(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "run").write_bytes(b"x")
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "run").write_bytes(b"x")
    (tmp_path / "second" / "run").chmod(0o755)

    (row,) = tree_differences(tmp_path / "first", tmp_path / "second", "/nix/store/x")

    assert row.reason == "only one of them may be executed"


@pytest.mark.parametrize(
    ("name", "first", "second", "reason"),
    [
        ("stamp", b"Sat Nov 21 10:00:01 UTC 2026", b"Sat Nov 21 10:00:02 UTC 2026", "only numbers differ"),
        ("set", b"{'b', 'a'}\n", b"{'a', 'b'}\n", "in another order"),
        ("x.gz", gzip.compress(b"x", mtime=1), gzip.compress(b"x", mtime=2), "gzip -n"),
        ("rpath", b"/tmp/nix-build-a.drv-0/src", b"/tmp/x/nix-build-a.drv-1/src", "sandbox = true"),
        ("lib/__pycache__/a.cpython-312.pyc", b"x1", b"x2", "bytecode"),
        ("other", b"apple", b"pear", ""),
    ],
)
def test_the_reason_is_told_where_the_name_or_the_bytes_tell_it(
    tmp_path: Path, name: str, first: bytes, second: bytes, reason: str
) -> None:
    (row,) = differing(tmp_path, {name: first}, {name: second})

    assert reason in row.reason
    assert bool(row.reason) == bool(reason)


def test_what_differs_everywhere_for_one_reason_is_told_twenty_times_and_counted(tmp_path: Path) -> None:
    count = SHOWN + 30
    rows = differing(tmp_path, {f"f{n:03}": b"at 1" for n in range(count)}, {f"f{n:03}": b"at 2" for n in range(count)})

    assert len(rows) == SHOWN + 1
    assert rows[-1].path == "/nix/store/x/30 more paths"


def test_trees_that_differ_in_nothing_that_is_known_still_differ(tmp_path: Path) -> None:
    (row,) = differing(tmp_path, {"a": b"x"}, {"a": b"x"})

    assert (row.path, row.kind) == ("/nix/store/x", "different")
