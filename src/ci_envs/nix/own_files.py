"""The project's own files behind the names that nix has for them.

A flake is evaluated from a copy in the store, and a message names the copy: ``/nix/store/<hash>-source/flake.nix``.
"""

from __future__ import annotations

import base64
import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.errors import UsageError
from ci_envs.locks.nix_sources import from_nix32, nix32

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci_envs.project import Project

__all__ = ["line_quoting", "line_with", "own_file", "own_place", "with_own_names"]

_COPY = re.compile(r"/[^\s'\"]*?/[0-9a-df-np-sv-z]{32}-[^/\s'\"]+/(?P<rest>[^\s'\"]*[^\s'\":,.])")
# The same for a path that nothing else stands beside: it may have blanks.
_IN_COPY = re.compile(r"/.*?/[0-9a-df-np-sv-z]{32}-[^/]+/(?P<rest>.+)")
# Since 2.27 a flake may be evaluated where it lies, and is named by its reference.
_LAZY = re.compile(r"\u00ab(?:path|git\+file):(?://)?(?P<top>/[^\u00bb?]*)[^\u00bb]*\u00bb(?P<rest>/.*)")

#: Files of a project that hold hashes for nix; those of npins and niv lie one folder below.
_HOLD_HASHES = ("*.nix", "flake.lock", "*.json", "*/*.nix", "*/*.json", "*/*/*.nix")

#: A shorter word is found everywhere.
_TELLING = 5


def own_place(places: Iterable[tuple[str, int]], project: Project) -> tuple[str, int]:
    """The first of these files that is the project's own, with its line; ``("", 0)`` where none is."""
    return next(((name, line) for path, line in places if (name := own_file(path, project))), ("", 0))


def own_file(path: str, project: Project) -> str:
    """The project's name for a file; empty where it is none of the project's."""
    if lazy := _LAZY.fullmatch(path):
        path = lazy["top"].rstrip("/") + lazy["rest"]
    if copy := _IN_COPY.fullmatch(path):
        return _original(Path(path), copy["rest"], project)
    inside = Path(path)
    if not inside.is_relative_to(project.root):
        return ""
    name = inside.relative_to(project.root).as_posix()
    return name if project.exists(name) else ""


def _original(copy: Path, name: str, project: Project) -> str:
    """The file that this is a copy of: it has the name, less the folders above the project, and the same bytes.

    Another flake's ``flake.nix`` has the name alone.
    """
    with contextlib.suppress(OSError, ValueError):
        data = copy.read_bytes()
        parts = name.split("/")
        for number in range(len(parts)):
            end = "/".join(parts[number:])
            if project.exists(end) and project.path(end).read_bytes() == data:
                return end
    return ""


def with_own_names(text: str, project: Project) -> str:
    """The text with the project's names for its files, and without the project's own folder."""
    text = _COPY.sub(lambda found: own_file(found[0], project) or found[0], text)
    return text.replace(f"{project.root}/", "")


def line_with(digest: str, project: Project) -> tuple[str, int] | None:
    """The file of the project that has a digest, in whichever way it is written, and the 1-based line of it."""
    forms = _forms(digest)
    for name in dict.fromkeys(name for pattern in _HOLD_HASHES for name in project.glob(pattern)):
        for number, line in _lines(name, project):
            if any(form in line for form in forms):
                return name, number
    return None


def line_quoting(words: Iterable[str], project: Project, names: Iterable[str]) -> tuple[str, int]:
    """The first line of these files that has one of the words; ``("", 0)`` where none has."""
    wanted = [word for word in words if len(word) >= _TELLING]
    found = (
        (name, number) for name in names for number, line in _lines(name, project) if any(w in line for w in wanted)
    )
    return next(found, ("", 0))


def _lines(name: str, project: Project) -> Iterator[tuple[int, str]]:
    with contextlib.suppress(UsageError):  # too large, or no text: none that a person wrote
        yield from enumerate((project.text(name) or "").splitlines(), 1)


def _forms(digest: str) -> tuple[str, ...]:
    """``sha256-<base64>`` or ``sha256:<base 32>``: in base 64, base 32 and base 16, and as it is."""
    algorithm, _, coded = digest.replace(":", "-", 1).partition("-")
    data = _bytes(coded)
    if not algorithm or not data:
        return (digest,)
    return (digest, base64.b64encode(data).decode(), nix32(data), data.hex())


def _bytes(coded: str) -> bytes:
    try:
        return base64.b64decode(coded, validate=True) if coded.endswith("=") or "+" in coded else from_nix32(coded)
    except ValueError:
        return b""
