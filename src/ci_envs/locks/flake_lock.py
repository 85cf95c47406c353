"""``flake.lock``, versions 5 to 7, in its normal form. Pure.

Its nodes are a graph: an input is another node by its key, or *follows* an input that is named by its path from the
root. A pin is made of each node once, under the shortest of its paths, so that keys such as ``nixpkgs_3``, which are
nix's to give, change nothing; what follows another is no input of its own.
https://nix.dev/manual/nix/latest/command-ref/new-cli/nix3-flake#lock-files
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from ci_envs.locks.nix_sources import PinReader, is_revision, nix_sha256, public_address, text_of, version_of
from ci_envs.locks.reading import shown
from ci_envs.model.lock import Pin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.errors import LockError

__all__ = ["NAME", "FlakeInput", "FlakeLock", "read_flake_lock"]

NAME = "flake.lock"

_VERSIONS = range(5, 8)
_ANEW = "restore it, or remove it and run `nix flake lock`"
#: Hosts of forges: what an address says of its host where it says none.
_FORGES = ("github", "gitlab", "sourcehut")
#: Parameters of a location that decide what the files are, beside revision and hash.
_PARAMETERS = ("dir", "host", "submodules", "exportIgnore", "lfs")


class FlakeInput(msgspec.Struct, frozen=True, kw_only=True):
    """One node of the graph."""

    pin: Pin
    #: Of the file: where the node begins.
    line: int = 0
    #: Seconds since 1970; 0 where the lock does not tell.
    last_modified: int = 0
    #: What flake.nix asks for: ``github:NixOS/nixpkgs/nixos-24.05``.
    original: str = ""
    #: Whether it is used as a flake, or as a folder of files (``flake = false``).
    flake: bool = True
    #: The folder of this machine that it is, where it is none of the flake's own.
    folder: str = ""


class FlakeLock(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    version: int
    #: What flake.nix itself calls its inputs, those that follow another among them.
    declared: tuple[str, ...] = ()
    #: By the paths from the root, each node once.
    inputs: tuple[FlakeInput, ...] = ()
    #: What follows which input, both as paths from the root: ``{"crane/nixpkgs": "nixpkgs"}``.
    follows: dict[str, str] = {}

    @property
    def pins(self) -> tuple[Pin, ...]:
        """The normal form, sorted."""
        return tuple(sorted(one.pin for one in self.inputs))

    def find(self, name: str) -> FlakeInput | None:
        """The input of that path, itself or what it follows."""
        name = self.follows.get(name, name)
        return next((one for one in self.inputs if one.pin.name == name), None)


def read_flake_lock(text: str, *, path: str = NAME) -> FlakeLock:
    """Raises :class:`ci_envs.errors.LockError`, with the line of the node, for what nix itself would refuse to read."""
    reader = PinReader(text, path)
    version, nodes = reader.table.get("version"), reader.table.get("nodes")
    if type(version) is not int or version not in _VERSIONS:
        raise reader.error(
            f"is of version {shown(str(version))}; {_VERSIONS[0]} to {_VERSIONS[-1]} are known",
            hint="it was made by another nix: renew it, or update ci-envs",
        )
    if not isinstance(nodes, dict) or not all(isinstance(node, dict) for node in nodes.values()):
        raise reader.error("has no table of nodes", hint=_ANEW)
    graph = _Graph(reader, nodes, text_of(reader.table, "root"))
    inputs = tuple(graph.input(key, name) for name, key in graph.names.items())
    return FlakeLock(version=version, declared=graph.declared, inputs=inputs, follows=graph.follows())


class _Graph:
    """The nodes, by their keys and by their paths."""

    def __init__(self, reader: PinReader, nodes: dict[str, dict[str, Any]], root: str) -> None:
        self._reader = reader
        self._nodes = nodes
        self._root = root
        if root not in nodes:
            raise reader.error(f"has no root node {shown(root)!r}", hint=_ANEW)
        #: The shortest path of each node, and its key; of two that are as short the first by name.
        self.names: dict[str, str] = dict(self._walk())

    @property
    def declared(self) -> tuple[str, ...]:
        """The names of the root's own inputs, sorted."""
        return tuple(sorted(name for name, _ in self._edges(self._root)))

    def _walk(self) -> Iterator[tuple[str, str]]:
        seen, waiting = {self._root}, deque([("", self._root)])
        while waiting:
            above, key = waiting.popleft()
            for name, target in sorted(self._edges(key)):
                if not isinstance(target, str) or target in seen:
                    continue
                if target not in self._nodes:
                    raise self._error(f"names an input {shown(target)!r} that is not among the nodes", key)
                seen.add(target)
                path = f"{above}/{name}" if above else name
                yield path, target
                waiting.append((path, target))

    def _edges(self, key: str) -> list[tuple[str, str | list[str]]]:
        inputs = self._nodes[key].get("inputs", {})
        if not isinstance(inputs, dict) or not all(_is_edge(value) for value in inputs.values()):
            raise self._error("has inputs that are neither a node nor a path", key)
        return list(inputs.items())

    def follows(self) -> dict[str, str]:
        """What follows which input; :class:`LockError` where that is not there, or is what follows it."""
        found = {}
        for path, key in (("", self._root), *self.names.items()):
            for name, target in self._edges(key):
                if isinstance(target, list) and target:
                    found[f"{path}/{name}" if path else name] = self._resolved(tuple(target), key, ())
        return dict(sorted(found.items()))

    def _resolved(self, path: tuple[str, ...], at: str, seen: tuple[tuple[str, ...], ...]) -> str:
        """The name of the input that a path leads to, over all that follows another."""
        if path in seen:
            raise self._error(f"follows {shown('/'.join(path))}, which leads back to itself", at)
        key = self._root
        for step in path:
            target = dict(self._edges(key)).get(step)
            if isinstance(target, list) and target:
                name = self._resolved(tuple(target), at, (*seen, path))
                target = self.names.get(name, "")
            if not isinstance(target, str) or target not in self._nodes:
                raise self._error(f"follows {shown('/'.join(path))}, which is no input", at)
            key = target
        return next((name for name, one in self.names.items() if one == key), "")

    def input(self, key: str, name: str) -> FlakeInput:
        """The node as an input of that path."""
        node = self._nodes[key]
        locked, original = node.get("locked"), node.get("original")
        if not isinstance(locked, dict):
            raise self._error("is not locked", key)
        # Version 5 keeps its hash and its time beside.
        info = node.get("info")
        locked = {**locked, **(info if isinstance(info, dict) else {})}
        digest, revision = nix_sha256(text_of(locked, "narHash")), text_of(locked, "rev")
        self._require_fixed(key, locked, digest)
        modified = locked.get("lastModified")
        seconds = modified if type(modified) is int else 0
        return FlakeInput(
            pin=Pin(
                name=name,
                version=version_of(revision, seconds, digest) or "local",
                source="input",
                location=_location(locked),
                hashes=(digest,) if digest else (),
            ),
            line=self._reader.line("nodes", key),
            last_modified=seconds,
            original=_original(original) if isinstance(original, dict) else "",
            flake=node.get("flake") is not False,
            folder=_folder(locked),
        )

    def _require_fixed(self, key: str, locked: dict[str, Any], digest: str) -> None:
        """As nix does: an input without a hash is one that a whole revision names, or lies within the flake itself."""
        if locked.get("narHash") is not None and not digest:
            raise self._error(f"has a narHash that is no SHA-256: {shown(str(locked['narHash']))!r}", key)
        revision = text_of(locked, "rev")
        if revision and not is_revision(revision):
            raise self._error(f"has a revision that is none: {shown(revision)!r}", key)
        if locked.get("type") == "indirect" or not (digest or revision or _is_within(locked)):
            raise self._error("is not locked: it has neither a hash nor a revision", key)

    def _error(self, message: str, key: str) -> LockError:
        where = f"node {shown(key)!r}" if key != self._root else "the root node"
        return self._reader.error(f"{where} {message}", "nodes", key, hint=_ANEW)


def _is_edge(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(step, str) for step in value))


def _is_within(table: dict[str, Any]) -> bool:
    """Whether it is a folder of the flake's own source: ``path:./sub``, which its own hash covers."""
    path = text_of(table, "path")
    return table.get("type") == "path" and bool(path) and not path.startswith(("/", "~"))


def _folder(table: dict[str, Any]) -> str:
    """The folder of this machine, which another does not have."""
    if table.get("type") == "path":
        return "" if _is_within(table) else text_of(table, "path")
    address = text_of(table, "url")
    return address.removeprefix("file://") if address.startswith("file://") else ""


def _location(table: dict[str, Any]) -> str:
    """What it is, in the words of a flake reference; its revision and hash stand elsewhere."""
    kind = text_of(table, "type")
    match kind:
        case "github" | "gitlab" | "sourcehut":
            base = f"{kind}:{text_of(table, 'owner')}/{text_of(table, 'repo')}"
        case "git" | "hg":
            base = f"{kind}+{public_address(text_of(table, 'url'))}"
        case "tarball" | "file":
            base = public_address(text_of(table, "url"))
        case "path":
            base = f"path:{text_of(table, 'path')}"
        case "indirect":
            base = f"flake:{text_of(table, 'id')}"
        case _:
            base = f"{kind}:{public_address(text_of(table, 'url'))}"
    told = [(name, _word(table[name])) for name in _PARAMETERS if table.get(name)]
    return f"{base}{'&' if '?' in base else '?'}{urlencode(told, safe='/')}" if told else base


def _original(table: dict[str, Any]) -> str:
    ref = text_of(table, "ref") or text_of(table, "rev")
    if text_of(table, "type") in (*_FORGES, "indirect"):
        base, _, told = _location(table).partition("?")
        return f"{base}{f'/{ref}' if ref else ''}{f'?{told}' if told else ''}"
    return _location(table)


def _word(value: Any) -> str:
    return "1" if value is True else str(value)
