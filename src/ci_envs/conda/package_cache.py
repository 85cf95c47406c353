"""Unpacked conda packages that every environment links from, each under its own SHA-256.

    pkgs/<sha256>/<name>-<version>-<build>/    the package, looked through and complete
    views/<digest>/<name>-<version>-<build>    a link to each package of one set: what rattler takes for its cache
    packages/                                  the ledger
    locks/                                     one writer for each package, as long as it writes

rattler has a package cache of its own, keyed by name, version and build. It notes the hash of what it is about to
fetch before it has it, so that after a download that failed it takes what lay there before for the new package (seen
with py-rattler 0.28); it links what no one has looked at; and it keeps every other process waiting while it downloads.
So what is fetched is fetched here: into a folder of its own, whole, compared with the lock before it is unpacked,
looked through, noted in the ledger, and only then moved to its name. rattler links from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from ci_envs.conda import failures
from ci_envs.conda.credentials import shown_address
from ci_envs.conda.engine import wait_for_threads
from ci_envs.conda.package_files import UnfitPackageError, read_package
from ci_envs.conda.package_ledger import PackageLedger
from ci_envs.errors import BrokenError, UsageError
from ci_envs.layout import WAIT_SECONDS, disk_is_full, has_no_room, held, remove_tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from rattler import Client
    from rattler.package_cache import PackageCache as RattlerCache

    from ci_envs.conda.package_files import PackageFiles
    from ci_envs.model.conda import LockedPackage

_T = TypeVar("_T")

__all__ = ["Download", "PackageCache", "Stored"]

#: Packages that are downloaded and unpacked at once; a channel's servers are shared with others.
AT_ONCE = 8

#: Tries of a download that broke off in its middle. Requests that are not answered the client repeats by itself.
TRIES = 3
_FIRST_WAIT_SECONDS = 0.5

_POLL_SECONDS = 0.02

#: How long an interrupt, or another package's failure, waits for one that is being unpacked.
_UNPACKING_SECONDS = 10.0

#: What is made and gone in a moment, and still there after this time, is a killed run's.
_FORGOTTEN_SECONDS = 3600

_SUFFIXES = (".conda", ".tar.bz2")


@dataclass(frozen=True, slots=True)
class Download:
    """How packages are reached."""

    client: Callable[[], Client]
    #: What the client is to be asked for, from a package's locked address: the same, or a file. No credentials.
    address: Callable[[str], str] = str
    #: What another program is to be asked for: a mirror's address, one with credentials.
    tool_address: Callable[[str], str] = str
    #: Proxies and certificates for another program, which sees no configuration file.
    tool_variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: Takes what is secret out of a sentence.
    masked: Callable[[str], str] = shown_address
    #: The command that locks what the channel has now, for a message.
    upgrade: str = "ci-envs lock --upgrade"
    say: Callable[[str], object] = lambda _line: None
    #: A package's file that was carried here from another job, and the taker of one that was downloaded and has the
    #: locked SHA-256: it may move it away.
    carried: Callable[[LockedPackage], Path | None] = lambda _package: None
    carry: Callable[[LockedPackage, Path], object] = lambda _package, _archive: None


@dataclass(frozen=True, slots=True)
class Stored:
    """A package in the cache."""

    package: LockedPackage
    #: Of the archive that it came from.
    sha256: str
    folder: Path


class PackageCache:
    """The cache below a folder; any number of threads and processes use it at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ledger = PackageLedger(folder / "packages")

    def find(self, package: LockedPackage) -> Stored | None:
        """The package, where it is there and was read when it came; a lock without a hash finds nothing."""
        sha256 = package.sha256 or self.ledger.sha256_of(package.md5)
        folder = self._entry(package, sha256) if sha256 else None
        if folder is None or not folder.is_dir() or not self.ledger.known(sha256):
            return None
        return Stored(package, sha256, folder)

    async def bring(self, packages: Sequence[LockedPackage], download: Download) -> list[Stored]:
        """All of the packages, in their order; those that are not there are downloaded.

        Raises :class:`BuildError` where a package is not what the lock names, is gone or is unfit, and
        :class:`BrokenError` where the channel or the disk failed.
        """
        found = {number: one for number, package in enumerate(packages) if (one := self.find(package))}
        missing = {number: package for number, package in enumerate(packages) if number not in found}
        try:
            brought = await self._bring_all(list(missing.values()), download) if missing else []
        except BaseException:
            # What was cancelled has let go of its folder, and rattler's thread may make that anew.
            await asyncio.to_thread(wait_for_threads)
            raise
        finally:
            self._sweep()
        found |= dict(zip(missing, brought, strict=True))
        return [found[number] for number in range(len(packages))]

    async def _bring_all(self, packages: Sequence[LockedPackage], download: Download) -> list[Stored]:
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(package: LockedPackage) -> Stored:
            async with at_once:
                return await self._bring(package, download)

        tasks = [asyncio.ensure_future(one(package)) for package in packages]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        # The failure that came first in the lock; what it has cancelled is no reason.
        for task in sorted(tasks, key=lambda task: task.cancelled()):
            task.result()
        return [task.result() for task in tasks]

    def forget(self, packages: Iterable[LockedPackage]) -> None:
        """Has them downloaded anew. What another process links from is moved away in one step, and so found missing."""
        for package in packages:
            sha256 = package.sha256 or self.ledger.sha256_of(package.md5)
            if not sha256:
                continue
            with self._held(sha256):
                self._discard(self._folder / "pkgs" / sha256)

    def for_rattler(self, stored: Sequence[Stored]) -> RattlerCache:
        """These packages as rattler's own cache: it finds every one, and looks at no other."""
        from rattler.package_cache import PackageCache as RattlerCache

        try:
            return RattlerCache(self._view(stored))
        except OSError as error:
            if os.name != "nt":
                raise BrokenError(f"the package cache {self._folder} cannot be written to: {error}") from error
        # Windows lets not everybody make links. Looked at one after another: some 20 ms for 100 packages.
        return RattlerCache.new_layered([one.folder.parent for one in stored])

    def _view(self, stored: Sequence[Stored]) -> Path:
        rows = sorted((one.folder.name, one.sha256) for one in stored)
        name = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:32]
        view = self._folder / "views" / name
        if _has_links(view, rows):
            return view
        with self._held(f"view-{name}"):
            if not _has_links(view, rows):
                self._discard(view)  # rattler has put a package of its own into it, or somebody has tidied up
                self._link(view, rows)
        return view

    def _link(self, view: Path, rows: Sequence[tuple[str, str]]) -> None:
        view.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=view.parent, prefix=".", suffix=".part"))
        try:
            for name, sha256 in rows:
                (part / name).symlink_to(Path("../../pkgs", sha256, name), target_is_directory=True)
            part.rename(view)
        finally:
            remove_tree(part)

    def _entry(self, package: LockedPackage, sha256: str) -> Path:
        name = failures.stem(package)
        # Both come from a file that anybody may have written.
        if name != Path(name).name or "\\" in name or "\0" in name or not sha256.isalnum():
            raise UsageError(f"the lock has a package with a name or a hash that is none: {name!r}, {sha256!r}")
        return self._folder / "pkgs" / sha256 / name

    @contextlib.asynccontextmanager
    async def _alone_with(self, key: str) -> AsyncIterator[None]:
        """Waits without a thread: those that wait must not keep the one that works from its own."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            with contextlib.ExitStack() as stack:
                try:
                    stack.enter_context(self._held(key, wait=0.0))
                except BrokenError:
                    if time.monotonic() > deadline:
                        raise
                else:
                    yield
                    return
            await asyncio.sleep(_POLL_SECONDS)

    def _held(self, key: str, wait: float = WAIT_SECONDS) -> contextlib.AbstractContextManager[object]:
        return held(self._folder / "locks" / f"{key}.lock", f"another run brings the package {key}", wait)

    async def _bring(self, package: LockedPackage, download: Download) -> Stored:
        key = package.sha256 or package.md5 or hashlib.sha256(package.url.encode()).hexdigest()
        self._entry(package, key)
        async with self._alone_with(key):
            if found := self.find(package):
                return found
            pkgs = self._folder / "pkgs"
            try:
                with self._part(key) as part:
                    return await self._fetched(package, part, download)
            except OSError as error:
                if disk_is_full(error):
                    raise failures.disk_full(f"{pkgs} cannot take {failures.stem(package)}") from error
                raise BrokenError(f"the package cache {pkgs} cannot be written to: {error}") from error

    @contextlib.contextmanager
    def _part(self, key: str) -> Iterator[Path]:
        """A folder for what is not whole yet, of its own for each try: rattler's threads outlive what is cancelled."""
        pkgs = self._folder / "pkgs"
        for left in pkgs.glob(f".{key}.*.part"):
            remove_tree(left)
        pkgs.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=pkgs, prefix=f".{key}.", suffix=".part"))
        try:
            yield part
        finally:
            with contextlib.suppress(OSError):
                remove_tree(part)

    async def _fetched(self, package: LockedPackage, part: Path, download: Download) -> Stored:
        began = time.monotonic()
        address = download.address(package.url)
        archive = await _archive(package, address, part, download)
        sha256 = await asyncio.to_thread(_checked, package, archive, download.upgrade)
        entry = self._entry(package, sha256)
        size = archive.stat().st_size
        if not (entry.is_dir() and self.ledger.known(sha256)):
            folder = part / entry.name
            await _unpack(package, archive, folder, sha256, download)
            files = await asyncio.to_thread(_looked_through, package, folder)
            self.ledger.learn(sha256, files)
            self._keep(folder, entry)
        if package.md5 and not package.sha256:
            self.ledger.learn_md5(package.md5, sha256)
        if archive.parent == part and sha256 == package.sha256:
            download.carry(package, archive)
        where = "" if address == package.url else f" from {download.masked(address)}"
        verb = "fetched" if archive.parent == part else "took"
        download.say(f"{verb} {package.url}{where}: {size} bytes, {time.monotonic() - began:.2f} s")
        return Stored(package, sha256, entry)

    def _keep(self, folder: Path, entry: Path) -> None:
        self._discard(entry)  # the ledger does not know it, so nobody links from it
        entry.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.rename(entry)
        except OSError:
            if not entry.is_dir():  # else a lock of another kind named it, too
                raise

    def _sweep(self) -> None:
        """Removes what killed runs have left. A package that they brought in time nobody asks for again."""
        for path in (*self._folder.glob("pkgs/.*"), *self._folder.glob("views/.*")):
            with contextlib.suppress(OSError, BrokenError):
                if path.suffix == ".part" and path.parent.name == "pkgs":
                    with self._held(path.name.split(".")[1], wait=0.0):
                        remove_tree(path)
                elif time.time() - path.lstat().st_mtime > _FORGOTTEN_SECONDS:
                    remove_tree(path)

    def _discard(self, path: Path) -> None:
        """Takes a folder out of the cache in one step, and then apart."""
        if not path.exists():
            return
        aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=".", suffix=".gone"))
        with contextlib.suppress(FileNotFoundError):
            path.rename(aside / "package")
        remove_tree(aside)


def _has_links(view: Path, rows: Iterable[tuple[str, str]]) -> bool:
    return all((view / name).is_symlink() for name, _ in rows) and view.is_dir()


async def _archive(package: LockedPackage, address: str, part: Path, download: Download) -> Path:
    """The package's file: where it lies, or downloaded into ``part``."""
    if not package.url.endswith(_SUFFIXES):
        raise failures.unfit(package, f"it is no conda package: those end in {' or '.join(_SUFFIXES)}")
    if path := download.carried(package):
        return path
    if address.startswith("file:"):
        from urllib.request import url2pathname  # with a client for HTTP and one for mail behind it

        path = Path(url2pathname(urlsplit(address).path))
        if not path.is_file():
            raise failures.gone(package, download.upgrade)
        return path
    path = part / f"archive{next(suffix for suffix in _SUFFIXES if package.url.endswith(suffix))}"
    for attempt in range(1, TRIES + 1):
        said = await _downloaded(address, path, download)
        if not said:
            return path
        kind = failures.kind_of(said)
        if kind != "passing" or attempt == TRIES:
            said = download.masked(said.replace(address, package.url))
            raise failures.download_failed(package, "disk" if has_no_room(part) else kind, said, download.upgrade)
        download.say(f"{package.url} broke off, and is asked for again")
        await asyncio.sleep(_FIRST_WAIT_SECONDS * attempt)
    raise AssertionError("the loop ends by return or raise")


async def _downloaded(address: str, path: Path, download: Download) -> str:
    """Why it could not be downloaded; empty where it could."""
    from rattler.package_streaming import download_to_path

    try:
        await download_to_path(download.client(), address, path)
    except (RuntimeError, OSError, ValueError) as error:  # RuntimeError is what reqwest's errors come as
        return str(error) or type(error).__name__
    return ""


def _checked(package: LockedPackage, archive: Path, upgrade: str) -> str:
    """The archive's SHA-256. :class:`BuildError` where it has not the locked hash."""
    sha256 = _hash(archive, "sha256")
    expected, actual = f"sha256:{package.sha256}", f"sha256:{sha256}"
    if package.md5 and not package.sha256:
        expected, actual = f"md5:{package.md5}", f"md5:{_hash(archive, 'md5')}"
    if (package.sha256 or package.md5) and actual != expected:
        raise failures.another_file(package, expected, actual, upgrade)
    return sha256


def _hash(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


async def _unpack(package: LockedPackage, archive: Path, folder: Path, sha256: str, download: Download) -> None:
    from rattler.package_streaming import download_and_extract

    try:
        # Its sibling for local files holds the interpreter's lock from beginning to end.
        found, _ = await _to_its_end(download_and_extract(download.client(), archive.as_uri(), folder))
    except (RuntimeError, OSError, ValueError) as error:
        said = str(error)
        if failures.says_disk_full(said) or has_no_room(folder.parent):
            raise failures.disk_full(f"{failures.stem(package)} could not be unpacked") from error
        raise failures.unfit(package, f"it cannot be unpacked: {said}") from error
    if found.hex() != sha256:
        raise BrokenError(f"{archive} was changed while it was read")


async def _to_its_end(unpacking: Awaitable[_T]) -> _T:
    """Waits a while for what is cancelled, too: rattler's thread goes on, and would make its folder anew."""
    task = asyncio.ensure_future(unpacking)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), _UNPACKING_SECONDS)
        raise


def _looked_through(package: LockedPackage, folder: Path) -> PackageFiles:
    try:
        files = read_package(folder)
    except UnfitPackageError as error:
        raise failures.unfit(package, str(error)) from error
    if (files.name.lower(), files.version, files.build) != (package.name.lower(), package.version, package.build):
        raise failures.unfit(package, f"it is {files.name} {files.version} {files.build}, and the lock says otherwise")
    return files
