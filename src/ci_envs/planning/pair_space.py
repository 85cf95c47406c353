"""What pairs of values the combinations of a matrix have, and which combinations its rules allow. Pure."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["PairSpace", "Row", "checker"]

#: The position of a value for each axis.
Row = tuple[int, ...]


def checker(rules: Sequence[Mapping[int, int]]) -> Callable[[Sequence[int]], bool]:
    """Whether a whole combination is allowed. Rules over the same axes are one look-up, however many they are."""
    tables = list(_tables(rules).items())
    return lambda row: not any(tuple([row[axis] for axis in axes]) in table for axes, table in tables)


class PairSpace:
    """The axes that have a choice, the longest first, and the pairs of their values that some allowed row has."""

    def __init__(self, lengths: Sequence[int], rules: Sequence[Mapping[int, int]]) -> None:
        """``lengths`` and ``rules`` speak of all axes; all else here of those with a choice, in another order."""
        self._width = len(lengths)
        self._axes = sorted((axis for axis, n in enumerate(lengths) if n > 1), key=lambda axis: (-lengths[axis], axis))
        self.sizes = [lengths[axis] for axis in self._axes]
        place = {axis: index for index, axis in enumerate(self._axes)}
        own = [{place[axis]: value for axis, value in rule.items() if axis in place} for rule in rules]
        #: Whether anything is not allowed.
        self.constrained = bool(own)
        tables = _tables(own)
        self._by_axis = [[(axes, table) for axes, table in tables.items() if i in axes] for i in range(len(self.sizes))]
        self._allowed = checker(own)
        self._ruled = sorted({axis for axes in tables for axis in axes})
        self._rows = [] if any(not rule for rule in own) else self._allowed_rows()
        self._witnesses: dict[tuple[int, ...], dict[Row, Row]] = {}
        #: ``open[i][a][j]``: as bits, the values of axis ``j`` that value ``a`` of axis ``i`` is allowed with.
        self.open = self._pairs()
        both = itertools.combinations(range(len(self.sizes)), 2)
        counts = [sum(masks[j].bit_count() for masks in self.open[i]) for i, j in both]
        self.pairs = sum(counts)
        #: The most pairs that two axes have: each of those needs a row of its own.
        self.bound = max(counts, default=0) or len(self.without_pairs())

    @property
    def prime(self) -> int:
        """The least prime that is no less than the second longest axis: the order of an orthogonal array."""
        return next(n for n in itertools.count(self.sizes[1]) if all(n % d for d in range(2, math.isqrt(n) + 1)))

    def allows(self, row: Sequence[int], axis: int) -> bool:
        """Whether no rule speaks against a row whose ``axis`` was just given its value; -1 stands for none yet."""
        return not any(tuple([row[i] for i in axes]) in table for axes, table in self._by_axis[axis])

    def witness(self, fixed: Mapping[int, int]) -> Row:
        """The first allowed row that has these values, of at most two axes; there must be one."""
        axes = tuple(axis for axis in self._ruled if axis in fixed)
        if axes not in self._witnesses:
            places = [self._ruled.index(axis) for axis in axes]
            table: dict[Row, Row] = {}
            for row in self._rows:
                table.setdefault(tuple([row[place] for place in places]), row)
            self._witnesses[axes] = table
        row = self._witnesses[axes][tuple([fixed[axis] for axis in axes])]
        values = dict(zip(self._ruled, row, strict=True)) | dict(fixed)
        return tuple(values.get(axis, 0) for axis in range(len(self.sizes)))

    def whole(self, row: Row) -> Row:
        """The row with all axes, in their own order."""
        values = dict(zip(self._axes, row, strict=True))
        return tuple(values.get(axis, 0) for axis in range(self._width))

    def without_pairs(self) -> list[Row]:
        """All that there is where fewer than two axes have a choice; nothing where nothing is allowed."""
        if not self._rows or len(self.sizes) > 1:
            return []
        return [self.whole(row) for row in itertools.product(*map(range, self.sizes)) if self._allowed(row)]

    def _pairs(self) -> list[list[list[int]]]:
        """Which values go together. Only the axes that rules speak of must be looked at, combination by combination."""
        every = [(1 << size) - 1 for size in self.sizes]
        if not self._rows:
            return [[[0] * len(self.sizes) for _ in range(size)] for size in self.sizes]
        columns = dict(zip(self._ruled, zip(*self._rows, strict=True), strict=True))
        may = [sum(1 << v for v in set(columns[i])) if i in columns else mask for i, mask in enumerate(every)]
        found = [
            [[0 if i == j or not may[i] >> a & 1 else may[j] for j in range(len(self.sizes))] for a in range(size)]
            for i, size in enumerate(self.sizes)
        ]
        for i, j in itertools.combinations(self._ruled, 2):
            for axis, other in ((i, j), (j, i)):
                for masks in found[axis]:
                    masks[other] = 0
            for a, b in set(zip(columns[i], columns[j], strict=True)):
                found[i][a][j] |= 1 << b
                found[j][b][i] |= 1 << a
        return found

    def _allowed_rows(self) -> list[Row]:
        """The allowed combinations of the axes that rules speak of, and nothing that is forbidden early."""
        rows: list[Row] = [()]
        for count, axis in enumerate(self._ruled):
            # Those of its rules that speak of no later axis; by places in a row of ruled axes.
            closing = [
                ([self._ruled.index(i) for i in axes], table)
                for axes, table in self._by_axis[axis]
                if axes[-1] == self._ruled[count]
            ]
            rows = [(*row, value) for row in rows for value in range(self.sizes[axis])]
            for places, table in closing:
                rows = [row for row in rows if tuple([row[place] for place in places]) not in table]
        return rows


def _tables(rules: Sequence[Mapping[int, int]]) -> dict[tuple[int, ...], set[Row]]:
    tables: dict[tuple[int, ...], set[Row]] = {}
    for rule in rules:
        axes = tuple(sorted(rule))
        tables.setdefault(axes, set()).add(tuple(rule[axis] for axis in axes))
    return tables
