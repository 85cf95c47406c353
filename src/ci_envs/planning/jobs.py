"""What the job of a leg needs: its runner, its time limit, the command that makes it. Pure."""

from __future__ import annotations

import hashlib
import json
import shlex
from typing import TYPE_CHECKING, Any

import msgspec

from ci_envs.errors import UsageError
from ci_envs.model.matrix import Entry
from ci_envs.model.plan import PlannedLeg
from ci_envs.nearest import nearest
from ci_envs.plain import one_line
from ci_envs.planning.expansion import layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ci_envs.model.leg import Leg
    from ci_envs.model.matrix import Matrix
    from ci_envs.model.plan import Cell, Platforms

__all__ = ["Labels", "Planner", "foreign_labels", "read_runs_on"]

#: A runner's label, or the labels that it must have all of.
Labels = str | tuple[str, ...]

#: A longer text is no mapping of a dozen platforms.
_MAX_RUNS_ON = 20_000
_MAX_LABELS = 20
_MAX_LABEL = 200


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
        runs_on: Mapping[str, Labels] | None = None,
        timeout_minutes: int = 0,
        kept: Mapping[str, str] | None = None,
    ) -> None:
        """``command`` is what makes a leg when ``--only ID`` follows; ``lock_digest`` gives a project's digest.

        ``runs_on`` (:func:`read_runs_on`) and ``timeout_minutes`` hold where the matrix says nothing; ``kept`` has by
        id why a leg was chosen.
        """
        self._matrix = matrix
        self._platforms = platforms
        self._version = version
        self._command = f"{shlex.join(command)} --only "
        self._lock_digest = lock_digest
        self._suffix = f"-{suffix}" if suffix else ""
        self._runs_on = runs_on or {}
        self._minutes = timeout_minutes or platforms.timeout_minutes
        self._kept = kept or {}
        # Most legs of a large matrix are told the same.
        self._told: dict[tuple[int, ...], Entry] = {}

    def __call__(self, cell: Cell) -> PlannedLeg:
        """The leg with its runner, its time limit, its cache key and the command that makes it."""
        leg = cell.leg
        told = self._said(cell)
        runs_on = told.runs_on or self._runner(leg)
        return PlannedLeg(
            **msgspec.structs.asdict(leg),
            runs_on=runs_on,
            timeout_minutes=told.timeout_minutes or self._minutes,
            cache_key=self._cache_key(leg, runs_on),
            reproduce=self._command + shlex.quote(leg.id),
            reason=told.reason,
            settings=told.settings,
            kept=self._kept.get(leg.id, ""),
        )

    def runs_on(self, cell: Cell) -> Labels:
        """The runner of a leg: what the matrix says, else ``--runs-on``, else what anybody can have."""
        return self._said(cell).runs_on or self._runner(cell.leg)

    def _said(self, cell: Cell) -> Entry:
        return self._told.get(cell.added) or self._told.setdefault(cell.added, self._tell(cell))

    def _tell(self, cell: Cell) -> Entry:
        """The defaults and the include entries of a leg, as one."""
        said = [self._matrix.defaults, *(self._matrix.include[index] for index in cell.added)]
        return Entry(
            runs_on=next((entry.runs_on for entry in reversed(said) if entry.runs_on), ""),
            timeout_minutes=next((entry.timeout_minutes for entry in reversed(said) if entry.timeout_minutes), 0),
            reason="; ".join(entry.reason for entry in said[1:] if entry.reason),
            settings=_overlaid([settings for _, settings in layers(self._matrix, cell)]),
        )

    def _runner(self, leg: Leg) -> Labels:
        # A machine of one's own for a platform need not have the accelerator that some of its legs ask for.
        if leg.accelerator != "cpu":
            own = self._runs_on.get(f"{leg.platform}-{leg.accelerator}")
            return own or self._platforms.accelerated_runners.get(leg.platform, ("self-hosted", "gpu"))
        return self._runs_on.get(leg.platform) or self._platforms.runners.get(leg.platform, "self-hosted")

    def _cache_key(self, leg: Leg, runs_on: Labels) -> str:
        """``ci-envs-<leg>-<digest>[-<suffix>]``; up to the digest it is what a partial match may go by."""
        runner = runs_on if isinstance(runs_on, str) else " ".join(runs_on)
        parts = "\0".join((leg.id, self._version, self._lock_digest(leg.project), runner))
        return f"ci-envs-{leg.id}-{hashlib.sha256(parts.encode()).hexdigest()[:16]}{self._suffix}"


def read_runs_on(text: str, platforms: Platforms) -> dict[str, Labels]:
    """``--runs-on``: JSON that maps platforms to a runner label or a list of labels.

    A key is ``linux-x86_64``, or ``linux-x86_64-cuda12`` for the legs that ask for this accelerator. Raises
    :class:`UsageError` for all that is not exactly this.
    """
    if not text:
        return {}
    if len(text) > _MAX_RUNS_ON:
        raise UsageError(f"--runs-on has {len(text)} characters; {_MAX_RUNS_ON} are the most")
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--runs-on is not JSON: {one_line(str(error), 200)}", hint=_RUNS_ON) from None
    if not isinstance(pairs, _Pairs):
        raise UsageError("--runs-on is no object of platforms", hint=_RUNS_ON)
    found: dict[str, Labels] = {}
    for key, value in pairs:
        if key in found:
            raise UsageError(f"--runs-on names {key!r} a second time")
        _refuse_platform(key, platforms)
        found[key] = _labels(key, value)
    return found


def foreign_labels(runners: Iterable[Labels], hosted: Iterable[str]) -> dict[str, int]:
    """The labels that are not GitHub's, and how many legs have each; of self-hosted runners none is said."""
    known = set(hosted)
    found: dict[str, int] = {}
    for runner in runners:
        labels = (runner,) if isinstance(runner, str) else runner
        for label in () if "self-hosted" in labels else dict.fromkeys(labels):
            if label not in known:
                found[label] = found.get(label, 0) + 1
    return found


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, with keys that stand there twice."""


_RUNS_ON = 'for example {"linux-aarch64": "my-runner", "linux-x86_64": ["self-hosted", "big"]}'


def _refuse_platform(key: str, platforms: Platforms) -> None:
    if key in platforms.runners:
        return
    platform, _, accelerator = key.rpartition("-")
    if platform in platforms.runners and accelerator not in ("", "cpu"):
        return
    raise UsageError(
        f"--runs-on: there is no platform {one_line(key, 60)!r}{nearest(key, platforms.runners)}",
        hint=f"platforms are {', '.join(platforms.runners)}; an accelerator may follow: linux-x86_64-cuda12",
    )


def _labels(key: str, value: Any) -> Labels:
    words = value if isinstance(value, list) and not isinstance(value, _Pairs) else [value]
    if not 0 < len(words) <= _MAX_LABELS:
        raise UsageError(f"--runs-on: {key} has {len(words)} labels; 1 to {_MAX_LABELS} can be meant")
    for word in words:
        if not isinstance(word, str) or not 0 < len(word) <= _MAX_LABEL or one_line(word) != word:
            raise UsageError(f"--runs-on: {key}: {one_line(str(word), 60)!r} is no label of a runner", hint=_RUNS_ON)
    return value if isinstance(value, str) else tuple(words)


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
