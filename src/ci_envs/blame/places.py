"""The terms of a resolver, found among what the project asks for. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Parsed
from packaging.utils import canonicalize_name

from ci_envs.blame.terms import same_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ci_envs.blame.terms import Term
    from ci_envs.model.lock import Requirement

__all__ = ["find"]


def find(
    terms: Iterable[Term], asked: Sequence[Requirement], limits: Sequence[Requirement], mentions: Iterable[Term] = ()
) -> tuple[Requirement, ...]:
    """The requirements and constraints that the terms are; ``mentions`` may be constraints too."""
    found: list[Requirement] = []
    for term in terms:
        found += _of(term, asked, limits)
    for mention in mentions:
        found += _exactly(mention, limits)[:1]
    return tuple({id(one): one for one in found}.values())


def _of(term: Term, asked: Sequence[Requirement], limits: Sequence[Requirement]) -> list[Requirement]:
    if term.is_limit:
        return _exactly(term, limits)[:1] or _single(_named(term, limits))
    named = _named(term, asked)
    scoped = [one for one in named if term.group is None or canonicalize_name(one.group) == term.group]
    candidates = scoped or named
    if term.versions is None:
        return candidates[:1]
    # uv says of a constraint that it is required where its package is; and it adds up what several lines say.
    return (
        _exactly(term, candidates)[:1] or _exactly(term, limits)[:1] or _parts(term, candidates) or _single(candidates)
    )


def _named(term: Term, among: Sequence[Requirement]) -> list[Requirement]:
    return [one for one in among if one.name == term.name]


def _single(candidates: list[Requirement]) -> list[Requirement]:
    """Two lines of one name are two chances to be wrong."""
    return candidates if len(candidates) == 1 else []


def _exactly(term: Term, among: Sequence[Requirement]) -> list[Requirement]:
    return [one for one in _named(term, among) if same_versions(_versions(one), term.versions or "")]


def _parts(term: Term, candidates: list[Requirement]) -> list[Requirement]:
    """Those whose versions are a part of the term's."""
    clauses = set(_clauses(term.versions or ""))
    return [one for one in candidates if (own := set(_clauses(_versions(one)))) and own < clauses]


def _clauses(versions: str) -> list[str]:
    return [clause for clause in re.sub(r"\s", "", versions).split(",") if clause]


def _versions(one: Requirement) -> str:
    """Versions as PEP 440 spells them; another tool's spelling is kept, and is then equal to nothing."""
    if one.dialect != "pep508":
        return one.text.partition(" ")[2]
    try:
        return str(Parsed(one.text).specifier)
    except InvalidRequirement:  # a path or an address
        return ""
