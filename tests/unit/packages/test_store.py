from __future__ import annotations

import hashlib
import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.work import a_work

from ci_envs.model.lock import Lock, Pin
from ci_envs.packages.store import PackageStore, hash_file, locked_hashes, store_root, verified_files
from ci_envs.work import LockPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.model.config import LockMode

DATA = b"a package"
SHA256 = hashlib.sha256(DATA).hexdigest()
NAME = "six-1.17.0-py3-none-any.whl"


@pytest.fixture
def store(tmp_path: Path) -> PackageStore:
    """With one package file."""
    made = PackageStore(tmp_path / "store")
    put(made, NAME, DATA)
    return made


def put(store: PackageStore, name: str, data: bytes) -> Path:
    sha256 = hashlib.sha256(data).hexdigest()
    source = store.folder.parent / name
    source.write_bytes(data)
    store.put(source, sha256)
    assert not source.exists()
    return store.folder / sha256 / name


def why(store: PackageStore, *allowed: str) -> list[str]:
    """What is refused, each with the reason; it is gone then, and is told of once."""
    found, refused = store.verified(allowed or (SHA256,))
    assert store.verified(allowed or (SHA256,)) == (found, ())
    return [f"{one.path}: {one.why}" for one in refused]


def test_a_file_is_found_by_its_hash(store: PackageStore) -> None:
    assert store.verified({SHA256}) == ({SHA256: store.folder / SHA256 / NAME}, ())
    assert (store.folder / SHA256 / NAME).read_bytes() == DATA


def test_a_store_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert PackageStore(tmp_path / "a" / "b").verified({SHA256}) == ({}, ())


def test_a_file_that_the_lock_does_not_name_is_removed(store: PackageStore) -> None:
    assert why(store, "0" * 64) == [f"{SHA256[:12]}/{NAME}: the lock does not name this SHA-256"]
    assert list(store.folder.iterdir()) == []


def test_other_bytes_under_a_hash_are_removed(store: PackageStore) -> None:
    (store.folder / SHA256 / NAME).write_bytes(b"another package")

    actual = hashlib.sha256(b"another package").hexdigest()
    assert why(store) == [f"{SHA256[:12]}/{NAME}: its SHA-256 is {actual}"]


def test_the_hash_of_other_bytes_is_no_help_either(store: PackageStore) -> None:
    other = put(store, "evil-1.0-py3-none-any.whl", b"evil")
    other.parent.rename(other.parents[1] / ("1" * 64))

    assert len(why(store, SHA256, "1" * 64)) == 1


@pytest.mark.parametrize(
    "name",
    ["..whl", "-r.whl", "a b.whl", "a\n.whl", "six.py", "six-1.0.tar.gz", "a#b.whl", "\u0661.whl", "sitecustomize.py"],
)
def test_a_file_whose_name_is_no_packages_is_removed(store: PackageStore, name: str) -> None:
    (store.folder / SHA256 / NAME).rename(store.folder / SHA256 / name)

    (said,) = why(store)
    assert said.endswith(": not a package file under its SHA-256")
    assert "\n" not in said
    with pytest.raises(ValueError, match="not the name"):
        put(store, name, b"x")


def test_a_second_file_in_a_folder_makes_it_none(store: PackageStore) -> None:
    (store.folder / SHA256 / "another.whl").write_bytes(DATA)

    assert len(why(store)) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="links are not for everybody there, and pipes are no files")
@pytest.mark.parametrize("place", ["file", "folder", "beside"])
def test_a_link_is_removed_and_not_followed(store: PackageStore, tmp_path: Path, place: str) -> None:
    file = store.folder / SHA256 / NAME
    link = {"file": file, "folder": file.parent, "beside": store.folder / "beside"}[place]
    target = tmp_path / "outside"
    if place == "beside":
        target.write_bytes(DATA)
    else:
        link.rename(target)
    link.symlink_to(target)

    assert len(why(store)) == 1
    assert target.exists()
    assert not link.is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are no files there")
def test_a_pipe_is_removed_and_not_read(store: PackageStore) -> None:
    os.mkfifo(store.folder / "pipe")
    (store.folder / SHA256 / NAME).unlink()
    os.mkfifo(store.folder / SHA256 / NAME)

    assert len(why(store)) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="links are not for everybody there")
def test_a_store_that_is_a_link_is_no_store(store: PackageStore, tmp_path: Path) -> None:
    moved = store.folder.rename(tmp_path / "elsewhere")
    store.folder.symlink_to(moved, target_is_directory=True)

    assert store.verified({SHA256}) == ({}, ())
    assert store.folder.is_dir()
    assert not store.folder.is_symlink()
    assert (moved / SHA256 / NAME).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="links are not for everybody there")
def test_a_link_is_not_followed_when_it_is_hashed(store: PackageStore, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(store.folder / SHA256 / NAME)

    assert hash_file(store.folder / SHA256 / NAME) == SHA256
    with pytest.raises(OSError, match="symbolic links"):
        hash_file(link)


def test_what_a_killed_run_has_left_is_removed_without_a_word(store: PackageStore) -> None:
    (store.folder / ".abc123_x.part").mkdir()
    (store.folder / ".abc123_x.part" / NAME).write_bytes(b"half")

    assert why(store) == []
    assert [path.name for path in store.folder.iterdir()] == [SHA256]


def test_a_file_that_is_there_already_stays(store: PackageStore) -> None:
    put(store, NAME, DATA)

    assert store.verified({SHA256}) == ({SHA256: store.folder / SHA256 / NAME}, ())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.binary(max_size=40), name=st.text(st.characters(codec="ascii"), max_size=20))
def test_nothing_is_found_under_a_hash_that_it_has_not(store: PackageStore, data: bytes, name: str) -> None:
    file = store.folder / SHA256 / NAME
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    if name.strip("./") and not set(name) & set("/\0"):
        (store.folder / name).mkdir(exist_ok=True)

    found, _ = store.verified({SHA256})

    assert set(found) == ({SHA256} if data == DATA else set())
    assert {path.name for path in store.folder.iterdir()} == set(found)


# --- of a leg

PIN = Pin(name="six", version="1.17.0", hashes=(f"sha256:{SHA256}",))
LOCK = Lock(path="l", format="requirements", sha256="0" * 64, pins=(PIN, Pin(name="other", version="1")))


def test_every_hash_of_the_lock_is_allowed_and_no_other() -> None:
    assert locked_hashes(LOCK) == {SHA256}


def test_without_a_folder_there_is_no_store(tmp_path: Path) -> None:
    work = a_work(tmp_path)

    assert PackageStore.of(work) is None
    assert verified_files(work, LOCK) == {}
    assert store_root({"CI_ENVS_PACKAGES_DIR": " "}) is None


def test_each_leg_has_a_store_of_its_own(tmp_path: Path) -> None:
    work = a_work(tmp_path, environ={"CI_ENVS_PACKAGES_DIR": str(tmp_path / "packages")})
    store = PackageStore.of(work)

    assert store is not None
    assert store.folder == tmp_path / "packages" / "uv-py312-linux-x86_64"


@pytest.mark.parametrize(("mode", "told"), [("locked", True), ("frozen", True), ("auto", False), ("update", False)])
def test_what_a_renewed_lock_no_longer_names_is_no_news(tmp_path: Path, mode: LockMode, told: bool) -> None:
    work = a_work(tmp_path, environ={"CI_ENVS_PACKAGES_DIR": str(tmp_path / "packages")})
    work.policy = LockPolicy(mode=mode)
    store = PackageStore.of(work)
    assert store is not None
    put_in(store, tmp_path)

    assert verified_files(work, Lock(path="l", format="requirements", sha256="0" * 64)) == {}

    assert [finding.code for finding in work.findings] == (["ENV121"] if told else [])


def put_in(store: PackageStore, folder: Path) -> None:
    source = folder / NAME
    source.write_bytes(DATA)
    store.put(source, SHA256)


def test_a_finding_names_some_of_many(tmp_path: Path) -> None:
    work = a_work(tmp_path, environ={"CI_ENVS_PACKAGES_DIR": str(tmp_path / "packages")})
    store = PackageStore.of(work)
    assert store is not None
    put_in(store, tmp_path)
    for number in range(9):
        (store.folder / f"stray-{number}").write_text("::error::pwned\n")

    verified_files(work, LOCK)

    (finding,) = work.findings
    assert finding.severity == "warning"
    assert "stray-0 (not a package file under its SHA-256)" in finding.message
    assert "and 4 more" in finding.message
    assert "cache-suffix" in finding.message
