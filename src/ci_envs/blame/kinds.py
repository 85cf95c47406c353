"""What kind of failure a resolver tells of, in a few words, and what helps. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Kind", "kind_of"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of failure."""

    title: str
    #: What to do about it, as the beginning of a sentence that a command ends.
    advice: str


_CONFLICT = Kind("requirements exclude each other", "loosen one of the requirements")
_UNKNOWN = Kind("requirements cannot be locked", "change what cannot be met")
#: The first whose words are there is taken.
_KINDS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (
        re.compile(r"conflicting dependencies|The conflict is caused by|conflicting URLs"),
        _CONFLICT,
    ),
    (
        re.compile(r"was not found in the (?:package registry|provided package)|404 Client Error: Not Found for url"),
        Kind("no such package", "correct the name, or name the index that has it"),
    ),
    (
        re.compile(r"does not satisfy Python|require a different python version"),
        Kind(
            "no version for this Python",
            "take a version that is made for this Python, or narrow the Pythons: requires-python, or the matrix",
        ),
    ),
    (
        re.compile(r"has no wheels with a matching|none of the wheel's tags"),
        Kind(
            "no file for this Python and platform",
            "take a version that has one, or say by a marker where it is needed (; sys_platform == 'win32')",
        ),
    ),
    (
        re.compile(r"Failed to build|did not run successfully|subprocess-exited-with-error|build backend"),
        Kind("a package cannot be built", "take a version that has a wheel, or bring what its build needs"),
    ),
    (
        re.compile(
            r"(?:only \S+==[\d.]+(?:a|b|rc|\.dev)\d+ is available"
            r"|\(from versions: (?:[\d.]+(?:a|b|rc|\.dev)\d+(?:, )?)+\))"
        ),
        Kind("only pre-releases fit", "name the pre-release if it is wanted (>=1.0a1), or another version"),
    ),
    (
        re.compile(r"there (?:is|are) no versions? of|is available|are available|Could not find a version"),
        Kind("no such version", "ask for a version that there is"),
    ),
)


def kind_of(said: str, count: int) -> Kind:
    """The kind of a failure by all that a resolver said; ``count`` is how many requirements it is about."""
    words = " ".join(said.split())
    found = next((kind for pattern, kind in _KINDS if pattern.search(words)), None)
    if count > 1 and (found is None or found.title == "no such version"):
        return _CONFLICT
    return found or (_CONFLICT if count else _UNKNOWN)
