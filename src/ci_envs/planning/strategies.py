"""Which combinations of a matrix are enough: all of them, every pair of values, or every pair of the ends.

Combinations are tuples of positions: ``(0, 2)`` has the first value of the first axis and the third of the second. An
exclude entry is a rule: axis -> the position of its value; whatever has all of them is not allowed.

``pairwise`` makes a covering array of strength 2 with constraints, row by row, as AETG does (Cohen, Dalal, Fredman and
Patton, "The AETG system", IEEE TSE 23(7), 1997): a row begins with a pair that no row has yet, and takes for each other
axis the value that brings most such pairs. Of several as good ones the first attempts take that of an orthogonal array
(Bose and Bush, 1952), which is the least there can be where the axes have one length and that is a prime.

How long it takes does not go with the number of combinations, but with the rows and the values that are looked at for
each; only of the axes that rules speak of every combination is looked at, once. Attempts end at the least number there
can be, or at a budget.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from ci_envs.planning.pair_space import PairSpace, checker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ci_envs.planning.pair_space import Row

__all__ = ["ends", "least", "pairwise"]

#: How much looking at values further attempts may cost after the first: a count of our own and no clock, so that every
#: machine makes the same legs of a matrix. A million is about half a second.
BUDGET = 600_000

#: Attempts that lean on an orthogonal array, and those after them, which meet axes and values in another order each.
DESIGNS = 2
SHUFFLES = 300

#: Values that are tried for one row before a known combination is taken in its place.
_TRIES = 400


def pairwise(lengths: Sequence[int], rules: Sequence[Mapping[int, int]] = ()) -> list[Row]:
    """The fewest allowed combinations found that hold every pair of values which any allowed one holds.

    ``lengths`` are the numbers of values of the axes. The rows come in the order of the combinations. Where one axis
    alone has a choice, each of its values is in a row. Empty where nothing is allowed.
    """
    space = PairSpace(lengths, rules)
    if not space.pairs:
        return space.without_pairs()
    best: list[Row] = []
    spent = 0
    for number in range(DESIGNS + SHUFFLES):
        attempt = _Attempt(space, number)
        rows = _needed(attempt.rows())
        if not best or len(rows) < len(best):
            best = rows
        spent += attempt.spent
        if len(best) <= space.bound or spent > BUDGET:
            break
    return sorted(map(space.whole, best))


def ends(lengths: Sequence[int], rules: Sequence[Mapping[int, int]] = (), *, whole: Iterable[int] = ()) -> list[Row]:
    """:func:`pairwise` over the first and the last value of each axis; the axes in ``whole`` keep all of theirs.

    How many there are does not depend on how long the other axes are. A pair of values of two ``whole`` axes (or a
    value of one) that is allowed with other values than the ends only is in the first combination that has it.
    """
    kept = set(whole)
    places = [
        list(range(length)) if axis in kept or length < 2 else [0, length - 1] for axis, length in enumerate(lengths)
    ]
    inner = [
        {axis: places[axis].index(value) for axis, value in rule.items()}
        for rule in rules
        if all(value in places[axis] for axis, value in rule.items())
    ]
    rows = [
        tuple(places[axis][value] for axis, value in enumerate(row))
        for row in pairwise([len(place) for place in places], inner)
    ]
    return sorted({*rows, *_lacking(lengths, rules, sorted(kept), rows)})


def least(lengths: Sequence[int], rules: Sequence[Mapping[int, int]] = ()) -> int:
    """No set of combinations that holds every pair is smaller: the pairs of two axes need a combination each."""
    return PairSpace(lengths, rules).bound


def _lacking(
    lengths: Sequence[int], rules: Sequence[Mapping[int, int]], whole: Sequence[int], rows: Sequence[Row]
) -> Iterator[Row]:
    """The first allowed combination for what the axes in ``whole`` have together and no row has."""
    groups: list[tuple[int, ...]] = [*itertools.combinations(whole, 2)] or [(axis,) for axis in whole]
    allowed = checker(rules)
    if not rules:
        return  # the ends are allowed then
    for group in groups:
        seen = {tuple(row[axis] for axis in group) for row in rows}
        for values in itertools.product(*(range(lengths[axis]) for axis in group)):
            if values not in seen:
                fixed = dict(zip(group, values, strict=True))
                choices = [[fixed[axis]] if axis in fixed else range(length) for axis, length in enumerate(lengths)]
                yield from itertools.islice(filter(allowed, itertools.product(*choices)), 1)


class _Attempt:
    """One covering array, made greedily; its number says which way is taken where several are as good."""

    def __init__(self, space: PairSpace, number: int) -> None:
        self._space = space
        self._sizes = space.sizes
        self._open = [[list(masks) for masks in values] for values in space.open]
        self._left = [[sum(mask.bit_count() for mask in masks) for masks in values] for values in space.open]
        self._design = number if number < DESIGNS else None
        self._state = number
        #: Values that were looked at.
        self.spent = 0

    def rows(self) -> list[Row]:
        """Rows that hold every pair; one may have become needless by those after it."""
        rows = []
        # Each pair of the two longest axes needs a row of its own, whatever else is in it.
        for first, second in itertools.product(range(self._sizes[0]), range(self._sizes[1])):
            if self._open[0][first][1] >> second & 1:
                rows.append(self._add({0: first, 1: second}))
        while start := self._most_open():
            rows.append(self._add(start))
        return rows

    def _most_open(self) -> dict[int, int]:
        """The value with the most pairs that no row has, and the first of these; nothing where none is left."""
        count, axis, value = max(
            (count, -axis, -value) for axis, counts in enumerate(self._left) for value, count in enumerate(counts)
        )
        if not count:
            return {}
        axis, value = -axis, -value
        self.spent += sum(self._sizes)
        others = [other for other, mask in enumerate(self._open[axis][value]) if mask]
        other = others[self._draw(len(others))]
        mask = self._open[axis][value][other]
        return {axis: value, other: (mask & -mask).bit_length() - 1}

    def _add(self, fixed: dict[int, int]) -> Row:
        """A row with these values, which some allowed combination has; its pairs are no longer open."""
        row = [fixed.get(axis, -1) for axis in range(len(self._sizes))]
        order = [axis for axis in range(len(self._sizes)) if axis not in fixed]
        if self._design is None:
            order.sort(key=lambda _axis: self._draw(1 << 16))
        self._tries = _TRIES
        done = tuple(row) if self._fill(row, order) else self._space.witness(fixed)
        for (i, a), (j, b) in itertools.combinations(enumerate(done), 2):
            if self._open[i][a][j] >> b & 1:
                self._open[i][a][j] ^= 1 << b
                self._open[j][b][i] ^= 1 << a
                self._left[i][a] -= 1
                self._left[j][b] -= 1
        return done

    def _fill(self, row: list[int], order: list[int]) -> bool:
        """Gives the axes of ``order`` values, the one with the most open pairs first; whether that was allowed."""
        if not order:
            return True
        axis, rest = order[0], order[1:]
        for value in self._by_gain(row, axis):
            self._tries -= 1
            row[axis] = value
            if self._space.allows(row, axis) and self._fill(row, rest):
                return True
            if self._tries < 0:
                break
        row[axis] = -1
        return False

    def _by_gain(self, row: list[int], axis: int) -> Iterator[int]:
        """The values of an axis, those first that bring the most open pairs with what the row has."""
        size = self._sizes[axis]
        masks = [mask for i, a in enumerate(row) if a >= 0 and (mask := self._open[i][a][axis])]
        first = self._first(row, axis)
        self.spent += size * (1 + len(masks))
        turned = [*range(first, size), *range(first)]
        if not masks:
            return iter(turned)
        gains = [sum(mask >> value & 1 for mask in masks) for value in turned]
        if not self._space.constrained:
            return iter((turned[gains.index(max(gains))],))
        return iter([turned[i] for i in sorted(range(size), key=lambda i: -gains[i])])

    def _first(self, row: list[int], axis: int) -> int:
        """The value that is taken of several as good ones: that of an orthogonal array, or any."""
        if self._design is None or row[0] < 0 or row[1] < 0:
            return self._draw(self._sizes[axis])
        value = row[0] + (axis - 1) * row[1]
        return (value % self._space.prime if self._design else value) % self._sizes[axis]

    def _draw(self, below: int) -> int:
        # Knuth's MMIX generator: the same numbers with every Python and on every machine.
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self._state >> 33) % below


def _needed(rows: list[Row]) -> list[Row]:
    """The rows without those whose every pair is in another one, the last looked at first."""
    counts: dict[tuple[tuple[int, int], tuple[int, int]], int] = {}
    for row in rows:
        for pair in itertools.combinations(enumerate(row), 2):
            counts[pair] = counts.get(pair, 0) + 1
    kept = []
    for row in reversed(rows):
        pairs = list(itertools.combinations(enumerate(row), 2))
        if all(counts[pair] > 1 for pair in pairs):
            for pair in pairs:
                counts[pair] -= 1
        else:
            kept.append(row)
    return kept
