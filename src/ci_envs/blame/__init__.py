"""Which lines of a project's files a resolver could not satisfy, by its own words. Pure.

A resolver names the requirements that it was given, in its own spelling; the project has them with file and line.
What is not certain has no line: a wrong one costs more than none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from ci_envs.blame import pip_words, uv_words
from ci_envs.blame.kinds import Kind, kind_of
from ci_envs.blame.places import find

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_envs.model.lock import Requirement

__all__ = ["Kind", "blamed", "kind_of", "missing_extras", "only_file"]

_NO_EXTRA = re.compile(
    r"warning: The package `(?P<uv>[\w.-]+)(?:==[^`]*)?` does not have an extra named `(?P<uv_extra>[^`]+)`"
    r"|WARNING: (?P<pip>[\w.-]+) \S+ does not provide the extra '(?P<pip_extra>[^']+)'"
)


def blamed(
    said: str, asked: Sequence[Requirement], limits: Sequence[Requirement] = (), *, own: str = ""
) -> tuple[Requirement, ...]:
    """The requirements and constraints that a resolver's words are about, the one to look at first in front.

    ``said`` is all that uv, pip or pip-tools has printed, ``asked`` and ``limits`` are what it was given, ``own`` is
    the project's normalised name. Empty where its words tell none of them for sure.
    """
    words = " ".join(said.split())
    if "No solution found when resolving" in words:
        terms = uv_words.terms(words, own)
        found = find(terms, asked, limits, mentions=uv_words.mentions(words))
    elif uv_words.is_uv(said):
        found = find(uv_words.quoted(words), asked, ())
    else:
        found = find(pip_words.terms(said, {one.name for one in asked}), asked, limits)
    order = {id(one): number for number, one in enumerate((*asked, *limits))}
    return tuple(sorted(found, key=lambda one: (_is_open(one), order[id(one)])))


def missing_extras(said: str) -> tuple[tuple[str, str], ...]:
    """The packages and extras, normalised, that a resolver has looked for in vain."""
    found = _NO_EXTRA.finditer(said)
    names = (
        (canonicalize_name(one["uv"] or one["pip"]), canonicalize_name(one["uv_extra"] or one["pip_extra"]))
        for one in found
    )
    return tuple(dict.fromkeys(names))


def only_file(asked: Sequence[Requirement], roots: Sequence[str] = ()) -> str:
    """The file that all of it stands in, else the only file that includes the others; empty where neither is one."""
    files = {one.file for one in asked if one.file}
    if len(files) == 1:
        return files.pop()
    return roots[0] if len(roots) == 1 else ""


def _is_open(one: Requirement) -> bool:
    """Whether any version will do: then what is in its way is rather to be looked at."""
    return not any(mark in one.text.partition(";")[0] for mark in "<>=~!^@*")
