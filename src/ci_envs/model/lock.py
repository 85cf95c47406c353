"""The normal form of any lock file."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

__all__ = ["Lock", "Pin", "Requirement"]

SourceKind = Literal["index", "url", "vcs", "path", "channel", "image", "input"]


class Pin(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One package, or one image or input that others are built from, that a lock names for one leg.

    ``name`` is normalised as PEP 503 asks; ``hashes`` are ``sha256:<hex>`` and sorted. ``location`` is where a pin
    that does not come from an index comes from, without credentials; an index's address never enters a pin, since
    the same lock must be the same behind a mirror.
    """

    name: str
    version: str
    source: SourceKind = "index"
    location: str = ""
    hashes: tuple[str, ...] = ()
    #: conda's build string; empty for any other manager.
    build: str = ""

    @property
    def manager(self) -> str:
        """Who brings it: ``conda``, ``python``, ``image`` or, for an input of nix's or a channel of guix's, ``nix``.

        Two may know a package of one name.
        """
        return {"channel": "conda", "image": "image", "input": "nix"}.get(self.source, "python")


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """One direct dependency as a person wrote it, with where it stands."""

    #: As PEP 508 spells it, ``pandas>=2``; in Poetry's dialect its own constraint follows the name: ``pandas ^2``.
    text: str
    name: str
    file: str = ""
    line: int = 0
    group: str = ""
    #: Only ``pep508`` text may be given to a reader of requirements.
    dialect: Literal["pep508", "poetry", "conda"] = "pep508"


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """What a lock file means for one leg: the pins that apply to its Python, its platform and its groups."""

    #: The native file, relative to the project, with forward slashes.
    path: str
    #: ``requirements``, ``uv.lock``, ``pylock``, ``conda-lock``, ``explicit``, ``pixi``, ``docker``, ``flake.lock``,
    #: ``npins``, ``niv``, ``nix`` (a file that holds its own pins) or ``channels.scm``.
    format: str
    #: Of the native file's bytes, in hexadecimal; of all of them in their order where there are several.
    sha256: str
    #: Further native files of the same format: ``requirements-dev.txt`` beside ``requirements.txt``.
    more: tuple[str, ...] = ()
    pins: tuple[Pin, ...] = ()
    #: The managers whose packages it names, all of them; of any other's packages it says nothing.
    covers: tuple[str, ...] = ("python", "conda")
    #: The direct dependencies the lock was made from, for the checks that go by them.
    direct: tuple[Requirement, ...] = ()

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` over the sorted pins: the same for two files that lock the same set."""
        rows = [
            [p.name, p.version, p.source, p.location, list(p.hashes), *([p.build] if p.build else [])]
            for p in sorted(self.pins)
        ]
        return "sha256:" + hashlib.sha256(msgspec.json.encode(rows)).hexdigest()

    @property
    def files(self) -> tuple[str, ...]:
        """All native files."""
        return (self.path, *self.more)

    def pin(self, name: str) -> Pin | None:
        """The pin of a Python distribution's normalised name."""
        return next((pin for pin in self.pins if pin.name == name and pin.manager == "python"), None)

    @property
    def locked_direct(self) -> tuple[Requirement, ...]:
        """The direct dependencies that are among the pins: an image may leave out what tests need."""
        names = {pin.name for pin in self.pins}
        return tuple(one for one in self.direct if one.name in names)

    def of(self, manager: str) -> tuple[Pin, ...]:
        """The pins of one manager: ``python`` or ``conda``."""
        return tuple(pin for pin in self.pins if pin.manager == manager)

    @property
    def hashed(self) -> bool:
        """Whether every pin that comes from an index carries a hash."""
        return all(pin.hashes for pin in self.pins if pin.source == "index")
