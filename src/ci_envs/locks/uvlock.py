"""What a ``uv.lock`` says of itself. Pure.

It holds the universe of all platforms and groups; which of it a leg needs is uv's to say (``uv export --frozen
--format pylock.toml``), and the export is read like any pylock.toml. So this reads facts, never pins.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from ci_envs.errors import LockError
from ci_envs.locks.reading import shown
from ci_envs.redact import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["UvLockFacts", "facts"]

#: The version of the format that uv 0.5 and later write; revisions only add to it.
_VERSION = 1


class UvLockFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts that need no resolution."""

    version: int
    revision: int = 0
    requires_python: str = ""
    #: By name; more than one version where platforms or extras need different ones.
    packages: dict[str, tuple[str, ...]] = {}
    #: The workspace's own packages: what is built here and not fetched.
    members: tuple[str, ...] = ()
    #: Hosts of the registries and files that the lock names, for a person to know; sorted.
    hosts: tuple[str, ...] = ()
    #: Names of packages with a user or a password in an address: they do not belong in a file that is committed.
    credentials: tuple[str, ...] = ()
    #: What the resolution was asked for, where it was not the default.
    exclude_newer: str = ""
    resolution: str = "highest"
    prerelease: str = ""


def facts(text: str, *, path: str = "uv.lock") -> UvLockFacts:
    """The facts of a ``uv.lock``. Raises :class:`LockError` where it is not one, or one of a format not known yet."""
    data = _table(text, path)
    version, options = data.get("version"), data.get("options", {})
    packages = [package for package in _list(data, "package") if isinstance(package.get("name"), str)]
    if version != _VERSION or isinstance(version, bool):
        raise LockError(
            f"has format version {shown(str(version))}; {_VERSION} is known",
            hint="it was made by another uv: renew it with uv lock, or update ci-envs",
            file=path,
        )
    options = options if isinstance(options, dict) else {}
    addresses = [(package["name"], url) for package in packages for url in _addresses(package)]
    return UvLockFacts(
        version=version,
        revision=data["revision"] if isinstance(data.get("revision"), int) else 0,
        requires_python=_text(data, "requires-python"),
        packages=_versions(packages),
        members=tuple(sorted({p["name"] for p in packages if _is_member(p)})),
        hosts=tuple(sorted({host for _, url in addresses if (host := _host(url))})),
        credentials=tuple(sorted({name for name, url in addresses if without_credentials(url) != url})),
        exclude_newer=_text(options, "exclude-newer"),
        resolution=_text(options, "resolution-mode") or "highest",
        prerelease=_text(options, "prerelease-mode"),
    )


def _table(text: str, path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise LockError(f"is not valid TOML: {shown(str(error))}", file=path) from error


def _list(table: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = table.get(key, [])
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(table: dict[str, Any], key: str) -> str:
    value = table.get(key, "")
    return value if isinstance(value, str) else str(value)


def _versions(packages: list[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for package in packages:
        found.setdefault(package["name"], set()).update(filter(None, [_text(package, "version")]))
    return {name: tuple(sorted(versions)) for name, versions in sorted(found.items())}


def _is_member(package: dict[str, Any]) -> bool:
    source = package.get("source")
    return isinstance(source, dict) and bool(source.keys() & {"virtual", "editable"})


def _addresses(package: dict[str, Any]) -> Iterator[str]:
    """Every address in a package: of its registry, of its source and of each of its files."""
    source, sdist = package.get("source"), package.get("sdist")
    tables = [table for table in (source, sdist) if isinstance(table, dict)] + _list(package, "wheels")
    for table in tables:
        for key in ("registry", "url", "git", "path"):
            value = table.get(key)
            if isinstance(value, str) and "://" in value:
                yield value


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
