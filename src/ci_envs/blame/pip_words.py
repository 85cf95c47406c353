"""What pip says where it finds no solution, by itself or in pip-tools, seen of pip 23 to 26. Pure.

``trouble.from_pip_log`` has added what it told its log alone: the conflict, and who asked for what.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from ci_envs.blame.terms import Term, term_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["terms"]

_CONFLICT = "The conflict is caused by:"
_ROW = re.compile(
    r"\s+(?:The user requested (?P<limit>\(constraint\) )?(?P<term>\S.*)|(?P<name>\S+) \S+ depends on \S.*)"
)
_NOT_FOUND = re.compile(
    r"Could not find a version that satisfies the requirement (?P<term>.+?)"
    r"(?: \(from (?!versions:)(?P<parents>[^()]*(?:\([^()]*\)[^()]*)*)\))?(?: \(from versions: .*)?$",
    re.MULTILINE,
)
_COLLECTING = re.compile(r"^\s*Collecting (?P<name>[\w.-]+)\S*.*?\(from (?P<parents>.+)\)$", re.MULTILINE)
#: pip names no package where it could not be built; it was the last that it had begun with.
_BUILD = re.compile(r"subprocess-exited-with-error|metadata-generation-failed|Failed to build|did not run successfully")


def terms(said: str, direct: Collection[str]) -> tuple[Term, ...]:
    """The requirements of the project that a failure names; ``direct`` are their normalised names.

    A package that nobody asked for stands for the one that led to it.
    """
    rows = tuple(dict.fromkeys(_conflicting(said, direct)))
    if rows:
        # What allows every version is in nobody's way.
        return tuple(row for row in rows if row.versions != "") or rows
    missing = list(_NOT_FOUND.finditer(said))
    if missing:
        last = missing[-1]
        if last["parents"] and not last["parents"].startswith("-"):
            return _root(last["parents"], said, direct)
        term = term_of(last["term"])
        return (term,) if term else ()
    begun = list(_COLLECTING.finditer(said))
    if begun and _BUILD.search(said):
        return _root(f"{begun[-1]['name']}->{begun[-1]['parents']}", said, direct)
    return ()


def _conflicting(said: str, direct: Collection[str]) -> Iterator[Term]:
    _, found, rows = said.rpartition(_CONFLICT)
    for line in rows.splitlines()[1:] if found else ():
        row = _ROW.fullmatch(line)
        if row is None:
            return
        if row["name"]:
            yield from _root(row["name"], said, direct)
        elif term := term_of(row["term"], is_limit=bool(row["limit"])):
            yield term


def _root(chain: str, said: str, direct: Collection[str]) -> tuple[Term, ...]:
    """The requirement of the project that a chain of parents (``layer->basket->-r file (line 1)``) ends with."""
    names = _names(chain)
    seen: set[str] = set()
    while names and names[-1] not in direct and names[-1] not in seen:
        seen.add(names[-1])
        names = next((_names(f["parents"]) for f in _COLLECTING.finditer(said) if _normal(f["name"]) == names[-1]), [])
    return (Term(names[-1]),) if names and names[-1] in direct else ()


def _names(chain: str) -> list[str]:
    return [_normal(part) for part in chain.split("->") if part and not part.startswith(("-r ", "-c "))]


def _normal(text: str) -> str:
    return canonicalize_name(re.split(r"[\s\[=<>~!;(]", text.strip(), maxsplit=1)[0])
