"""A conda prefix from locked packages: each with the hash that the lock names, by whichever front end."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ci_envs.conda import failures
from ci_envs.conda.bytecode import settle_bytecode
from ci_envs.conda.journal import Journal
from ci_envs.conda.package_cache import Download
from ci_envs.conda.rattler_frontend import package_cache
from ci_envs.errors import BuildError
from ci_envs.packages.store import PackageStore, verified_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rattler import Client

    from ci_envs.conda.channels import ChannelAddress, ChannelSettings, Routes
    from ci_envs.conda.frontends import Frontend
    from ci_envs.model.conda import LockedPackage
    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

__all__ = ["install", "package_cache", "plain_download"]

_WEAK = "ENV141"

#: The prefix is put into sources of Python and of the shell as it is: what would end a string there, or run.
_SPECIAL = re.compile(r"""["'`$\n\r]""" if os.name == "nt" else r"""["'`$\\\n\r]""")

#: How many packages a finding names.
_NAMED = 5


def install(
    work: Work,
    packages: Sequence[LockedPackage],
    *,
    frontend: Frontend,
    settings: ChannelSettings | None = None,
    channels: Sequence[ChannelAddress] = (),
    lock: Lock | None = None,
) -> None:
    """Makes ``work.prefix``, which must not exist, of these packages; those for pip are not among them.

    ``settings`` and ``channels`` say where channels are served and with which credentials. Raises :class:`BuildError`
    where a package is not what the lock names, is gone, or cannot be linked here, and :class:`BrokenError` where the
    world failed.
    """
    if work.prefix.exists():
        raise BuildError(f"there is something at {work.layout.shown(work.prefix)} already")
    conda = [package for package in packages if package.manager == "conda"]
    if found := _SPECIAL.search(str(work.prefix)):
        raise failures.unfit_prefix(str(work.prefix), found[0] if found[0].isprintable() else "a line end")
    _refuse_twins(conda, lock)
    _say_weak(work, conda, lock)
    work.prefix.parent.mkdir(parents=True, exist_ok=True)
    frontend.install(work, conda, _carried(work, lock, _download(work, settings, channels)))
    settle_bytecode(work, made=frontend.name != "rattler")


def _download(work: Work, settings: ChannelSettings | None, channels: Sequence[ChannelAddress]) -> Download:
    if settings is None:
        return plain_download(work)
    from ci_envs.conda.channels import make_client, routes

    way = routes(settings, channels)
    return replace(
        # The time limit is one for a whole answer, and packages may be gigabytes.
        plain_download(work, client=lambda: make_client(settings, channels, answer_seconds=0)),
        address=way.to_fetch,
        tool_address=lambda url: _first_way(way, url),
        tool_variables=_tool_variables(settings),
        masked=way.masked,
    )


def _carried(work: Work, lock: Lock | None, download: Download) -> Download:
    """With package files that are carried from one job to the next, where that is done.

    Another front end than rattler downloads by itself, into a cache of its own, and gives no files.
    """
    store = PackageStore.of(work)
    if store is None or lock is None:
        return download
    files = verified_files(work, lock)

    def carried(package: LockedPackage) -> Path | None:
        path = files.get(package.sha256)
        return path if path and path.name == _file_name(package) else None

    def carry(package: LockedPackage, archive: Path) -> None:
        with contextlib.suppress(OSError, ValueError):  # no fault of the leg's
            store.put(archive.rename(archive.with_name(_file_name(package))), package.sha256)

    return replace(download, carried=carried, carry=carry)


def _file_name(package: LockedPackage) -> str:
    return unquote(urlsplit(package.url).path).rpartition("/")[2]


def _first_way(way: Routes, url: str) -> str:
    """The address of the first mirror, with what is needed to reach it: tools know neither our mirrors nor logins."""
    from ci_envs.conda.addresses import rest

    for canonical, _, fetches in way.ways:
        if (behind := rest(url, canonical)) is not None:
            return fetches[0] + behind
    return way.to_fetch(url)


def _tool_variables(settings: ChannelSettings) -> dict[str, str]:
    """Proxies and certificates as conda and libmamba read them from variables."""
    proxies = ((f"{scheme}_proxy", url) for scheme, url in settings.proxies.items())
    told = {word: url for name, url in proxies for word in (name, name.upper())}
    if settings.certificates:
        told |= dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), settings.certificates)
    if not settings.verify:
        told |= dict.fromkeys(("CONDA_SSL_VERIFY", "MAMBA_SSL_VERIFY"), "false")
    return told


def plain_download(
    work: Work, *, client: Callable[[], Client] | None = None, address: Callable[[str], str] = str
) -> Download:
    """How packages are reached: as their addresses say, by a client that is made once, when it is needed."""
    made: list[Client] = []

    def once() -> Client:
        if not made:
            made.append((client or _plain_client)())
        return made[0]

    upgrade = work.lock_command("--upgrade")
    return Download(client=once, address=address, tool_address=address, upgrade=upgrade, say=Journal.of(work))


def _plain_client() -> Client:
    from rattler import Client

    return Client.default_client()


def _refuse_twins(packages: Sequence[LockedPackage], lock: Lock | None) -> None:
    """An environment has one package of a name; what a tool makes of two is its own affair."""
    seen: dict[str, LockedPackage] = {}
    for package in packages:
        other = seen.setdefault(package.name, package)
        if other is not package:
            both = " and ".join(f"{one.version} {one.build}" for one in (other, package))
            raise BuildError(f"the lock has {package.name} twice: {both}", file=_file(lock))


def _say_weak(work: Work, packages: Sequence[LockedPackage], lock: Lock | None) -> None:
    """ENV141: what no SHA-256 speaks for."""
    weak = [package for package in packages if not package.sha256]
    if not weak:
        return
    bare = [package.name for package in weak if not package.md5]
    named = ", ".join(package.name for package in weak[:_NAMED])
    more = f" and {len(weak) - _NAMED} more" if len(weak) > _NAMED else ""
    what = "no hash at all" if len(bare) == len(weak) else "an MD5 alone" if not bare else "an MD5 alone, or no hash"
    work.find(
        _WEAK,
        "warning",
        "packages without a SHA-256",
        f"{named}{more} are locked with {what}: a file that was made to have the same MD5, or any file, would be "
        f"installed; lock again with: {work.lock_command('--upgrade')}",
        file=_file(lock),
    )


def _file(lock: Lock | None) -> str:
    return lock.path if lock is not None else ""
