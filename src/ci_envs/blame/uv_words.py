"""What uv says where it finds no solution, seen of uv 0.11 to 0.13; its words with all blanks made one. Pure.

A derivation names the requirements of the project behind one of a few words: "you require", "your project depends
on", "basket:test depends on" (a group), "basket[jam] depends on" (an extra). What it concludes from them it says behind
"that": that names no line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from ci_envs.blame.terms import TERM, Term

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_uv", "mentions", "quoted", "terms"]

_UV_ERROR = re.compile(r"^(?:error: | +\u00d7 )", re.MULTILINE)
_DEPENDS = r"{own}(?:\[(?P<extra>[^\]]+)\]|:(?P<group>[\w.-]+))?(?:==\S+)? depends on"
_LIST = re.compile(r"(?:one|all|any) of: ")
#: What may follow a requirement that stands on its own: what else follows belongs to another sentence.
_AFTER = re.compile(r"$|,|\.(?: |$)| we can | and ")
_MENTION = re.compile(rf"(?<![\w.@/`-]){TERM.pattern}(?![\w=<>~!])")
_QUOTED = re.compile(r"`(?P<name>[A-Za-z0-9][\w.-]*)(?:\[[^\]`]*\])?(?:(?:==|@| @ )[^`]*)?`")


def is_uv(said: str) -> bool:
    """Whether it is uv that complains, and not pip."""
    return _UV_ERROR.search(said) is not None and "did not run successfully" not in said


def terms(words: str, own: str) -> tuple[Term, ...]:
    """The requirements of the project that a derivation names; ``own`` is the project's normalised name."""
    return tuple(dict.fromkeys(_terms(_derivation(words), own)))


def mentions(words: str) -> tuple[Term, ...]:
    """Every name with versions in it: constraints stand in a derivation without a word that tells what they are."""
    found = _MENTION.finditer(_derivation(words))
    return tuple(dict.fromkeys(Term(canonicalize_name(f["name"]), f["versions"]) for f in found if f["versions"]))


def quoted(words: str) -> tuple[Term, ...]:
    """The packages that uv names in backquotes: one that cannot be built, and those that led to it."""
    return tuple(Term(canonicalize_name(found["name"])) for found in _QUOTED.finditer(words))


def _derivation(words: str) -> str:
    return words.partition("No solution found when resolving")[2].partition(" hint: ")[0]


def _terms(text: str, own: str) -> Iterator[Term]:
    depends = _DEPENDS.replace("{own}", re.escape(own)) if own else "(?P<extra>(?!))(?P<group>(?!))"
    begins = re.compile(rf"(?<!that )(?:(?P<any>\byou require)|\byour project depends on|(?<![\w.-]){depends}) ")
    for begin in begins.finditer(text):
        group = None if begin["any"] else canonicalize_name(begin["extra"] or begin["group"] or "")
        yield from _listed(text, begin.end(), group)


def _listed(text: str, at: int, group: str | None) -> Iterator[Term]:
    """The requirements that stand one behind another from a place on."""
    several = _LIST.match(text, at)
    at = several.end() if several else at
    while found := TERM.match(text, at):
        after = _AFTER.match(text, found.end())
        in_list = several is not None and found["versions"] is not None and text[found.end() :].startswith(" ")
        if after is None and not in_list:
            return
        name, versions = canonicalize_name(found["name"]), None if several else found["versions"] or ""
        yield Term(name, versions, group)
        if after is not None and after[0] != " and ":
            return
        at = after.end() if after else found.end() + 1
