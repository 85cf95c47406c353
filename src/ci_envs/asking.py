"""What a person asked of a verb -> the orders of its legs. Flags are the last layer of the configuration."""

from __future__ import annotations

import contextlib
import os
import shlex
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from ci_envs import machine
from ci_envs.durations import seconds
from ci_envs.errors import NothingToDo, UsageError
from ci_envs.layout import Layout
from ci_envs.model.plan import LeftOut
from ci_envs.model.record import STAGES
from ci_envs.nearest import nearest
from ci_envs.order import Order
from ci_envs.project import Project
from ci_envs.record_files import is_leg_id, read_record
from ci_envs.work import LockPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_envs.content import HashCache
    from ci_envs.model.config import Config, LockMode
    from ci_envs.model.leg import Leg
    from ci_envs.model.matrix import Matrix
    from ci_envs.model.plan import Cell
    from ci_envs.model.record import JobFacts, RunRecord, StageName

__all__ = ["Asked", "Orders", "instant", "named", "order_for", "orders_for", "parse_stages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The words of one command."""

    root: Path
    matrix: Path | None = None
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    #: Legs without a matrix: these patterns, Pythons and groups.
    patterns: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    #: Tables of configuration that flags stand for: ``{"test": {"command": "pytest -q"}}``.
    flags: Mapping[str, Any] = field(default_factory=dict)
    #: Those flags as they were given, for the command that does the same again.
    said: tuple[str, ...] = ()
    mode: LockMode | None = None
    as_of: str = ""
    offline: bool = False
    #: Locks are held against a new resolution.
    solve: bool = False
    stages: frozenset[StageName] = frozenset(STAGES)
    jobs: int = 1
    fresh: bool = False
    deep: bool = False
    keep_dockerfile: bool = False
    #: Whether records are written: a verb that runs a part only leaves the last whole one alone.
    recorded: bool = True
    #: The job of a CI system that this runs in.
    job: JobFacts | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


@dataclass(frozen=True, slots=True)
class Orders:
    """The legs to run, in the matrix's order, and what it leaves out."""

    orders: tuple[Order, ...]
    left_out: tuple[LeftOut, ...]
    layout: Layout

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the legs to run."""
        return tuple(order.leg.id for order in self.orders)


def named(asked: Asked) -> frozenset[str]:
    """Legs that were asked for by their whole id: such a leg may not be skipped."""
    from ci_envs.planning.choosing import is_glob

    return frozenset(word for word in asked.only if not is_glob(word))


def orders_for(asked: Asked) -> Orders:
    """Reads the matrix and the configurations, and decides everything that can be decided before a leg runs."""
    from ci_envs.content import HashCache
    from ci_envs.planning.choosing import select
    from ci_envs.planning.expansion import expand

    root = Project(asked.root)
    layout = Layout.at(root.root, asked.environ)
    matrix = _matrix(root, asked)
    expansion = expand(matrix, os=machine.os_name(), arch=machine.arch_name())
    cells = select(expansion, asked.only, asked.skip)
    at_once = max(1, min(asked.jobs, len(cells)))
    hashes = HashCache()
    orders = tuple(
        _order(
            asked,
            cell.leg,
            _config(root, matrix, cell, asked),
            layout=layout,
            hashes=hashes,
            reproduce=_reproduce(asked, cell.leg.id),
            workers=max(1, (os.cpu_count() or 1) // at_once),
        )
        for cell in cells
    )
    thinned = (LeftOut(id=cell.leg.id, reason=expansion.thinned_for) for cell in expansion.thinned)
    return Orders(orders, (*expansion.left_out, *thinned), layout)


def _order(
    asked: Asked, leg: Leg, config: Config, *, layout: Layout, hashes: HashCache, reproduce: str, workers: int
) -> Order:
    return Order(
        leg=leg,
        config=config,
        policy=_policy(asked, config),
        layout=layout,
        environ=asked.environ,
        stages=asked.stages,
        hashes=hashes,
        reproduce=reproduce,
        workers=workers,
        fresh=asked.fresh,
        deep=asked.deep,
        recorded=asked.recorded,
        job=asked.job,
        keep_dockerfile=asked.keep_dockerfile,
    )


def order_for(asked: Asked, leg_id: str) -> Order:
    """The order of one leg: of the matrix, else of the record that a run without this matrix left."""
    path = Layout.at(asked.root, asked.environ).record(leg_id)
    if is_leg_id(leg_id) and path.is_file() and not _in_matrix(asked, leg_id):
        return _from_record(asked, read_record(path), Layout.at(asked.root, asked.environ))
    return orders_for(replace(asked, only=(leg_id,), skip=())).orders[0]


def _in_matrix(asked: Asked, leg_id: str) -> bool:
    """A matrix that cannot be read is an error here, too: what it configures must not go unseen."""
    from ci_envs.planning.expansion import expand

    try:
        matrix = _matrix(Project(asked.root), asked)
    except NothingToDo:
        return False
    found = expand(matrix, os=machine.os_name(), arch=machine.arch_name())
    return any(cell.leg.id == leg_id for cell in (*found.cells, *found.thinned))


def _from_record(asked: Asked, record: RunRecord, layout: Layout) -> Order:
    from ci_envs.content import HashCache
    from ci_envs.matrices import project_at
    from ci_envs.settings import environment_layers, project_layers, resolve

    root = Project(asked.root)
    said = [*project_layers(root, project_at(root, record.leg.project)), *environment_layers(asked.environ)]
    config = resolve([*said, ("flags", asked.flags)]).config
    return _order(
        asked,
        record.leg,
        config,
        layout=layout,
        hashes=HashCache(),
        reproduce=record.reproduce,
        workers=os.cpu_count() or 1,
    )


def parse_stages(text: str) -> frozenset[StageName]:
    """``lock,build`` -> stages; detect is always among them."""
    wanted: set[StageName] = {"detect"}
    for word in filter(None, (part.strip() for part in text.split(","))):
        stage = next((name for name in STAGES if name == word), None)
        if stage is None:
            raise UsageError(
                f"there is no stage {word!r}{nearest(word, STAGES)}", hint=f"stages are {', '.join(STAGES)}"
            )
        wanted.add(stage)
    return frozenset(wanted)


def _matrix(root: Project, asked: Asked) -> Matrix:
    from ci_envs.matrices import ad_hoc_matrix, load_matrix

    if not (asked.patterns or asked.pythons or asked.groups):
        return load_matrix(root, asked.matrix)
    if asked.matrix is not None:
        raise UsageError(
            "--pattern, --python and --group make legs of their own; they do not go with a matrix file",
            hint="choose among a matrix's legs with --only",
        )
    return ad_hoc_matrix(root, patterns=asked.patterns, pythons=asked.pythons, groups=asked.groups)


def _config(root: Project, matrix: Matrix, cell: Cell, asked: Asked) -> Config:
    from ci_envs.matrices import project_at
    from ci_envs.planning.expansion import layers
    from ci_envs.settings import environment_layers, project_layers, resolve

    files = project_layers(root, project_at(root, cell.leg.project))
    said = [*files, *layers(matrix, cell), *environment_layers(asked.environ)]
    return resolve([*said, ("flags", asked.flags)]).config


def _policy(asked: Asked, config: Config) -> LockPolicy:
    default: LockMode = "locked" if asked.environ.get("CI", "").lower() in ("true", "1") else "auto"
    mode = asked.mode or config.lock.mode or default
    as_of = instant(asked.as_of or config.lock.as_of)
    return LockPolicy(mode=mode, as_of=as_of, offline=asked.offline, solve=asked.solve)


def instant(text: str, now: datetime | None = None) -> str:
    """An ISO 8601 instant for a date (its end, in UTC), an instant, or a span back from now (``7 days``).

    A span counts from the last midnight in UTC, so that every run of a day makes one lock. Empty for no text.
    """
    if not text:
        return ""
    try:
        moment = _moment(text, now or datetime.now(UTC)).astimezone(UTC)
    except (UsageError, OverflowError) as error:  # a year past 9999 or before 1
        raise UsageError(
            f"{text!r} is no date, instant or span of time", hint="write 2026-01-31 or '7 days'"
        ) from error
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str, now: datetime) -> datetime:
    with contextlib.suppress(ValueError):
        return datetime.combine(date.fromisoformat(text), time(), UTC) + timedelta(days=1)
    with contextlib.suppress(ValueError):
        given = datetime.fromisoformat(text)
        return given if given.tzinfo else given.replace(tzinfo=UTC)
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(seconds=seconds(text))


def _reproduce(asked: Asked, leg_id: str) -> str:
    words = ["ci-envs", "run"]
    if asked.root.as_posix() != ".":
        words.append(f"--project={asked.root.as_posix()}")
    if asked.patterns or asked.pythons or asked.groups:
        words += [f"--pattern={p}" for p in asked.patterns] + [f"--python={p}" for p in asked.pythons]
        words += [f"--group={g}" for g in asked.groups]
    elif asked.matrix is not None:
        path = asked.matrix.as_posix()
        words.append(f"./{path}" if path.startswith("-") else path)
    words += [f"--lock-mode={asked.mode}"] if asked.mode else []
    words += [f"--as-of={asked.as_of}"] if asked.as_of else []
    words += asked.said
    return shlex.join([*words, "--only", leg_id])
