from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.support.trees import Tree

from ci_envs.content import read_content
from ci_envs.digest import environment_digest
from ci_envs.seal import SEAL_NAME, Facts, Seal, intact, read_seal, write_seal

if TYPE_CHECKING:
    from pathlib import Path

SITE = Tree.site
FACTS = Facts(inputs={"lock": "sha256:1", "python": "3.12.1"}, digests={"environment": "sha256:2"})


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path / "env")
    tree.install("pkg", files={"pkg/__init__.py": "x = 1\n", "pkg/data.txt": "d"})
    write_seal(tree.prefix, read_content(tree.prefix), FACTS)
    return tree


def changes(tree: Tree) -> list[str]:
    seal = read_seal(tree.prefix)
    assert seal is not None
    return intact(tree.prefix, seal)


def test_what_was_sealed_can_be_read_and_is_intact(tree: Tree) -> None:
    seal = read_seal(tree.prefix)
    assert seal is not None
    assert seal.facts == FACTS
    assert intact(tree.prefix, seal) == []


def test_the_seal_is_no_part_of_the_content(tree: Tree) -> None:
    content = read_content(tree.prefix)
    assert SEAL_NAME not in content.by_path
    before = environment_digest(content).value
    (tree.prefix / SEAL_NAME).unlink()
    assert environment_digest(read_content(tree.prefix)).value == before


def test_an_environment_without_a_seal_is_not_whole(tmp_path: Path) -> None:
    assert read_seal(tmp_path) is None
    assert read_seal(tmp_path / "gone") is None


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"null", b"[]", b"\xff\xfe", b"[" * 100_000),
        *(
            b'{"version":2,"facts":{},"tree":{}}',
            b'{"version":1,"tree":{}}',
            b'{"version":1,"facts":{},"tree":{"a":3}}',
        ),
    ],
)
def test_a_seal_that_cannot_be_read_is_none(tree: Tree, data: bytes) -> None:
    (tree.prefix / SEAL_NAME).write_bytes(data)
    assert read_seal(tree.prefix) is None


def test_a_seal_that_was_cut_short_is_none(tree: Tree) -> None:
    data = (tree.prefix / SEAL_NAME).read_bytes()
    for end in range(0, len(data), 97):
        (tree.prefix / SEAL_NAME).write_bytes(data[:end])
        assert read_seal(tree.prefix) is None


def test_an_edited_file_breaks_the_seal(tree: Tree) -> None:
    tree.write(f"{SITE}/pkg/__init__.py", "x = 2\n")  # of the same size
    assert changes(tree) == [f"{SITE}/pkg/__init__.py"]


def test_a_removed_folder_breaks_the_seal(tree: Tree) -> None:
    for name in ("__init__.py", "data.txt"):
        (tree.prefix / SITE / "pkg" / name).unlink()
    (tree.prefix / SITE / "pkg").rmdir()
    assert changes(tree) == [f"{SITE}/pkg/__init__.py", f"{SITE}/pkg/data.txt"]


@pytest.mark.parametrize("path", [f"{SITE}/evil.pth", "sitecustomize.py", "bin/planted", "new/folder/file"])
def test_an_added_file_breaks_the_seal(tree: Tree, path: str) -> None:
    tree.write(path, "")
    assert changes(tree) == [path]


@pytest.mark.parametrize("path", ["bin/activate", "pyvenv.cfg", f"{SITE}/pkg-1.0.dist-info/RECORD"])
def test_what_the_digest_leaves_out_is_under_the_seal(tree: Tree, path: str) -> None:
    before = environment_digest(read_content(tree.prefix)).value
    (tree.prefix / path).write_text((tree.prefix / path).read_text() + "\n")
    assert environment_digest(read_content(tree.prefix)).value == before
    assert changes(tree) == [path]


def test_another_interpreter_breaks_the_seal(tree: Tree) -> None:
    (tree.prefix / "bin/python").unlink()
    (tree.prefix / "bin/python").symlink_to("/evil/python")
    assert changes(tree) == ["bin/python"]


def test_a_file_that_became_executable_breaks_the_seal(tree: Tree) -> None:
    before = (tree.prefix / SITE / "pkg/data.txt").stat()
    (tree.prefix / SITE / "pkg/data.txt").chmod(before.st_mode | 0o111)
    assert changes(tree) == [f"{SITE}/pkg/data.txt"]


def test_a_file_that_became_a_link_breaks_the_seal(tree: Tree) -> None:
    path = tree.prefix / SITE / "pkg/data.txt"
    path.rename(tree.prefix / "bin/moved")
    path.symlink_to(tree.prefix / "bin/moved")
    assert changes(tree) == ["bin/moved", f"{SITE}/pkg/data.txt"]


def test_bytecode_that_was_added_is_let_pass_and_sealed_bytecode_is_not(tree: Tree) -> None:
    compiled = tree.write(f"{SITE}/pkg/__pycache__/__init__.cpython-312.pyc", "code")
    tree.write("__pycache__/top.cpython-312.pyc", "code")
    assert changes(tree) == []
    write_seal(tree.prefix, read_content(tree.prefix), FACTS)
    compiled.write_text("evil")
    assert changes(tree) == [f"{SITE}/pkg/__pycache__/__init__.cpython-312.pyc"]
    tree.write(f"{SITE}/pkg/evil.pyc", "code")
    assert f"{SITE}/pkg/evil.pyc" in changes(tree)


def test_the_lock_that_uv_takes_does_not_break_the_seal(tree: Tree) -> None:
    tree.write(".lock", "")
    assert changes(tree) == []


def test_at_most_twenty_changes_are_named(tree: Tree) -> None:
    for number in range(50):
        tree.write(f"new/{number:02}", "")
    assert changes(tree) == [f"new/{number:02}" for number in range(20)]


def test_odd_names_can_be_sealed(tree: Tree) -> None:
    tree.write(os.fsdecode(b"odd-\xff"), "x")
    write_seal(tree.prefix, read_content(tree.prefix), FACTS)
    assert changes(tree) == []
    tree.write(os.fsdecode(b"odd-\xff"), "longer")
    assert changes(tree) == ["odd-\udcff"]


def test_a_seal_of_nothing_finds_everything(tree: Tree) -> None:
    assert "pyvenv.cfg" in intact(tree.prefix, Seal(facts=Facts()))


def test_nothing_half_written_is_left(tree: Tree) -> None:
    assert [path.name for path in tree.prefix.iterdir() if "seal" in path.name] == [SEAL_NAME]
