"""Matrix -> legs -> shards. Pure: nothing is read or printed here.

How ``exclude`` and ``include`` work is GitHub's
(https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstrategymatrixinclude):

1. The combinations of all axes are made; the last axis varies fastest.
2. A combination that has all the values of an ``exclude`` entry is left out.
3. Each ``include`` entry, in order, is added to every combination of step 2 whose original values it does not
   contradict; what an earlier entry added may be overwritten. An entry that could be added nowhere becomes a
   combination of its own, which no later entry touches.

What has no value by then takes it from ``defaults``, and ``os`` and ``arch`` from the machine that plans.
"""

from __future__ import annotations

import hashlib
import itertools
import shlex
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ci_envs.errors import NothingToDo, UsageError
from ci_envs.model.leg import CONTAINED, Leg, make_leg
from ci_envs.model.matrix import Entry, variable_key
from ci_envs.model.plan import Cell, Expansion, LeftOut, PlannedLeg
from ci_envs.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ci_envs.model.matrix import Matrix, Value
    from ci_envs.model.plan import Platforms

__all__ = [
    "MAX_COMBINATIONS",
    "SHARD_LEGS",
    "Planner",
    "expand",
    "github_matrices",
    "json_chunks",
    "layers",
    "select",
    "shards",
]

#: A larger matrix is a slip, and is refused before it is expanded.
MAX_COMBINATIONS = 200_000

#: The most jobs that one `strategy.matrix` may make
#: (https://docs.github.com/en/actions/reference/limits).
SHARD_LEGS = 256

#: All outputs of one job together, approximated as UTF-16
#: (https://docs.github.com/en/actions/how-tos/write-workflows/choose-what-workflows-do/pass-job-outputs).
MAX_OUTPUT_BYTES = 1_000_000

_VARIABLE = variable_key("")
_CHUNK_LEGS = 512


def expand(matrix: Matrix, *, os: str, arch: str) -> Expansion:
    """The legs of a matrix and what it leaves out. ``os`` and ``arch`` hold where the matrix says nothing.

    Raises :class:`UsageError` for a matrix that is empty, too large, makes one leg twice or a leg without a pattern
    or a Python.
    """
    _refuse_size(matrix)
    excluded, included = _Index(matrix.axes, matrix.exclude), _Index(matrix.axes, matrix.include)
    leg = _LegMaker(matrix, os, arch)
    cells: list[Cell] = []
    left_out: list[LeftOut] = []
    used: set[int] = set()
    for values in itertools.product(*matrix.axes.values()) if matrix.axes else ():
        if rules := excluded.matching(values):
            left_out.append(LeftOut(id=leg.name(values), reason=_reason(matrix, rules)))
        else:
            added = included.matching(values)
            used.update(added)
            cells.append(Cell(leg(values, added), added))
    alone = (index for index in range(len(matrix.include)) if index not in used)
    cells.extend(Cell(leg((), (index,)), (index,)) for index in alone)
    ids = _refuse_twins(matrix, cells)
    return Expansion(cells=cells, left_out=[row for row in left_out if row.id not in ids] if left_out else [])


def select(expansion: Expansion, only: Sequence[str] = (), skip: Sequence[str] = ()) -> list[Cell]:
    """The cells whose leg's id matches any glob of ``only`` (all where there is none) and none of ``skip``.

    Raises :class:`UsageError` for a leg that was asked for by its whole id and is not there, :class:`NothingToDo`
    where no leg is left.
    """
    cells = expansion.cells
    if only:
        cells = [cell for cell in cells if any(fnmatchcase(cell.leg.id, glob) for glob in only)]
        for word in only:
            _refuse_absent(expansion, word)
    if skip:
        cells = [cell for cell in cells if not any(fnmatchcase(cell.leg.id, glob) for glob in skip)]
    if not cells:
        raise NothingToDo("no leg is left to run", hint=_hint_for_nothing(expansion, only, skip))
    return cells


def shards(ids: Sequence[str], size: int = SHARD_LEGS) -> list[tuple[str, ...]]:
    """The ids in their order, at most ``size`` to a shard: the same legs always make the same shards."""
    return [tuple(ids[start : start + size]) for start in range(0, len(ids), size)]


def layers(matrix: Matrix, cell: Cell) -> list[tuple[str, dict[str, Any]]]:
    """What the matrix configures for a leg, as (source, tables), the strongest last."""
    found = [(f"{matrix.file} (defaults)", matrix.defaults.settings)]
    for index in cell.added:
        entry = matrix.include[index]
        found.append((f"{matrix.file}:{entry.line} (include)", entry.settings))
    return [(source, settings) for source, settings in found if settings]


class Planner:
    """Makes of a cell what its job needs."""

    def __init__(
        self,
        matrix: Matrix,
        platforms: Platforms,
        *,
        version: str,
        command: Sequence[str],
        lock_digest: Callable[[str], str],
        suffix: str = "",
    ) -> None:
        """``command`` is what makes a leg when ``--only ID`` follows; ``lock_digest`` gives a project's digest."""
        self._matrix = matrix
        self._platforms = platforms
        self._version = version
        self._command = f"{shlex.join(command)} --only "
        self._lock_digest = lock_digest
        self._suffix = f"-{suffix}" if suffix else ""
        # Most legs of a large matrix are told the same.
        self._told: dict[tuple[int, ...], Entry] = {}

    def __call__(self, cell: Cell) -> PlannedLeg:
        """The leg with its runner, its time limit, its cache key and the command that makes it."""
        leg = cell.leg
        told = self._told.get(cell.added) or self._told.setdefault(cell.added, self._tell(cell))
        runs_on = told.runs_on or self._runner(leg)
        return PlannedLeg(
            **msgspec.structs.asdict(leg),
            runs_on=runs_on,
            timeout_minutes=told.timeout_minutes or self._platforms.timeout_minutes,
            cache_key=self._cache_key(leg, runs_on),
            reproduce=self._command + shlex.quote(leg.id),
            reason=told.reason,
            settings=told.settings,
        )

    def _tell(self, cell: Cell) -> Entry:
        """The defaults and the include entries of a leg, as one."""
        said = [self._matrix.defaults, *(self._matrix.include[index] for index in cell.added)]
        return Entry(
            runs_on=next((entry.runs_on for entry in reversed(said) if entry.runs_on), ""),
            timeout_minutes=next((entry.timeout_minutes for entry in reversed(said) if entry.timeout_minutes), 0),
            reason="; ".join(entry.reason for entry in said[1:] if entry.reason),
            settings=_overlaid([settings for _, settings in layers(self._matrix, cell)]),
        )

    def _runner(self, leg: Leg) -> str | tuple[str, ...]:
        if leg.accelerator != "cpu":
            return self._platforms.accelerated_runners.get(leg.platform, ("self-hosted", "gpu"))
        return self._platforms.runners.get(leg.platform, "self-hosted")

    def _cache_key(self, leg: Leg, runs_on: str | tuple[str, ...]) -> str:
        """``ci-envs-<leg>-<digest>[-<suffix>]``; up to the digest it is what a partial match may go by."""
        runner = runs_on if isinstance(runs_on, str) else " ".join(runs_on)
        parts = "\0".join((leg.id, self._version, self._lock_digest(leg.project), runner))
        return f"ci-envs-{leg.id}-{hashlib.sha256(parts.encode()).hexdigest()[:16]}{self._suffix}"


def json_chunks(
    planned: Iterable[PlannedLeg], ids: Sequence[str], left_out: Sequence[LeftOut], size: int
) -> Iterator[bytes]:
    """The JSON of a :class:`~ci_envs.model.plan.Plan`, in pieces: a hundred thousand legs are never held at once."""
    encode = msgspec.json.encode
    yield b'{"legs":['
    legs = iter(planned)
    before = b""
    while rows := b",".join(map(encode, itertools.islice(legs, _CHUNK_LEGS))):
        yield before + rows
        before = b","
    yield b'],"shards":' + encode(shards(ids, size))
    yield b',"left_out":' + encode(left_out) + b"}\n"


def github_matrices(planned: Sequence[PlannedLeg], size: int = SHARD_LEGS) -> list[str]:
    """``strategy.matrix`` as JSON, one for each shard.

    Raises :class:`UsageError` where they do not fit into the outputs of one job.
    """
    rows = [_github_row(leg) for leg in planned]
    texts = [
        msgspec.json.encode({"include": rows[start : start + size]}).decode() for start in range(0, len(rows), size)
    ]
    total = sum(len(text.encode("utf-16-le")) for text in texts)
    if total > MAX_OUTPUT_BYTES:
        raise UsageError(
            f"{len(rows)} legs make {total} bytes of matrix; the outputs of one job hold {MAX_OUTPUT_BYTES}",
            hint="plan parts of it with --only, or hand the JSON of `plan --json` on as an artifact",
        )
    return texts


def _github_row(leg: PlannedLeg) -> dict[str, Any]:
    return {
        "id": leg.id,
        "pattern": leg.pattern,
        "python": leg.python,
        "project": leg.project,
        "runs-on": leg.runs_on,
        "timeout-minutes": leg.timeout_minutes,
        "cache-key": leg.cache_key,
    }


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


def _refuse_absent(expansion: Expansion, word: str) -> None:
    if any(mark in word for mark in "*?[") or any(cell.leg.id == word for cell in expansion.cells):
        return
    for row in expansion.left_out:
        if row.id == word:
            raise UsageError(f"the matrix leaves out {word!r}: {row.reason}")
    near = nearest(word, [cell.leg.id for cell in expansion.cells[:SHARD_LEGS]])
    raise UsageError(f"there is no leg {word!r}{near}", hint="`ci-envs plan` lists the legs")


def _hint_for_nothing(expansion: Expansion, only: Sequence[str], skip: Sequence[str]) -> str:
    if not expansion.cells:
        return "the matrix excludes every combination"
    some = ", ".join(cell.leg.id for cell in expansion.cells[:3])
    asked = " ".join([*(f"--only {glob}" for glob in only), *(f"--skip {glob}" for glob in skip)])
    return f"{asked} leaves none of {len(expansion.cells)} legs; their ids look like {some}"


def _overlaid(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """Tables over tables, key by key; shared as it is where there is one."""
    if len(tables) <= 1:
        return tables[0] if tables else {}
    merged: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            known = merged.get(key)
            merged[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    return merged
