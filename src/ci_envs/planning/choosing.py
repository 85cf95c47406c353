"""Which legs of an expansion are to be run, and why each of the others is not. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ci_envs.errors import NothingToDo, UsageError
from ci_envs.model.plan import LeftOut
from ci_envs.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ci_envs.model.leg import Leg
    from ci_envs.model.plan import Cell, Expansion

    #: Whether a leg is kept, and why it is or is not.
    Sieve = Callable[[Leg], tuple[bool, str]]

__all__ = ["Sifted", "globs", "hint_for_nothing", "is_glob", "select", "sift"]

#: Ids that a misspelt one is compared with.
_COMPARED = 256


def is_glob(word: str) -> bool:
    """Whether a word of ``--only`` may mean several legs; else it is a whole id."""
    return any(mark in word for mark in "*?[")


@dataclass(frozen=True, slots=True)
class Sifted:
    """What is left of an expansion."""

    cells: list[Cell] = field(default_factory=list)
    #: By id: why it was kept, where something was said of it.
    kept: dict[str, str] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)


def select(expansion: Expansion, only: Sequence[str] = (), skip: Sequence[str] = ()) -> list[Cell]:
    """The cells whose leg's id matches any glob of ``only`` (all where there is none) and none of ``skip``.

    Raises :class:`UsageError` for a leg that was asked for by its whole id and is not there, :class:`NothingToDo`
    where no leg is left.
    """
    cells = sift(expansion, only, [globs(only, skip)]).cells
    if not cells:
        raise NothingToDo("no leg is left to run", hint=hint_for_nothing(expansion, only, skip))
    return cells


def sift(expansion: Expansion, only: Sequence[str], sieves: Sequence[Sieve]) -> Sifted:
    """What every sieve keeps of the legs that the strategy left, and of those that ``only`` names by their whole id.

    Raises :class:`UsageError` for such an id that no combination of the matrix has.
    """
    for word in only:
        _refuse_absent(expansion, word)
    named = {word for word in only if not is_glob(word)}
    found = Sifted(left_out=list(expansion.left_out))
    for cell in expansion.cells:
        _pass(cell, sieves, found)
    for cell in expansion.thinned:
        if cell.leg.id in named:
            _pass(cell, sieves, found)
        else:
            found.left_out.append(LeftOut(id=cell.leg.id, reason=expansion.thinned_for))
    return found


def globs(only: Sequence[str], skip: Sequence[str]) -> Sieve:
    """The sieve of ``--only`` and ``--skip``."""
    wanted = f"matches no --only {' --only '.join(only)}"

    def sieve(leg: Leg) -> tuple[bool, str]:
        if only and not any(fnmatchcase(leg.id, glob) for glob in only):
            return False, wanted
        against = next((glob for glob in skip if fnmatchcase(leg.id, glob)), "")
        return not against, f"--skip {against}" if against else ""

    return sieve


def hint_for_nothing(expansion: Expansion, only: Sequence[str] = (), skip: Sequence[str] = ()) -> str:
    """What there was to choose from where nothing is left."""
    if not expansion.cells:
        return "the matrix excludes every combination"
    some = ", ".join(cell.leg.id for cell in expansion.cells[:3])
    asked = " ".join([*(f"--only {glob}" for glob in only), *(f"--skip {glob}" for glob in skip)])
    return f"{asked} leaves none of {len(expansion.cells)} legs; their ids look like {some}"


def _pass(cell: Cell, sieves: Sequence[Sieve], found: Sifted) -> None:
    whys = []
    for sieve in sieves:
        kept, why = sieve(cell.leg)
        if not kept:
            found.left_out.append(LeftOut(id=cell.leg.id, reason=why))
            return
        whys += [why] if why else []
    found.cells.append(cell)
    if whys:
        found.kept[cell.leg.id] = "; ".join(whys)


def _refuse_absent(expansion: Expansion, word: str) -> None:
    cells = (*expansion.cells, *expansion.thinned)
    if is_glob(word) or any(cell.leg.id == word for cell in cells):
        return
    for row in expansion.left_out:
        if row.id == word:
            raise UsageError(f"the matrix leaves out {word!r}: {row.reason}")
    near = nearest(word, [cell.leg.id for cell in cells[:_COMPARED]])
    raise UsageError(f"there is no leg {word!r}{near}", hint="`ci-envs plan` lists the legs")
