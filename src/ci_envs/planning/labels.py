"""Labels of a pull request that choose legs: ``envs:all``, ``envs:skip``, ``envs:conda``, ``envs:py313``. Pure.

Labels are text that strangers may have written. Those without our prefix are nobody's business here; of those with it,
only words that mean something for the legs at hand are taken, so that a misspelt one leaves no leg out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_envs.nearest import nearest
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci_envs.model.leg import Leg
    from ci_envs.planning.choosing import Sieve

__all__ = ["ALL", "SKIP", "Wished", "chosen_by", "read_labels", "unknown_label", "words_of"]

PREFIX = "envs:"
ALL = "all"
SKIP = "skip"

#: As many labels an issue or a pull request of GitHub may have; no more are looked at.
_MAX_LABELS = 100
_MAX_WORD = 60


@dataclass(frozen=True, slots=True)
class Wished:
    """What labels ask for."""

    whole: bool = False
    skip: bool = False
    #: Of patterns and Pythons, in lower case, as they came.
    words: tuple[str, ...] = ()


def read_labels(labels: Iterable[str]) -> Wished:
    """The labels that begin with ``envs:``; case does not matter, as it does not to GitHub."""
    words: dict[str, None] = {}
    for label, _ in zip(labels, range(_MAX_LABELS), strict=False):
        text = one_line(label, len(PREFIX) + _MAX_WORD).lower()
        if text.startswith(PREFIX) and (word := text.removeprefix(PREFIX).strip()):
            words[word] = None
    chosen = tuple(word for word in words if word not in (ALL, SKIP))
    return Wished(whole=ALL in words, skip=SKIP in words, words=chosen)


def words_of(legs: Iterable[Leg]) -> frozenset[str]:
    """The words that choose among legs: their patterns, and ``py313`` for each Python."""
    return frozenset(word for leg in legs for word in (leg.pattern, leg.python_tag))


def chosen_by(words: Iterable[str]) -> Sieve:
    """The sieve of some words: any of the patterns, and any of the Pythons, where there are some of both."""
    pythons = {word for word in words if _is_python(word)}
    patterns = {word for word in words if not _is_python(word)}
    said = ", ".join(f"{PREFIX}{word}" for word in words)

    def sieve(leg: Leg) -> tuple[bool, str]:
        fits = (not patterns or leg.pattern in patterns) and (not pythons or leg.python_tag in pythons)
        return fits, f"label {said}" if fits else f"not meant by label {said}"

    return sieve


def unknown_label(word: str, known: Iterable[str]) -> str:
    """The sentence about a word that chooses nothing."""
    near = nearest(word, [*sorted(known), ALL, SKIP])
    return f"label {PREFIX + word!r} names no pattern and no Python of the matrix, and is ignored{near}"


def _is_python(word: str) -> bool:
    digits = word.removeprefix("pypy").removeprefix("py").removesuffix("t")
    return word.startswith("py") and digits.isdecimal()
