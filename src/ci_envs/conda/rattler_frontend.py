"""The embedded front end: py-rattler links packages out of our package cache, in this process."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING

import msgspec

from ci_envs import command
from ci_envs.cache import conda_cache
from ci_envs.conda import failures
from ci_envs.conda.engine import complete, require_rattler
from ci_envs.conda.journal import Journal
from ci_envs.conda.package_cache import PackageCache
from ci_envs.conda.package_files import UnfitPackageError, read_package
from ci_envs.decoding import decode
from ci_envs.errors import BuildError, InterruptedRun
from ci_envs.layout import has_no_room, remove_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rattler import RepoDataRecord

    from ci_envs.conda.package_cache import Download, Stored
    from ci_envs.errors import CiEnvsError
    from ci_envs.model.conda import LockedPackage
    from ci_envs.work import Work

__all__ = ["RattlerFrontend", "package_cache"]

# InstallerError: "failed to link numpy-2.1.0-0.conda / Caused by: failed to link 'lib/x.so' / Caused by: ...".
_FILE = re.compile(r"failed to link (?P<archive>\S+)\n(?:Caused by: )?failed to link '(?P<path>[^\n]*)'")
_NO_PYTHON = "there is no python version specified"


def package_cache(work: Work) -> PackageCache:
    """The package cache of this user, which our own installs alone write to."""
    return PackageCache(conda_cache(work.environ))


class RattlerFrontend:
    """py-rattler."""

    name = "rattler"
    #: Whether it runs post-link scripts by itself.
    runs_scripts = False

    def install(self, work: Work, packages: Sequence[LockedPackage], download: Download) -> None:
        """Makes the prefix. What the cache lacks is downloaded, unless the policy is offline."""
        require_rattler()
        import rattler

        work.tools["rattler"] = rattler.__version__
        cache, journal = package_cache(work), Journal.of(work)
        journal.begin(f"rattler {rattler.__version__}: {len(packages)} packages")
        if work.policy.offline:
            missing = [one for one in packages if not _is_local(one, download) and cache.find(one) is None]
            if missing:
                raise failures.not_cached(missing)
        _Linking(work, cache, packages, download, journal).run()

    def forget(self, work: Work, packages: Sequence[LockedPackage]) -> None:
        """Takes packages out of the cache."""
        package_cache(work).forget(packages)


def _is_local(package: LockedPackage, download: Download) -> bool:
    return download.address(package.url).startswith("file:") or download.carried(package) is not None


class _Linking:
    """One prefix from one set of packages."""

    def __init__(
        self,
        work: Work,
        cache: PackageCache,
        packages: Sequence[LockedPackage],
        download: Download,
        journal: Journal,
    ) -> None:
        self._work = work
        self._cache = cache
        self._packages = packages
        self._download = download
        self._journal = journal

    def run(self) -> None:
        """Fetches and links; once more where the cache was found damaged, or was being cleaned by another process."""
        for last in (False, True):
            stored = complete(self._cache.bring(self._packages, self._download))
            said = self._linked(stored)
            if command.stopping():
                raise InterruptedRun("stopped while it linked conda packages")
            if not said:
                return
            damaged = [one.package for one in stored if not _is_whole(one)]
            if last or not (damaged or failures.says_source_missing(said)):
                self._journal(said)
                raise self._failure(said, stored)
            self._journal(f"the package cache was damaged ({len(damaged)} of its packages): once more")
            remove_tree(self._work.prefix)
            self._cache.forget(damaged)

    def _linked(self, stored: Sequence[Stored]) -> str:
        """Why the packages could not be linked; empty where they were."""
        from rattler import install
        from rattler.exceptions import InstallerError

        began = time.monotonic()
        try:
            linking = install(
                [_record(one, self._download.address(one.package.url)) for one in stored],
                target_prefix=self._work.prefix,
                package_cache=self._cache.for_rattler(stored),
                show_progress=False,
                execute_link_scripts=False,
            )
            # rattler's own threads would go on writing while whoever stopped us removes the prefix.
            complete(linking, to_its_end=True)
        except (InstallerError, _DamagedError) as error:
            return str(error)
        self._journal(f"linked {len(stored)} packages into {self._work.prefix}, {time.monotonic() - began:.2f} s")
        return ""

    def _failure(self, said: str, stored: Sequence[Stored]) -> CiEnvsError:
        if failures.says_too_short(said) and (found := _FILE.search(said)):
            name, placeholder = _placeholder(stored, found["archive"], found["path"])
            return failures.placeholder_too_short(name, found["path"], str(self._work.prefix), placeholder)
        if failures.says_disk_full(said) or has_no_room(self._work.layout.state):
            return failures.disk_full(f"the environment {self._work.prefix} could not be made")
        if _NO_PYTHON in said:
            return BuildError(
                "the lock has Python packages, and no python for them", hint=f"lock again: {self._download.upgrade}"
            )
        return failures.link_failed(said, self._work.layout.shown(self._work.log))


class _DamagedError(Exception):
    """A package in the cache whose metadata cannot be read."""


def _record(one: Stored, address: str) -> RepoDataRecord:
    """What rattler installs: the package's own metadata, with the address, hash and dependencies of the lock."""
    from rattler import PackageRecord, RepoDataRecord

    package, info = one.package, one.folder / "info"
    try:
        record = PackageRecord.from_index_json(info / "index.json", sha256=one.sha256, md5=package.md5 or None)
        with contextlib.suppress(FileNotFoundError):  # packages from before there was one
            # What it cannot read, rattler would download past our settings, and put into the view.
            decode((info / "paths.json").read_bytes(), msgspec.Raw)
    except Exception as error:
        raise _DamagedError(f"{one.folder.name} cannot be read: {error}") from error
    if package.depends:
        record.depends = list(package.depends)
    # A lock may name a folder of the project, relative to it; conda-meta needs an address.
    url = package.url if "://" in package.url else address
    channel, _, file_name = url.rpartition("/")
    return RepoDataRecord(record, file_name, url, channel.rpartition("/")[0])


def _is_whole(one: Stored) -> bool:
    try:
        files = read_package(one.folder)
    except UnfitPackageError:
        return False
    return all((one.folder / row.path).exists() or row.path in files.links for row in files.rows)


def _placeholder(stored: Sequence[Stored], archive: str, path: str) -> tuple[str, str]:
    for one in stored:
        if one.package.url.endswith(f"/{archive}"):
            rows = msgspec.json.decode((one.folder / "info" / "paths.json").read_bytes())["paths"]
            found = next((row.get("prefix_placeholder") for row in rows if row["_path"] == path), None)
            return one.package.name, found or ""
    return archive, ""
