"""What a solve came to: records of rattler as packages of a lock, with categories, hashes, and what changed since."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_envs.conda.addresses import folder
from ci_envs.conda.lock_rules import need
from ci_envs.conda.reaching import make_client
from ci_envs.errors import LockError
from ci_envs.model.conda import LockedPackage
from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rattler import Client, RepoDataRecord

    from ci_envs.conda.routes import Routes
    from ci_envs.conda.solving import Asked, Solve

__all__ = ["Kept", "Solved", "categories_of", "exactly", "packages"]

#: Files that are downloaded at once, to learn their hashes.
_AT_ONCE = 4
#: How many packages a finding names.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Solved:
    """The packages by name, and what a person should know of them."""

    packages: tuple[LockedPackage, ...]
    findings: tuple[Finding, ...] = ()


class Kept:
    """Packages of the lock before, as the channels have them now."""

    def __init__(self, packages: Sequence[LockedPackage], way: Routes, records: Iterable[RepoDataRecord]) -> None:
        now = {way.to_canonical(record.url): record for record in records}
        there = {package.url: now[package.url] for package in packages if package.url in now}
        #: What rattler is to prefer.
        self.records = list(there.values())
        channels = [canonical for canonical, _, _ in way.ways]
        self._gone = [
            package
            for package in packages
            if package.url not in now and any(package.url.startswith(f"{channel}/") for channel in channels)
        ]
        self._other = [
            package for package in packages if package.url in there and _differs(package, there[package.url])
        ]

    def findings(self, platform: str) -> list[Finding]:
        """LOCK034 and LOCK035: files that are other ones, and files that are gone."""
        found = []
        if self._other:
            message = (
                f"{_listed(self._other)} for {platform}: the channel has other files under these names than the lock "
                "had; whoever keeps it built them again, or somebody else did"
            )
            found.append(Finding(code="LOCK034", severity="warning", title="uploaded again", message=message))
        if self._gone:
            message = f"{_listed(self._gone)} for {platform} left the channel; the lock has others now"
            found.append(Finding(code="LOCK035", severity="info", title="left the channel", message=message))
        return found


def exactly(package: LockedPackage) -> str:
    """The match spec of one build, whatever its hash is now."""
    return f'{package.name}[version="=={package.version}",build="{package.build}",subdir="{package.subdir}"]'


async def packages(solve: Solve, records: Sequence[RepoDataRecord], kept: Kept) -> Solved:
    """Packages of a lock, sorted by name. Raises :class:`LockError` for a file that is not what the channel says."""
    belongs = categories_of(solve.asked, {record.name.normalized: record.depends for record in records})
    hashes, unhashed = await _hashes(solve, records)
    found = [
        LockedPackage(
            name=record.name.normalized,
            version=str(record.version),
            platform=solve.request.platform,
            url=solve.way.to_canonical(record.url),
            build=str(record.build),
            subdir=record.subdir,
            md5=hashes[record.url][0],
            sha256=hashes[record.url][1],
            depends=tuple(sorted(set(record.depends))),
            categories=belongs[record.name.normalized],
        )
        for record in records
    ]
    findings = kept.findings(solve.request.platform)
    if unhashed:
        message = (
            f"{', '.join(unhashed[:_NAMED])}: the channel's index has no hash of these files; the lock has the hashes "
            "of what came, which nobody could compare"
        )
        findings.append(Finding(code="LOCK033", severity="warning", title="a channel without hashes", message=message))
    return Solved(tuple(sorted(found, key=lambda package: package.name)), tuple(findings))


def categories_of(asked: Iterable[Asked], depends: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Each package's categories: of all specs that lead to it, as conda-lock gives them; ``main`` first."""
    found: dict[str, set[str]] = {name: set() for name in depends}
    for one in asked:
        waiting = [one.name]
        while waiting:
            name = waiting.pop()
            if name in found and one.line.category not in found[name]:
                found[name].add(one.line.category)
                waiting += [need(text)[0] for text in depends[name]]
    return {
        name: tuple(sorted(those, key=lambda word: (word != "main", word))) or ("main",)
        for name, those in found.items()
    }


async def _hashes(solve: Solve, records: Sequence[RepoDataRecord]) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """MD5 and SHA-256 by address, and the files that the index has neither of.

    conda-lock's format demands an MD5 and we a SHA-256; a file that lacks one is downloaded, and must have the other.
    """
    told = {record.url: (_hex(record.md5), _hex(record.sha256)) for record in records}
    lacking = [record for record in records if not all(told[record.url])]
    if not lacking:
        return told, []
    if solve.request.offline or solve.request.settings.offline:
        raise LockError(
            f"the channel's index has no hash of {lacking[0].file_name}, and nothing may be downloaded",
            hint="lock once without --offline",
        )
    import asyncio

    client = make_client(solve.request.settings, solve.request.channels, answer_seconds=0)
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def one(record: RepoDataRecord) -> None:
        async with at_once:
            had = await _digested(record.url, client)
        for said, is_now in zip(told[record.url], had, strict=True):
            if said and said != is_now:
                raise LockError(
                    f"{record.file_name} is not the file that the channel's index tells of: it has {is_now}, "
                    f"the index says {said}",
                    hint="whoever keeps the channel has to index it again",
                )
        told[record.url] = had

    unhashed = [record.file_name for record in lacking if not any(told[record.url])]
    await asyncio.gather(*(one(record) for record in lacking))
    return told, unhashed


class _Digesting:
    """A file that keeps nothing but the digests of what is written to it."""

    def __init__(self) -> None:
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Takes some bytes in."""
        self.md5.update(data)
        self.sha256.update(data)
        return len(data)


async def _digested(url: str, client: Client) -> tuple[str, str]:
    import asyncio

    from rattler.package_streaming import download_to_writer

    digests = _Digesting()
    if url.startswith("file:"):
        digests.write(await asyncio.to_thread(folder(url).read_bytes))
    else:
        try:
            await download_to_writer(client, url, digests)
        except RuntimeError as error:  # what rattler raises for every answer but a good one
            raise OSError(str(error)) from error
    return digests.md5.hexdigest(), digests.sha256.hexdigest()


def _differs(package: LockedPackage, record: RepoDataRecord) -> bool:
    now = (_hex(record.md5), _hex(record.sha256))
    return any(was and is_now and was != is_now for was, is_now in zip((package.md5, package.sha256), now, strict=True))


def _hex(digest: bytes | None) -> str:
    return digest.hex() if digest else ""


def _listed(found: Sequence[LockedPackage]) -> str:
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(f"{one.name} {one.version} {one.build}" for one in found[:_NAMED]) + more
