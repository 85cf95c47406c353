"""What conda's files say: the intent that a person wrote, and a lock, one platform at a time."""

from __future__ import annotations

from typing import Literal

import msgspec

from ci_envs.model.record import Finding

__all__ = ["PLATFORMS", "CondaIntent", "CondaLock", "LockedPackage", "MatchLine", "PipLine"]

#: The platforms that a lock may be made for, as conda calls them (subdirs of a channel).
PLATFORMS = ("linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64")


class MatchLine(msgspec.Struct, frozen=True, kw_only=True):
    """One match spec (``numpy >=2``, ``conda-forge::zlib``) with where it stands."""

    #: As a person wrote it, without selectors; credentials of a channel in it are masked.
    text: str
    #: The package's name in lower case.
    name: str
    file: str = ""
    line: int = 0
    #: The platforms that it is meant for; empty for all.
    platforms: tuple[str, ...] = ()
    #: conda-lock's word for a group of dependencies: ``main``, ``dev``, ...
    category: str = "main"


class PipLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line below ``pip:``: a requirement (PEP 508), a path, an address, or an option (``-r file``, ``-e .``)."""

    text: str
    file: str = ""
    line: int = 0
    platforms: tuple[str, ...] = ()
    category: str = "main"


class CondaIntent(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the intent files of a project ask for, merged in their order."""

    files: tuple[str, ...]
    name: str = ""
    #: As written, the most wanted first, each once; without ``nodefaults`` and without credentials.
    channels: tuple[str, ...] = ()
    #: Whether ``nodefaults`` stands among the channels.
    nodefaults: bool = False
    specs: tuple[MatchLine, ...] = ()
    pip: tuple[PipLine, ...] = ()
    #: Environment variables that activating sets.
    variables: dict[str, str] = {}
    #: What the files themselves say they are for (conda-lock's ``platforms:``); empty where they say nothing.
    platforms: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


class LockedPackage(msgspec.Struct, frozen=True, kw_only=True):
    """One package of a lock, for one platform."""

    #: conda's name in lower case; a Python distribution's is normalised as PEP 503 asks.
    name: str
    version: str
    manager: Literal["conda", "pip"] = "conda"
    platform: str
    #: Where the file is, without credentials and as the channel itself calls it, never a mirror's address.
    url: str
    #: conda's build string, the channel's folder (``linux-64``, ``noarch``); empty for pip.
    build: str = ""
    subdir: str = ""
    #: Hexadecimal; empty where the lock has none.
    md5: str = ""
    sha256: str = ""
    #: Match specs for conda (``python >=3.12,<3.13.0a0``), ``name specifier`` for pip.
    depends: tuple[str, ...] = ()
    categories: tuple[str, ...] = ("main",)
    #: Of pip: whether the address itself was asked for (``name @ https://...``); no index need have the file.
    by_address: bool = False


class CondaLock(msgspec.Struct, frozen=True, kw_only=True):
    """A lock file in whatever format."""

    #: Relative to the project.
    path: str
    format: Literal["conda-lock", "explicit", "pixi"]
    packages: tuple[LockedPackage, ...] = ()
    platforms: tuple[str, ...] = ()
    #: Canonical addresses without credentials (``https://conda.anaconda.org/conda-forge``), or names.
    channels: tuple[str, ...] = ()
    #: The intent files that it was made from, relative to the lock file, as conda-lock writes them.
    sources: tuple[str, ...] = ()
    #: conda-lock's hash of the intent, by platform.
    content_hash: dict[str, str] = {}
    #: What reading it found: secrets in its addresses.
    findings: tuple[Finding, ...] = ()

    def of(self, platform: str, categories: tuple[str, ...] | None = None) -> tuple[LockedPackage, ...]:
        """The packages of one platform, and of some categories (all of them where none are named)."""
        return tuple(
            package
            for package in self.packages
            if package.platform == platform and (categories is None or set(package.categories) & set(categories))
        )
