"""What the store has for a profile: each path that it needs, with its bytes read and hashed.

guix keeps the hashes in a database of its own, for which its manual has no question; what is read here is what lies on
the disk, so that a path which was altered makes another digest.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.digest import Digest, Item
from ci_envs.environments.nix_shell import read_closure as kept_closure
from ci_envs.errors import BuildError
from ci_envs.guix.failures import build_error, failure_of
from ci_envs.guix.tool import run_guix
from ci_envs.model.closure import Closure, StorePath
from ci_envs.nar import Nar, read_nar
from ci_envs.nix.closure import closure_digest, parse_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_envs.guix.tool import Guix
    from ci_envs.work import Work

__all__ = ["altered_paths", "digest_of_closure", "read_closure"]

# An edge of a graph in Graphviz's format, which is what `guix graph` prints: "A" -> "B" [color = ...];
_EDGE = re.compile(r'^\s*"(?P<one>/[^"]+)" -> "(?P<other>/[^"]+)"', re.MULTILINE)


def read_closure(work: Work, guix: Guix, top: str) -> Closure:
    """The store path ``top`` and all that it refers to. :class:`BuildError` where one of them cannot be read.

    ``guix gc --requisites`` says which these are, and ``guix graph --type=references`` what each refers to, all in one
    answer: https://guix.gnu.org/manual/en/html_node/Invoking-guix-gc.html, .../Invoking-guix-graph.html
    """
    paths = sorted(set(_told(work, guix, "gc", "--requisites", top).split()))
    if top not in paths:
        raise BuildError(f"guix gc does not say what {top} needs")
    references: dict[str, list[str]] = {}
    for edge in _EDGE.finditer(_told(work, guix, "graph", "--type=references", top)):
        references.setdefault(edge["one"], []).append(edge["other"])
    hashes = _hashes(paths)
    if gone := [path for path in paths if path not in hashes]:
        raise BuildError(
            f"{gone[0]} cannot be read in the store", hint="`guix gc --verify=contents` says what is wrong"
        )
    return Closure(paths=tuple(_store_path(path, hashes[path], references.get(path, [])) for path in paths))


def altered_paths(closure: Closure) -> tuple[str, ...]:
    """The paths whose bytes on the disk, each of which is read, are not those that the closure names; or are gone."""
    now = _hashes([one.path for one in closure.paths])
    return tuple(one.path for one in closure.paths if one.path not in now or now[one.path].sha256 != one.nar_hash)


def digest_of_closure(prefix: Path) -> Digest:
    """The digest of a profile, path by path, to be held against that of another build."""
    closure = kept_closure(prefix)
    return Digest(
        value=closure_digest(closure),
        files=len(closure.paths),
        bytes=closure.bytes,
        entries=tuple(Item(one.path, "file", False, one.nar_hash) for one in closure.paths),
    )


def _told(work: Work, guix: Guix, *words: str) -> str:
    outcome = run_guix(work, guix, *words, builds=False)
    if not outcome:
        raise build_error(failure_of(outcome, work))
    return outcome.stdout


def _hashes(paths: Sequence[str]) -> dict[str, Nar]:
    """Without those that cannot be read."""
    with ThreadPoolExecutor(max_workers=4) as pool:  # hashing lets other threads run
        return {path: found for path, found in zip(paths, pool.map(_hash, paths), strict=True) if found}


def _hash(path: str) -> Nar | None:
    with suppress(OSError):
        return read_nar(Path(path))
    return None


def _store_path(path: str, found: Nar, references: Sequence[str]) -> StorePath:
    name, version = parse_name(path)
    return StorePath(
        path=path,
        name=name,
        version=version,
        nar_hash=found.sha256,
        nar_size=found.size,
        references=tuple(sorted(set(references))),
    )
