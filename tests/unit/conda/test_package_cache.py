"""The cache as it lies on disk; nothing is downloaded here."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ci_envs.conda.engine import complete
from ci_envs.conda.package_cache import Download, PackageCache, Stored
from ci_envs.conda.package_files import PackageFiles
from ci_envs.errors import InterruptedRun, UsageError
from ci_envs.layout import held
from ci_envs.model.conda import LockedPackage

if TYPE_CHECKING:
    from pathlib import Path

SHA256, MD5 = "a" * 64, "b" * 32


def package(name: str = "spam", **changes: str) -> LockedPackage:
    told = {"version": "1.0", "build": "0", "platform": "linux-64", "url": f"https://x.example/{name}.conda"}
    return LockedPackage(**{"name": name, "sha256": SHA256, **told, **changes})  # type: ignore[arg-type]  # all are text


class Unpacking:
    """Stands for rattler's ``download_and_extract``: its thread makes the folder, cancelled or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
        archive.write_bytes(b"")
        self.package = package(url=archive.as_uri(), sha256=hashlib.sha256(b"").hexdigest())
        self.begun = threading.Event()
        monkeypatch.setattr("rattler.package_streaming.download_and_extract", self._extract)

    async def _extract(self, _client: object, _url: str, folder: Path) -> None:
        await asyncio.to_thread(self._work, folder)

    def _work(self, folder: Path) -> None:
        self.begun.set()
        time.sleep(0.3)
        folder.mkdir(parents=True)
        raise RuntimeError("the disk is full")

    async def bring(self, cache: PackageCache) -> None:
        await cache.bring([self.package], Download(lambda: None))  # type: ignore[arg-type, return-value]  # not asked


def test_what_is_being_unpacked_is_waited_for_when_another_package_fails(
    cache: PackageCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacking = Unpacking(monkeypatch, tmp_path / "spam-1.0-0.conda")

    async def cancelled() -> None:
        task = asyncio.ensure_future(unpacking.bring(cache))
        await asyncio.to_thread(unpacking.begun.wait)
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(cancelled())
    assert list((tmp_path / "conda/pkgs").iterdir()) == []


def test_what_is_being_unpacked_is_waited_for_when_the_run_is_interrupted(
    cache: PackageCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacking = Unpacking(monkeypatch, tmp_path / "spam-1.0-0.conda")
    monkeypatch.setattr("ci_envs.command.stopping", unpacking.begun.is_set)
    with pytest.raises(InterruptedRun):
        complete(unpacking.bring(cache))
    assert list((tmp_path / "conda/pkgs").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="threads are looked up in /proc")
def test_what_a_cancelled_download_makes_anew_is_removed(
    cache: PackageCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def make_anew(path: Path) -> None:
        end = time.monotonic() + 0.3
        while time.monotonic() < end:  # at work, as one that unpacks is; one that sleeps would seem to be at rest
            begun.set()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")

    async def download(_client: object, _url: str, path: Path) -> None:
        await asyncio.to_thread(make_anew, path)

    async def cancelled() -> None:
        bringing = cache.bring([package()], Download(lambda: None))  # type: ignore[arg-type, return-value]  # not asked
        task = asyncio.ensure_future(bringing)
        await asyncio.to_thread(begun.wait)
        task.cancel()
        await asyncio.wait({task})
        assert list((tmp_path / "conda/pkgs").iterdir()) == []

    monkeypatch.setattr("rattler.package_streaming.download_to_path", download)
    asyncio.run(cancelled())
    assert list((tmp_path / "conda/pkgs").iterdir()) == []


@pytest.fixture
def cache(tmp_path: Path) -> PackageCache:
    return PackageCache(tmp_path / "conda")


def put(cache: PackageCache, tmp_path: Path, sha256: str = SHA256, stem: str = "spam-1.0-0") -> Path:
    folder = tmp_path / "conda" / "pkgs" / sha256 / stem
    folder.mkdir(parents=True)
    cache.ledger.learn(sha256, PackageFiles(name="spam", version="1.0", build="0"))
    return folder


def test_a_package_is_found_by_its_hash(cache: PackageCache, tmp_path: Path) -> None:
    assert cache.find(package()) is None
    folder = put(cache, tmp_path)
    assert cache.find(package()) == Stored(package(), SHA256, folder)
    assert cache.find(package(sha256="c" * 64)) is None


def test_a_folder_that_the_ledger_does_not_know_is_not_taken(cache: PackageCache, tmp_path: Path) -> None:
    put(cache, tmp_path)
    next((tmp_path / "conda/packages").rglob("*.json")).unlink()
    assert cache.find(package()) is None


def test_a_package_under_another_name_is_not_taken(cache: PackageCache, tmp_path: Path) -> None:
    put(cache, tmp_path)
    assert cache.find(package(version="2.0")) is None


def test_an_md5_finds_what_was_downloaded_by_it(cache: PackageCache, tmp_path: Path) -> None:
    put(cache, tmp_path)
    assert cache.find(package(sha256="", md5=MD5)) is None
    cache.ledger.learn_md5(MD5, SHA256)
    assert cache.find(package(sha256="", md5=MD5)) is not None


def test_without_a_hash_nothing_is_found(cache: PackageCache, tmp_path: Path) -> None:
    put(cache, tmp_path)
    assert cache.find(package(sha256="")) is None


@pytest.mark.parametrize(
    "told", [{"name": "../spam"}, {"version": "a/b"}, {"build": "a\\b"}, {"sha256": "../x"}, {"version": "1\0"}]
)
def test_a_name_that_is_a_path_is_refused(cache: PackageCache, told: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="a name or a hash that is none"):
        cache.find(package(**told))


def test_what_is_forgotten_is_gone_and_leaves_nothing(cache: PackageCache, tmp_path: Path) -> None:
    put(cache, tmp_path)
    kept = put(cache, tmp_path, "c" * 64)
    cache.forget([package(), package(sha256="d" * 64), package(sha256="")])
    assert cache.find(package()) is None
    assert [path.name for path in (tmp_path / "conda/pkgs").iterdir()] == ["c" * 64]
    assert kept.is_dir()
    assert cache.ledger.known(SHA256), "what the package held stays true"


def test_what_killed_runs_have_left_goes_with_the_next_one(cache: PackageCache, tmp_path: Path) -> None:
    stored = Stored(package(), SHA256, put(cache, tmp_path))
    pkgs, views = tmp_path / "conda/pkgs", tmp_path / "conda/views"
    old = [pkgs / f".{SHA256}.x1.part", pkgs / ".abc.gone", views / ".def.part"]
    busy, new = pkgs / f".{'e' * 64}.x2.part", pkgs / ".ghi.gone"
    for path in (*old, busy, new):
        (path / "package").mkdir(parents=True)
    for path in old[1:]:
        os.utime(path, (0, 0))
    with held(tmp_path / "conda/locks" / f"{'e' * 64}.lock", "another run"):
        assert asyncio.run(cache.bring([package()], nobody_asks())) == [stored]
    assert [path for path in (*old, busy, new) if path.exists()] == [busy, new]


def nobody_asks() -> Download:
    return Download(client=lambda: pytest.fail("nothing asks for it"))


def test_one_set_of_packages_has_one_view(cache: PackageCache, tmp_path: Path) -> None:
    stored = [
        Stored(package(), SHA256, put(cache, tmp_path)),
        Stored(package("ham"), "c" * 64, put(cache, tmp_path, "c" * 64, "ham-1.0-0")),
    ]
    cache.for_rattler(stored)
    cache.for_rattler(stored[::-1])
    (view,) = (tmp_path / "conda/views").iterdir()
    assert {path.name: path.resolve() for path in view.iterdir()} == {one.folder.name: one.folder for one in stored}
    cache.for_rattler(stored[:1])
    assert len(list((tmp_path / "conda/views").iterdir())) == 2


def test_a_view_that_was_changed_is_made_anew(cache: PackageCache, tmp_path: Path) -> None:
    stored = [Stored(package(), SHA256, put(cache, tmp_path))]
    cache.for_rattler(stored)
    link = next((tmp_path / "conda/views").glob("*/spam-1.0-0"))
    link.unlink()
    link.mkdir()
    cache.for_rattler(stored)
    assert link.is_symlink()
    assert [path.name for path in (tmp_path / "conda/views").iterdir()] == [link.parent.name]


def test_an_address_is_the_locks_own_unless_told_otherwise() -> None:
    assert nobody_asks().address("https://x") == "https://x"
