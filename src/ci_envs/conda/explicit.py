"""``@EXPLICIT`` files: one address a line, read and written.

What may follow an address differs by tool (looked up in their sources): ``#<md5>`` is understood by all of them.
``#sha256:<hex>`` is read by conda since 24.9, micromamba and mamba 1.5, again since 2.1 (2.0 takes no notice of it and
verifies nothing), and rattler. A bare SHA-256 is read by conda and rattler, and by mamba since 2.1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from ci_envs.conda.lock_rules import Entry, channel_of, file_parts, need, plain_address, together
from ci_envs.errors import LockError
from ci_envs.locks.reading import file_pin, shown
from ci_envs.model.conda import CondaLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ci_envs.model.conda import LockedPackage

__all__ = ["in_dependency_order", "read_explicit", "write_explicit"]

_PLATFORM = re.compile(r"#\s*platform:\s*(\S+)\s*")
# What "conda-lock render" writes for a distribution; conda itself sees a comment.
_PIP = re.compile(r"# pip ([A-Za-z0-9._-]+) @ (\S+?)(?:#sha256=([0-9A-Fa-f]+))?(?:\s+--hash=sha256:([0-9A-Fa-f]+))?\s*")
_CONFLICT = re.compile(r"(?:<{7}|={7}|>{7}|\|{7})(?: .*)?")


def read_explicit(text: str, *, path: str) -> CondaLock:
    """The lock that an ``@EXPLICIT`` file is. It knows no dependencies, and its order is kept.

    Raises :class:`LockError` with the line for what is no address of a package, and where no platform is told.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1)]
    said = next((named[1] for _, line in lines if (named := _PLATFORM.fullmatch(line))), "")
    platform = said or _platform_of_files(lines, path)
    found = together(_entries(lines, platform, path), path)
    channels = dict.fromkeys(channel_of(package) for package in found.packages if package.manager == "conda")
    return CondaLock(
        path=path,
        format="explicit",
        packages=found.packages,
        platforms=(platform,),
        channels=tuple(channels),
        findings=found.findings,
    )


def write_explicit(
    lock: CondaLock,
    platform: str,
    categories: tuple[str, ...] | None = None,
    *,
    hash: Literal["md5", "sha256"] = "sha256",  # noqa: A002 - the word that conda's users know
) -> str:
    """The packages of one platform as an ``@EXPLICIT`` file, each after those that it needs.

    Where a package lacks the hash that is asked for, the other one is written. Distributions of a ``pip:`` part are
    comments that ``conda-lock install`` and micromamba understand, and nobody else. Raises :class:`LockError` for a
    platform that the lock does not have.
    """
    if platform not in lock.platforms:
        known = ", ".join(lock.platforms) or "none"
        raise LockError(f"is not locked for {platform}; it is for {known}", file=lock.path)
    packages = in_dependency_order(lock.of(platform, categories))
    lines = [f"# platform: {platform}", "@EXPLICIT"]
    lines += [f"{one.url}{_fragment(one, hash)}" for one in packages if one.manager == "conda"]
    lines += [f"# pip {_requirement(one)}" for one in packages if one.manager == "pip"]
    return "\n".join(lines) + "\n"


def in_dependency_order(packages: Sequence[LockedPackage]) -> tuple[LockedPackage, ...]:
    """Packages of one platform, each after those that it needs; of equals, the first that was given.

    Where packages need each other one of them has to come first; of pip and Python it is Python, which pip is put into.
    """
    by_name = {(package.manager, package.name): package for package in packages}
    ordered: dict[tuple[str, str], LockedPackage] = {}
    seen: set[tuple[str, str]] = set()
    for start in by_name:
        # No recursion: a chain of dependencies may be longer than Python's stack.
        waiting = [(start, False)]
        while waiting:
            key, is_done = waiting.pop()
            package = by_name.get(key)
            if package is None or (key in seen and not is_done):
                continue
            if is_done:
                ordered[key] = package
                continue
            seen.add(key)
            waiting.append((key, True))
            waiting += [((key[0], name), False) for name in reversed(_leading(package))]
    return tuple(ordered.values())


def _leading(package: LockedPackage) -> list[str]:
    names = [need(text)[0] for text in package.depends]
    return [name for name in names if (package.name, name) != ("python", "pip")]


def _platform_of_files(lines: Sequence[tuple[int, str]], path: str) -> str:
    """The platform that the addresses are for, where the file does not say it."""
    addresses = (line.partition("#")[0] for _, line in lines if "://" in line and not line.startswith("#"))
    found = sorted({url.rpartition("/")[0].rpartition("/")[2] for url in addresses} - {"noarch", ""})
    if len(found) == 1:
        return found[0]
    message = f"holds packages for {shown(' and '.join(found))}" if found else "does not say which platform it is for"
    raise LockError(message, hint="write '# platform: linux-64' above @EXPLICIT", file=path)


def _entries(lines: Sequence[tuple[int, str]], platform: str, path: str) -> Iterator[Entry]:
    begun = False
    for number, line in lines:
        if line == "@EXPLICIT":
            begun = True
        elif found := _PIP.fullmatch(line):
            yield _pip(found, platform, number)
        elif _CONFLICT.fullmatch(line):
            hint = "take one side of the merge, then renew the lock"
            raise LockError("holds the marks of a merge that was not ended", file=path, line=number, hint=hint)
        elif line and not line.startswith("#"):
            if not begun:
                raise LockError("an address stands above @EXPLICIT", file=path, line=number)
            yield _conda(line, platform, number, path)


def _conda(line: str, platform: str, number: int, path: str) -> Entry:
    url, _, fragment = line.partition("#")
    told = file_parts(url)
    if told is None or "://" not in url:
        raise LockError(f"{plain_address(url)[0][:100]!r} is no address of a conda package", file=path, line=number)
    digest = fragment.removeprefix("sha256:")
    is_strong = fragment != digest or len(digest) == 64
    return Entry(
        name=told[0],
        version=told[1],
        manager="conda",
        platform=platform,
        url=url,
        md5=None if is_strong else digest,
        sha256=digest if is_strong else None,
        line=number,
    )


def _pip(found: re.Match[str], platform: str, number: int) -> Entry:
    name, url, first, second = found.groups()
    known = file_pin(url)
    version = known[1] if known else ""
    return Entry(
        name=name, version=version, manager="pip", platform=platform, url=url, sha256=first or second, line=number
    )


def _fragment(package: LockedPackage, kind: Literal["md5", "sha256"]) -> str:
    md5 = f"#{package.md5}" if package.md5 else ""
    sha256 = f"#sha256:{package.sha256}" if package.sha256 else ""
    return md5 or sha256 if kind == "md5" else sha256 or md5


def _requirement(package: LockedPackage) -> str:
    digest = f"#sha256={package.sha256}" if package.sha256 else ""
    return f"{package.name} @ {package.url}{digest}"
