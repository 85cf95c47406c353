"""Requirements as a resolver repeats them: ``seed>=2``, ``plum[jam]``, ``seed{sys_platform == 'linux'}<2``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["TERM", "Term", "same_versions", "term_of"]

_CLAUSE = r"(?:===?|[<>]=?|[~!]=)\s?[^\s,;()]+"
TERM = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)(?:\[[^\]]*\])?(?:\{[^}]*\})?"
    rf"(?P<versions>{_CLAUSE}(?:,\s?{_CLAUSE})*)?"
)


@dataclass(frozen=True, slots=True)
class Term:
    """A requirement that a resolver has named."""

    name: str
    #: As the resolver writes them; ``None`` where it told the name alone, which is any of its requirements.
    versions: str | None = None
    #: The group or extra whose requirement it is, the empty one for the project itself; ``None``: it did not say.
    group: str | None = None
    #: Whether it is a constraint, and no requirement.
    is_limit: bool = False


def term_of(text: str, *, is_limit: bool = False) -> Term | None:
    """A term that a text begins with."""
    found = TERM.match(text.strip())
    return Term(canonicalize_name(found["name"]), found["versions"] or "", is_limit=is_limit) if found else None


def same_versions(one: str, other: str) -> bool:
    """Whether two specifiers allow the same versions; uv writes ``~=2.0`` as ``>=2.0,<3.dev0``.

    Every version that either names is tried, with the releases just before and after it. Pre-releases are not: uv and
    PEP 440 draw that line at other places.
    """
    try:
        first, second = SpecifierSet(one), SpecifierSet(other)
        tried = list(_probes((*first, *second)))
    except (InvalidSpecifier, InvalidVersion):
        return "".join(one.split()) == "".join(other.split())
    return all(first.contains(version, True) == second.contains(version, True) for version in tried)


def _probes(clauses: Iterable[object]) -> Iterable[Version]:
    yield Version("0")
    yield Version("99999")
    for clause in clauses:
        named = Version(re.sub(r"^[=<>~!]+\s*|\.\*$", "", str(clause)))
        release = list(named.release)
        yield named
        yield Version(f"{named.base_version}.post1")
        yield Version(f"{named.base_version}.0.1")
        for place in range(len(release)):
            for step in (1, -1):
                near = [*release[:place], max(0, release[place] + step)]
                yield Version(".".join(map(str, near)))
