"""The pins of npins and of niv, in their normal form. Pure.

Both keep a ``sources.json``: npins beside its ``default.nix`` (https://github.com/andir/npins), niv beside its
``sources.nix`` (https://github.com/nmattia/niv). Which of the two a file is, it tells itself: npins has a version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ci_envs.errors import LockError
from ci_envs.locks.nix_sources import PinReader, nix_sha256, public_address, read_json, text_of, version_of
from ci_envs.locks.reading import shown
from ci_envs.model.lock import Pin

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PLACES", "ReadPins", "read_pins", "read_prefetched"]

#: Where the two keep their file unless they are told otherwise.
PLACES = ("npins/sources.json", "nix/sources.json")

#: Between them the shape of a pin is the same but for the spelling of hashes (6) and the names of tarballs (8):
#: libnpins/src/versions.rs.
_NPINS_VERSIONS = range(1, 9)
_RENEW = {"npins": "npins update", "niv": "niv update"}


class ReadPins(msgspec.Struct, frozen=True, kw_only=True):
    """One file of pins."""

    tool: Literal["npins", "niv"]
    pins: tuple[Pin, ...] = ()
    #: Entries that fix nothing, with their lines: a folder of this machine, one that was never fetched.
    unfixed: dict[str, int] = {}

    @property
    def renew(self) -> str:
        """The command that renews the pins."""
        return _RENEW[self.tool]


def read_pins(text: str, *, path: str) -> ReadPins:
    """Raises :class:`ci_envs.errors.LockError`, with the entry's line, where the file is of neither tool."""
    reader = PinReader(text, path)
    if "pins" not in reader.table or "version" not in reader.table:
        return _read(reader, "niv", reader.table, (), _niv_pin)
    version, entries = reader.table["version"], reader.table["pins"]
    if type(version) is not int or version not in _NPINS_VERSIONS:
        raise reader.error(
            f"is of version {shown(str(version))}; {_NPINS_VERSIONS[0]} to {_NPINS_VERSIONS[-1]} are known",
            hint="renew it with `npins upgrade`, or update ci-envs",
        )
    if not isinstance(entries, dict):
        raise reader.error("has no table of pins")
    return _read(reader, "npins", entries, ("pins",), _npins_pin)


def read_prefetched(text: str, *, path: str) -> Pin | None:
    """The pin that ``nix-prefetch-git`` prints, which people keep as ``nixpkgs.json``; ``None`` where it is none.

    It has ``url``, ``rev`` and ``sha256`` (or ``hash``); a file that is read for something else is no error.
    """
    try:
        table = read_json(text, path)
    except LockError:
        return None
    digest, revision = nix_sha256(text_of(table, "sha256") or text_of(table, "hash")), text_of(table, "rev")
    if not digest or not revision:
        return None
    address = public_address(text_of(table, "url")).removesuffix(".git")
    name = text_of(table, "repo") or address.rpartition("/")[2] or path.rpartition("/")[2].removesuffix(".json")
    return _pin(name, revision, f"git+{address}" if address else "", digest)


def _read(
    reader: PinReader,
    tool: Literal["npins", "niv"],
    entries: dict[str, Any],
    above: tuple[str, ...],
    pin_of: Callable[[str, dict[str, Any]], Pin | None],
) -> ReadPins:
    pins, unfixed = [], {}
    for name, entry in sorted(entries.items()):
        if not isinstance(entry, dict):
            raise reader.error(f"{shown(name)!r} is no table", hint=f"renew it with `{_RENEW[tool]}`")
        pin = pin_of(name, entry)
        if pin is None:
            unfixed[name] = reader.line(*above, name)
            continue
        if _has_hash(entry) and not pin.hashes:
            raise reader.error(f"{shown(name)!r} has a hash that is no SHA-256", *above, name)
        pins.append(pin)
    return ReadPins(tool=tool, pins=tuple(pins), unfixed=unfixed)


def _has_hash(entry: dict[str, Any]) -> bool:
    return bool(entry.get("hash") or entry.get("sha256"))


def _npins_pin(name: str, entry: dict[str, Any]) -> Pin | None:
    """``None`` where it holds no hash: npins has written down what is wanted, and has not looked it up."""
    digest = nix_sha256(text_of(entry, "hash"))
    if not entry.get("hash"):
        return None
    known = text_of(entry, "revision") or text_of(entry, "image_digest")
    version = known or (_channel_release(entry) if entry.get("type") == "Channel" else text_of(entry, "version"))
    return _pin(name, version, _npins_location(entry), digest)


def _channel_release(entry: dict[str, Any]) -> str:
    """``nixos-24.05.1503.752c634c09ce``: the folder of the release that a channel's address names."""
    folder = text_of(entry, "url").rpartition("/")[0]
    return folder.rpartition("/")[2]


def _npins_location(entry: dict[str, Any]) -> str:
    """Of a forge's repository, which may be fetched with a token, never the archive's own address."""
    repository = entry.get("repository")
    if isinstance(repository, dict):
        return _repository(repository)
    if entry.get("type") == "Container":
        return f"docker://{text_of(entry, 'image_name')}:{text_of(entry, 'image_tag')}"
    return public_address(text_of(entry, "locked_url") or text_of(entry, "url"))


def _repository(table: dict[str, Any]) -> str:
    server = public_address(text_of(table, "server")).rstrip("/")
    match table.get("type"):
        case "GitHub":
            return f"github:{text_of(table, 'owner')}/{text_of(table, 'repo')}"
        case "GitLab":
            return f"git+{server}/{text_of(table, 'repo_path')}.git"
        case "Forgejo":
            return f"git+{server}/{text_of(table, 'owner')}/{text_of(table, 'repo')}.git"
        case _:
            return f"git+{public_address(text_of(table, 'url'))}"


def _niv_pin(name: str, entry: dict[str, Any]) -> Pin | None:
    """niv fetches by ``url`` and ``sha256``, but of a git repository by ``rev`` alone; a folder is what it is."""
    digest, revision = nix_sha256(text_of(entry, "sha256")), text_of(entry, "rev")
    is_git = entry.get("type") == "git"
    if entry.get("type") == "local" or not (entry.get("sha256") or (is_git and revision)):
        return None
    if is_git:
        location = f"git+{public_address(text_of(entry, 'repo'))}"
    elif text_of(entry, "owner") and text_of(entry, "repo") and "github.com/" in text_of(entry, "url"):
        location = f"github:{text_of(entry, 'owner')}/{text_of(entry, 'repo')}"
    else:
        location = public_address(text_of(entry, "url"))
    return _pin(name, revision or text_of(entry, "version"), location, digest)


def _pin(name: str, version: str, location: str, digest: str) -> Pin:
    return Pin(
        name=name,
        version=version or version_of("", 0, digest),
        source="input",
        location=location,
        hashes=(digest,) if digest else (),
    )
