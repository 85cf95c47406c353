"""The seal of a finished environment: written last, and read first by the next run.

An environment without a seal is not whole: its build was ended, or it was made by something else. The seal holds
what the environment was built from, its digests, and size and time of every file, so that a later run sees in one
walk, without reading a file, that nothing has changed since the digests were taken. An edit that restores size and
time goes unseen here; the digest sees it.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
from typing import TYPE_CHECKING, Literal

import msgspec

from ci_envs.decoding import convert, decode
from ci_envs.layout import write_atomically
from ci_envs.resources.probe import SEAL_NAME, is_junction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ci_envs.model.content import Content

__all__ = ["SEAL_NAME", "Facts", "Seal", "intact", "read_seal", "write_seal"]

#: How many changed paths :func:`intact` names.
MOST_NAMED = 20

# uv takes this lock, and makes the file, whenever it looks at an environment.
_IGNORED = frozenset((SEAL_NAME, ".lock"))

_WINDOWS = os.name == "nt"

# Legs are looked through one after another: a walk is short system calls, and two threads that make them spend more
# time handing each other the interpreter's lock than they gain (6 legs: 0.65 s with two walks at once, 0.5 s with one).
_ONE_WALK = threading.Lock()

#: Of a file ``[size, mtime_ns, 1 where executable]``, of a link ``[where it leads]``, of anything else nothing.
Mark = list[int | str]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a finished environment."""

    #: What the build depended on, by name; the same values mean that nothing has to be built.
    inputs: dict[str, str] = {}
    #: ``environment``, ``lock``, ... -> ``sha256:<hex>``.
    digests: dict[str, str] = {}
    #: Anything else that a later run wants to know without looking.
    extra: dict[str, str] = {}


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """The seal as it is written."""

    version: Literal[1] = 1
    facts: Facts
    #: Folder -> name -> what it was like; the top is ``""``.
    tree: dict[str, dict[str, Mark]] = {}


def write_seal(prefix: Path, content: Content, facts: Facts) -> Seal:
    """Writes the seal, whole or not at all. ``content`` is what the digests were taken of."""
    tree: dict[str, dict[str, Mark]] = {}
    for entry in content.entries:
        folder, _, name = entry.path.rpartition("/")
        if folder or name not in _IGNORED:
            mark: Mark = [entry.target] if entry.kind in {"link", "dir-link"} else []
            if entry.kind == "file":
                mark = [entry.size, entry.mtime_ns, int(entry.executable)]
            tree.setdefault(folder, {})[name] = mark
    seal = Seal(facts=facts, tree=tree)
    # The standard library's writer: it can write half surrogates, which undecodable file names have.
    text = json.dumps(msgspec.to_builtins(seal), ensure_ascii=True, separators=(",", ":"))
    write_atomically(prefix / SEAL_NAME, text.encode())
    return seal


def read_seal(prefix: Path) -> Seal | None:
    """The seal; ``None`` where there is none, or none that can be read."""
    try:
        data = (prefix / SEAL_NAME).read_bytes()
        try:
            return decode(data, Seal)
        except msgspec.DecodeError:  # slower, and can read half surrogates
            return convert(json.loads(data), Seal)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError):
        return None


def intact(prefix: Path, seal: Seal) -> list[str]:
    """The first paths that are not as they were sealed, at most 20, sorted; none where nothing has changed.

    Bytecode that was added to a ``__pycache__`` is let pass: someone has run a program of the environment by hand.
    Our own runs neither write nor read it there (PYTHONPYCACHEPREFIX).
    """
    with _ONE_WALK:
        return _changed(prefix, seal)


def _changed(prefix: Path, seal: Seal) -> list[str]:
    found: list[str] = []
    seen: set[str] = set()
    for folder, names in _walk(prefix):
        seen.add(folder)
        found.extend(_changes(folder, names, seal.tree.get(folder, {})))
        if len(found) > MOST_NAMED:
            break
    else:
        gone = seal.tree.keys() - seen
        found.extend(f"{folder}/{name}" for folder in gone for name in seal.tree[folder])
    return sorted(found)[:MOST_NAMED]


def _changes(folder: str, names: dict[str, Mark], sealed: dict[str, Mark]) -> Iterable[str]:
    if names == sealed:
        return
    start = f"{folder}/" if folder else ""
    for name in names.keys() | sealed.keys():
        compiled = name not in sealed and name.endswith(".pyc") and f"/{folder}".endswith("/__pycache__")
        if names.get(name) != sealed.get(name) and not compiled:
            yield start + name


def _walk(prefix: Path) -> Iterator[tuple[str, dict[str, Mark]]]:
    """Every folder with what is in it. One that cannot be read seems empty, so all that was in it has changed."""
    folders = [("", os.fspath(prefix))]
    while folders:
        relative, folder = folders.pop()
        names: dict[str, Mark] = {}
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                facts = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(facts.st_mode) and not is_junction(entry):
                    folders.append((f"{relative}/{entry.name}" if relative else entry.name, entry.path))
                else:
                    names[entry.name] = _mark(entry, facts)
        if not relative:
            for name in _IGNORED:
                names.pop(name, None)
        yield relative, names


def _mark(entry: os.DirEntry[str], facts: os.stat_result) -> Mark:
    mode = facts.st_mode
    if stat.S_ISREG(mode):
        return [facts.st_size, facts.st_mtime_ns, 1 if mode & 0o111 and not _WINDOWS else 0]
    linked = stat.S_ISLNK(mode) or stat.S_ISDIR(mode)
    return [os.readlink(entry.path)] if linked else []  # noqa: PTH115 - no Path for each file
