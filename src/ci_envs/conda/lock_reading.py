"""conda lock files in all the forms that are met: ``conda-lock.yml``, ``@EXPLICIT`` and ``pixi.lock``.

``conda-lock.yml`` is read here and not by conda-lock, whose import alone takes 0.7 s; a component test holds the two
readers against each other. Nothing of a lock is believed before :mod:`ci_envs.conda.lock_rules` has looked at it, and
no address of a :class:`CondaLock` holds credentials.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ci_envs.conda.lock_pins import to_pins
from ci_envs.conda.lock_rules import Entry, plain_address, together
from ci_envs.decoding import convert
from ci_envs.errors import LockError
from ci_envs.locks.reading import shown
from ci_envs.model.conda import CondaLock
from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.conda.lock_yaml import LockDocument
    from ci_envs.model.conda import LockedPackage

__all__ = ["findings_of", "read_lock", "sniff", "to_pins", "weak_hashes"]

UNDERSTOOD = "versions 1 and 2 of conda-lock.yml and 4 to 7 of pixi.lock are"

_EXPLICIT = re.compile(r"^@EXPLICIT[ \t]*\r?$", re.MULTILINE)
_PIXI = re.compile(r"^environments:", re.MULTILINE)
_CONDA_LOCK = re.compile(r"^package:", re.MULTILINE)
_AT = re.compile(r" - at `\$(.*)`$")
_KIND = re.compile(r"`([^`]*)`")
_KINDS = {
    "str": "text",
    "float": "a number",
    "int": "a number",
    "null": "nothing",
    "object": "a table",
    "array": "a list",
}
#: What cannot be read is not written over.
_ANEW = "restore it, or remove it and lock anew"
_ENTRY = re.compile(r"\.package\[(\d+)\]")


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """conda-lock's own models forbid keys that they do not know."""


class _Hash(_Strict, frozen=True):
    md5: str | None = None
    sha256: str | None = None


class _Source(_Strict, frozen=True):
    type: Literal["url"]
    url: str


class _Package(_Strict, frozen=True):
    name: str
    version: str
    manager: Literal["conda", "pip"]
    platform: str
    hash: _Hash = _Hash()
    url: str = ""
    #: By name; a list of match specs in files that rattler has written in this form.
    dependencies: dict[str, str] | list[str] = {}
    #: An address that was asked for by itself; the same as the url.
    source: _Source | None = None
    build: str | None = None
    # Version 1 has one entry for each category, version 2 has them all in one.
    category: str | None = None
    optional: bool | None = None
    categories: tuple[str, ...] | None = None


class _Channel(_Strict, frozen=True):
    url: str
    used_env_vars: list[str] = []


class _Metadata(_Strict, frozen=True):
    channels: list[str | _Channel]
    platforms: list[str]
    content_hash: dict[str, str] = {}
    sources: list[str] = []
    # Of no use to anybody else, and never the same twice.
    time_metadata: Any = None
    git_metadata: Any = None
    inputs_metadata: Any = None
    custom_metadata: Any = None


class _CondaLock(_Strict, frozen=True):
    metadata: _Metadata
    package: list[_Package]
    version: Literal[1, 2]


def read_lock(text: str, *, path: str) -> CondaLock:
    """The lock that a text is; ``path`` is how messages name it, relative to the project.

    Raises :class:`LockError`, with the line where it is known, for what is no lock, or one that cannot be trusted.
    """
    text = text.removeprefix("\ufeff")
    match sniff(text, path):
        case "explicit":
            from ci_envs.conda.explicit import read_explicit

            return read_explicit(text, path=path)
        case "pixi":
            from ci_envs.conda.lock_pixi import read_pixi

            return read_pixi(text, path=path)
        case _:
            return _read_conda_lock(text, path)


def sniff(text: str, path: str = "") -> Literal["conda-lock", "explicit", "pixi"]:
    """Which format a text is in, by what only one of them has; by the file's name where it has nothing."""
    if _EXPLICIT.search(text):
        return "explicit"
    if _PIXI.search(text):
        return "pixi"
    return "pixi" if PurePosixPath(path).name == "pixi.lock" and not _CONDA_LOCK.search(text) else "conda-lock"


def weak_hashes(lock: CondaLock) -> tuple[LockedPackage, ...]:
    """The packages that only an MD5 vouches for: whoever serves them can serve others."""
    return tuple(package for package in lock.packages if package.md5 and not package.sha256)


def findings_of(lock: CondaLock) -> tuple[Finding, ...]:
    """What a person should know about a lock: secrets that it held, and hashes that prove little (LOCK020)."""
    weak = weak_hashes(lock)
    if not weak:
        return lock.findings
    more = f" and {len(weak) - 1} more have" if len(weak) > 1 else " has"
    finding = Finding(
        code="LOCK020",
        severity="warning",
        title="packages with an MD5 only",
        message=f"{weak[0].name} {weak[0].version}{more} no SHA-256 in {lock.path}: an MD5 can be forged; "
        "renew the lock",
        file=lock.path,
    )
    return (*lock.findings, finding)


def _read_conda_lock(text: str, path: str) -> CondaLock:
    from ci_envs.conda.lock_yaml import load_lock_yaml

    document = load_lock_yaml(text, path=path)
    _check_version(document, path)
    try:
        read = convert(document.data, _CondaLock)
    except msgspec.ValidationError as error:
        raise _misread(document, str(error), path) from error
    platforms = set(read.metadata.platforms)
    found = together(_entries(read, document, path, platforms), path)
    return CondaLock(
        path=path,
        format="conda-lock",
        packages=tuple(sorted(found.packages, key=lambda one: (one.manager, one.name, one.platform))),
        platforms=tuple(sorted(platforms)),
        channels=tuple(_channel(channel) for channel in read.metadata.channels),
        sources=tuple(read.metadata.sources),
        content_hash=dict(sorted(read.metadata.content_hash.items())),
        findings=found.findings,
    )


def _check_version(document: LockDocument, path: str) -> None:
    data = document.data
    if not isinstance(data, dict):
        raise LockError("is no lock file: it holds no table of packages", hint=_ANEW, file=path, line=1)
    version = data.get("version")
    if version in (1, 2) and not isinstance(version, bool):
        return
    said = "says no version" if "version" not in data else f"is of version {str(version)[:20]}"
    raise LockError(f"{said}; {UNDERSTOOD} understood", hint=_ANEW, file=path, line=1)


def _entries(read: _CondaLock, document: LockDocument, path: str, platforms: set[str]) -> Iterator[Entry]:
    for package, raw in zip(read.package, document.data["package"], strict=True):
        if package.manager == "conda" and package.name.startswith("__"):
            continue  # conda-lock 1.0 left its stand-ins for virtual packages in
        line = document.line(raw)
        if package.platform not in platforms:
            what = f"{shown(package.name)} is locked for {shown(package.platform)}"
            raise LockError(
                f"{what}, which metadata.platforms does not list",
                hint="the file was edited or merged by hand: restore it, or remove it and lock anew",
                file=path,
                line=line,
            )
        needs = package.dependencies
        yield Entry(
            name=package.name,
            version=package.version,
            manager=package.manager,
            platform=package.platform,
            url=package.url,
            md5=package.hash.md5,
            sha256=package.hash.sha256,
            depends=[f"{name} {said}" for name, said in needs.items()] if isinstance(needs, dict) else needs,
            categories=package.categories or (package.category or "main",),
            by_address=package.source is not None,
            line=line,
        )


def _channel(channel: str | _Channel) -> str:
    """A channel's address as it stands where variables take the place of credentials, else without credentials."""
    address = channel if isinstance(channel, str) else channel.url
    plain, secret = plain_address(address)
    return (plain if secret else address).rstrip("/")


def _misread(document: LockDocument, told: str, path: str) -> LockError:
    """msgspec's complaint with the line of the entry and its name, for a person."""
    at = _AT.search(told)
    where = at[1].lstrip(".") if at else ""
    message = _KIND.sub(lambda kind: _KINDS.get(kind[1], f"'{kind[1]}'"), _AT.sub("", told))
    entry = _ENTRY.match(f".{where}")
    raw = document.data["package"][int(entry[1])] if entry else None
    line = document.line(raw) or document.line(document.data.get("metadata")) or 1
    if isinstance(raw, dict):
        name = raw.get("name")
        where = where.partition("]")[2].lstrip(".")
        where = f"{shown(name) if isinstance(name, str) else 'an entry'}{f', {where}' if where else ''}"
    hint = "write it in quotes" if message.endswith("got a number") else _ANEW
    return LockError(shown(f"{where}: {message}" if where else message), hint=hint, file=path, line=line)
