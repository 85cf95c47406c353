"""A closure as the real nix tells it, and as it lies on the disk."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from tests.support.nix_small import SMALL
from tests.support.work import a_leg, a_work

from ci_envs.errors import BuildError
from ci_envs.model.closure import Closure, StorePath
from ci_envs.nix.closure import altered_paths, closure_digest, nar_hashes, parse_name, read_closure
from ci_envs.nix.tool import find_nix

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.nix_store import Nix

    from ci_envs.work import Work

pytestmark = pytest.mark.component


@pytest.fixture
def work(tmp_path: Path, nix_env: dict[str, str]) -> Work:
    made = a_work(tmp_path, stage="build", leg=a_leg(pattern="nix"), environ=nix_env)
    made.layout.prepare()
    return made


def small(nix_store: Nix, tmp_path: Path, expression: str) -> str:
    """The store path of an expression over the set of one file."""
    (tmp_path / "small.nix").write_text(SMALL)
    text = f"with import {tmp_path}/small.nix {{ }}; {expression}"
    return nix_store.said("nix-build", "--no-out-link", "-E", text)


TWO = """let base = make "base-1.2" "echo $RANDOM > $out"; source = builtins.toFile "note.txt" "a note";
  in make "user-3.4-dev" "echo ${base} ${source} > $out" """


def test_each_path_is_told_with_what_it_refers_to(nix_store: Nix, work: Work, tmp_path: Path) -> None:
    top = small(nix_store, tmp_path, TWO)

    closure = read_closure(work, find_nix(work.environ), [top])

    by_name = {one.name: one for one in closure.paths}
    assert {name: one.version for name, one in by_name.items()} == {"base": "1.2", "note.txt": "", "user-dev": "3.4"}
    user, base, note = by_name["user-dev"], by_name["base"], by_name["note.txt"]
    assert user.path == top
    assert set(user.references) == {base.path, note.path}
    assert (base.built_here, base.content_addressed) == (True, False)
    assert (note.built_here, note.content_addressed, note.deriver) == (False, True, "")
    assert base.deriver.endswith("-base-1.2.drv")
    assert closure.bytes == sum(one.nar_size for one in closure.paths)
    assert [one.name for one in closure.in_order][-1] == "user-dev"


def test_hashes_and_sizes_are_those_of_the_bytes_on_the_disk(nix_store: Nix, work: Work, tmp_path: Path) -> None:
    closure = read_closure(work, find_nix(work.environ), [small(nix_store, tmp_path, TWO)])

    said = nix_store.said("nix-store", "--query", "--size", *(one.path for one in closure.paths))

    assert [str(one.nar_size) for one in closure.paths] == said.split()
    assert altered_paths(find_nix(work.environ), work.environ, closure) == ()


def test_names_are_cut_where_nix_cuts_them(nix_store: Nix) -> None:
    names = ("hello-2.12.1", "a-b-c", "python3.12-pip-24.0", "x-", "font-_1", "g++-13", "lib-é", "nix-2.4pre-rc")

    for name in names:
        told = nix_store.said("nix-instantiate", "--eval", "--json", "-E", f'builtins.parseDrvName "{name}"')
        cut, version = parse_name(f"/nix/store/{'0' * 32}-{name}")
        assert told == f'{{"name":"{cut}","version":"{version}"}}'


def test_a_path_that_is_not_in_the_store_is_an_error(work: Work) -> None:
    with pytest.raises(BuildError, match="is not valid"):
        read_closure(work, find_nix(work.environ), [f"/nix/store/{'0' * 32}-absent"])


def test_what_was_altered_or_is_gone_is_named(work: Work, tmp_path: Path) -> None:
    """Over folders of our own: the store is everybody's."""
    nix = find_nix(work.environ)
    paths = [tmp_path / name for name in ("whole", "altered", "gone", "unreadable")]
    for path in paths:
        path.mkdir()
        (path / "file").write_text("before")
    hashes = nar_hashes(nix, work.environ, [str(path) for path in paths])
    found = (StorePath(path=path, name="", nar_hash=value, nar_size=1) for path, value in hashes.items())
    closure = Closure(paths=tuple(found))
    (paths[1] / "file").write_text("after")
    (paths[2] / "file").unlink()
    paths[2].rmdir()
    (paths[3] / "socket").symlink_to("x")
    os.mkfifo(paths[3] / "pipe")  # a NAR holds none

    assert altered_paths(nix, work.environ, closure) == tuple(str(path) for path in paths[1:])


def test_a_digest_is_the_same_for_whoever_built_the_same(nix_store: Nix, work: Work, tmp_path: Path) -> None:
    nix = find_nix(work.environ)
    steady = small(nix_store, tmp_path, 'make "steady-1.0" "echo same > $out"')

    digests = {closure_digest(read_closure(work, nix, [steady])) for _ in range(3)}

    assert len(digests) == 1
    assert digests != {closure_digest(Closure())}


def test_five_hundred_paths_take_a_fraction_of_a_second(nix_store: Nix, work: Work, tmp_path: Path) -> None:
    files = 'builtins.genList (n: builtins.toFile "file-${toString n}.txt" (toString n)) 500'
    top = small(nix_store, tmp_path, f'makeWith {{ files = {files}; }} "many" "echo $files > $out"')
    nix = find_nix(work.environ)
    before = time.perf_counter()

    closure = read_closure(work, nix, [top])

    assert len(closure.paths) == 501
    # 0.05 s on two cores; tests run beside others.
    assert time.perf_counter() - before < 2
