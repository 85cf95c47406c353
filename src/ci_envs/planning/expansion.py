"""Matrix -> legs. Pure: nothing is read or printed here.

How ``exclude`` and ``include`` work is GitHub's
(https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstrategymatrixinclude):

1. The combinations of all axes are made; the last axis varies fastest.
2. A combination that has all the values of an ``exclude`` entry is left out.
3. Each ``include`` entry, in order, is added to every combination of step 2 whose original values it does not
   contradict; what an earlier entry added may be overwritten. An entry that could be added nowhere becomes a
   combination of its own, which no later entry touches.

What has no value by then takes it from ``defaults``, and ``os`` and ``arch`` from the machine that plans.

A strategy other than ``all`` then leaves out combinations of step 2. Legs that an include entry makes of its own stay.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

from ci_envs.errors import UsageError
from ci_envs.model.leg import CONTAINED, Leg, make_leg
from ci_envs.model.matrix import variable_key
from ci_envs.model.plan import Cell, Expansion, LeftOut
from ci_envs.planning.strategies import ends, pairwise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ci_envs.model.matrix import Entry, Matrix, Strategy, Value

__all__ = ["MAX_COMBINATIONS", "expand", "layers"]

#: A larger matrix is a slip, and is refused before it is expanded.
MAX_COMBINATIONS = 200_000

#: The axes that ``ends`` leaves whole: each pattern is another way to make an environment, each project another one.
WHOLE = ("pattern", "project")

_VARIABLE = variable_key("")

_THINNED = {
    "pairwise": "strategy pairwise: every pair of its values is in another leg",
    "ends": "strategy ends: the first and the last value of each axis are in other legs",
}

_COVERAGE = {
    "pairwise": "every pair of values is covered",
    "ends": "every pair of first and last values is covered",
}


def expand(matrix: Matrix, *, os: str, arch: str, strategy: Strategy | None = None) -> Expansion:
    """The legs of a matrix and what it leaves out. ``os`` and ``arch`` hold where the matrix says nothing.

    ``strategy`` takes the place of the matrix's own.

    Raises :class:`UsageError` for a matrix that is empty, too large, makes one leg twice or a leg without a pattern
    or a Python.
    """
    _refuse_size(matrix)
    excluded, included = _Index(matrix.axes, matrix.exclude), _Index(matrix.axes, matrix.include)
    leg = _LegMaker(matrix, os, arch)
    kept = _enough(matrix, strategy or matrix.strategy)
    cells: list[Cell] = []
    thinned: list[Cell] = []
    left_out: list[LeftOut] = []
    used: set[int] = set()
    for values in itertools.product(*matrix.axes.values()) if matrix.axes else ():
        if rules := excluded.matching(values):
            left_out.append(LeftOut(id=leg.name(values), reason=_reason(matrix, rules)))
        else:
            added = included.matching(values)
            used.update(added)
            (cells if kept is None or values in kept else thinned).append(Cell(leg(values, added), added))
    alone = (index for index in range(len(matrix.include)) if index not in used)
    cells.extend(Cell(leg((), (index,)), (index,)) for index in alone)
    ids = _refuse_twins(matrix, [*cells, *thinned] if thinned else cells)
    return Expansion(
        cells=cells,
        left_out=[row for row in left_out if row.id not in ids] if left_out else [],
        thinned=thinned,
        thinned_for=_THINNED.get(strategy or matrix.strategy, ""),
        coverage=_COVERAGE.get(strategy or matrix.strategy, ""),
    )


def layers(matrix: Matrix, cell: Cell) -> list[tuple[str, dict[str, Any]]]:
    """What the matrix configures for a leg, as (source, tables), the strongest last."""
    found = [(f"{matrix.file} (defaults)", matrix.defaults.settings)]
    for index in cell.added:
        entry = matrix.include[index]
        found.append((f"{matrix.file}:{entry.line} (include)", entry.settings))
    return [(source, settings) for source, settings in found if settings]


def _enough(matrix: Matrix, strategy: Strategy) -> set[tuple[Value, ...]] | None:
    """The combinations that a strategy keeps; ``None`` where it keeps all."""
    if strategy == "all" or not matrix.axes:
        return None
    axes = list(matrix.axes.items())
    places = [{value: place for place, value in enumerate(values)} for _, values in axes]
    rules = []
    for entry in matrix.exclude:
        said = [(axis, entry.values[key]) for axis, (key, _) in enumerate(axes) if key in entry.values]
        if all(value in places[axis] for axis, value in said):
            rules.append({axis: places[axis][value] for axis, value in said})
    lengths = [len(values) for _, values in axes]
    if strategy == "pairwise":
        rows = pairwise(lengths, rules)
    else:
        rows = ends(lengths, rules, whole=[axis for axis, (key, _) in enumerate(axes) if key in WHOLE])
    return {tuple([axes[axis][1][place] for axis, place in enumerate(row)]) for row in rows}


class _Index:
    """Which entries fit a combination: those that contradict none of its values."""

    def __init__(self, axes: Iterable[str], entries: Sequence[Entry]) -> None:
        keys = tuple(axes)
        # Entries that name the same axes are found by one look-up, however many they are.
        self._groups: dict[tuple[int, ...], dict[tuple[Value, ...], list[int]]] = {}
        self._shared: dict[tuple[int, ...], tuple[int, ...]] = {}
        for index, entry in enumerate(entries):
            positions = tuple(position for position, key in enumerate(keys) if key in entry.values)
            wanted = tuple(entry.values[keys[position]] for position in positions)
            self._groups.setdefault(positions, {}).setdefault(wanted, []).append(index)

    def matching(self, values: Sequence[Value]) -> tuple[int, ...]:
        """The positions of the fitting entries, in their order."""
        found: list[int] = []
        for positions, table in self._groups.items():
            found += table.get(tuple([values[position] for position in positions]), ())
        if not found:
            return ()
        fitting = tuple(sorted(found))
        return self._shared.setdefault(fitting, fitting)


class _LegMaker:
    """A leg from the values of a combination, what was added to it, and the defaults."""

    def __init__(self, matrix: Matrix, os: str, arch: str) -> None:
        self._matrix = matrix
        self._keys = tuple(matrix.axes)
        self._os = os
        self._base: dict[str, Value] = {"arch": arch, **matrix.defaults.values}
        named = [*matrix.axes, *(key for entry in (*matrix.include, matrix.defaults) for key in entry.values)]
        self._variables = {key: key.removeprefix(_VARIABLE) for key in named if key.startswith(_VARIABLE)}

    def __call__(self, values: Sequence[Value], added: tuple[int, ...]) -> Leg:
        merged = self._base | dict(zip(self._keys, values, strict=False))
        for index in added:
            merged |= self._matrix.include[index].values
        if "pattern" not in merged or "python" not in merged:
            raise self._lacking("python" if "pattern" in merged else "pattern", values, added)
        merged.setdefault("os", "linux" if merged["pattern"] in CONTAINED else self._os)
        variables = {name: merged.pop(key) for key, name in self._variables.items() if key in merged}
        return make_leg(**cast("dict[str, Any]", merged), variables=cast("dict[str, str]", variables))

    def name(self, values: Sequence[Value]) -> str:
        """The id that a combination would have had; its values where it says too little for a leg."""
        merged = self._base | dict(zip(self._keys, values, strict=True))
        if "pattern" in merged and "python" in merged:
            return self(values, ()).id
        return ", ".join(f"{key}: {value}" for key, value in zip(self._keys, values, strict=True))

    def _lacking(self, axis: str, values: Sequence[Value], added: tuple[int, ...]) -> UsageError:
        line = 0 if values else self._matrix.include[added[0]].line
        whose = "this include entry makes a leg of its own, and" if line else "the matrix"
        return UsageError(
            f"{whose} says no {axis}",
            file=self._matrix.file,
            line=line,
            hint=f"name a {axis} in it, under `axes` or under `defaults`",
        )


def _refuse_size(matrix: Matrix) -> None:
    if not matrix.axes and not matrix.include:
        raise UsageError(
            "has no axes and no include: there is no leg to plan",
            file=matrix.file,
            hint='write at least `axes: {pattern: [uv], python: ["3.12"]}`',
        )
    size = 1
    for values in matrix.axes.values():
        size *= len(values)
        if size > MAX_COMBINATIONS * MAX_COMBINATIONS:
            break  # enough is known, and the number would grow without end
    if size > MAX_COMBINATIONS:
        exceeds = "more than " if size > MAX_COMBINATIONS * MAX_COMBINATIONS else ""
        raise UsageError(
            f"has {exceeds}{size:,} combinations; {MAX_COMBINATIONS:,} are the most that are expanded",
            file=matrix.file,
            hint="exclude cannot help, it comes later: shorten the axes, or split the file",
        )


def _refuse_twins(matrix: Matrix, cells: list[Cell]) -> set[str]:
    ids = {cell.leg.id for cell in cells}
    if len(ids) == len(cells):
        return ids
    first: dict[str, Cell] = {}
    for cell in cells:
        twin = first.setdefault(cell.leg.id, cell)
        if twin is not cell:
            raise UsageError(
                f"two legs have the id {cell.leg.id!r}: {_told_apart(matrix, twin, cell)}",
                file=matrix.file,
                line=matrix.include[cell.added[-1]].line if cell.added else 0,
                hint="of a value an id keeps letters, digits, _ and . only: make the values differ in those",
            )
    raise AssertionError("fewer ids than cells are twins")


def _told_apart(matrix: Matrix, one: Cell, other: Cell) -> str:
    def told(cell: Cell) -> str:
        fields = [name for name in Leg.__struct_fields__ if getattr(one.leg, name) != getattr(other.leg, name)]
        words = ", ".join(f"{name} {getattr(cell.leg, name)!r}" for name in fields)
        lines = ", ".join(f"line {matrix.include[index].line}" for index in cell.added)
        return words or (f"one of include, {lines}" if lines else "one of the axes")

    return f"{told(one)} and {told(other)}"


def _reason(matrix: Matrix, rules: tuple[int, ...]) -> str:
    said = [matrix.exclude[index].reason for index in rules if matrix.exclude[index].reason]
    return "; ".join(dict.fromkeys(said)) or f"excluded at {matrix.file}:{matrix.exclude[rules[0]].line}"
