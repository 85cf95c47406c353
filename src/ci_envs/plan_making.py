"""The words of ``ci-envs plan`` -> a plan: which matrix, by which strategy, which of its legs, why not the others."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from ci_envs import __version__, machine
from ci_envs.errors import NothingToDo, UsageError
from ci_envs.github.event import change_bases, pull_request_labels, tier_by_event
from ci_envs.github.runner import acting, run_identity
from ci_envs.matrices import DEFAULT_MATRIX, load_matrix, lock_digests, matrix_of_tier, platforms, project_at
from ci_envs.model.plan import MAX_LEFT_OUT, LeftOut, Plan
from ci_envs.planning.choosing import Sifted, globs, sift
from ci_envs.planning.expansion import expand
from ci_envs.planning.jobs import Planner, foreign_labels, read_runs_on
from ci_envs.planning.labels import chosen_by, read_labels, unknown_label, words_of
from ci_envs.planning.shards import SHARD_LEGS, json_chunks, shards
from ci_envs.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci_envs.model.matrix import Matrix, Strategy
    from ci_envs.model.plan import Cell, Expansion, PlannedLeg
    from ci_envs.planning.changes import Changes
    from ci_envs.planning.choosing import Sieve
    from ci_envs.planning.jobs import Labels

__all__ = ["TIERS", "Made", "Wanted", "make_plan"]

TIERS = ("auto", "pull-request", "nightly", "release", "all")

#: Like an input of actions/plan: it begins the names of artifacts.
_ARTIFACT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")

#: The pull request's tier where it has no matrix of its own: few legs, and always as many.
_SMALL: Strategy = "ends"

#: Reasons that are named where nothing is left, and what of a long one is shown.
_REASONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The words of one ``ci-envs plan``."""

    root: Path
    matrix: Path | None = None
    tier: str = "all"
    #: Empty: what the tier or the matrix says.
    strategy: Strategy | None = None
    labels: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    changed_only: bool = False
    #: A revision that changes are held against; empty: what the event says.
    base: str = ""
    runs_on: str = ""
    #: 0: what our data say.
    timeout_minutes: int = 0
    max_legs: int = SHARD_LEGS
    artifact: str = "ci-envs"
    cache_suffix: str = ""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A plan whose legs are made when they are asked for: there may be a hundred thousand."""

    matrix: Matrix
    cells: list[Cell]
    planner: Planner
    #: The plan without its legs and shards.
    head: Plan
    size: int
    #: What a person should be told.
    notes: tuple[str, ...] = ()
    #: ``ci-envs plan`` with the words that have this plan once more, where no event decides.
    again: tuple[str, ...] = ()

    @property
    def ids(self) -> list[str]:
        """Of the legs, in their order."""
        return [cell.leg.id for cell in self.cells]

    @property
    def legs(self) -> Iterator[PlannedLeg]:
        """The legs, made as they are asked for."""
        return map(self.planner, self.cells)

    @property
    def plan(self) -> Plan:
        """The whole plan at once."""
        return msgspec.structs.replace(self.head, legs=tuple(self.legs), shards=tuple(shards(self.ids, self.size)))

    @property
    def chunks(self) -> Iterator[bytes]:
        """Its JSON, in pieces."""
        return json_chunks(self.head, self.legs, self.ids, self.size)


def make_plan(wanted: Wanted) -> Made:
    """Reads the matrix, chooses its legs, and says why each of the others is left out.

    Where filters, labels or unchanged files leave no leg, the plan is ``skipped`` with the reason. Raises
    :class:`UsageError` for words and a matrix that cannot be meant, :class:`NothingToDo` for a matrix without legs.
    """
    known = platforms()
    if not _ARTIFACT.fullmatch(wanted.artifact):
        raise UsageError(
            f"--artifact-name {wanted.artifact!r} cannot begin a name",
            hint="a letter or digit, then letters, digits, '.', '_' and '-', at most 64",
        )
    runs_on = read_runs_on(wanted.runs_on, known)
    root = Project(wanted.root)
    choice = _Choice(root, wanted)
    sifted = choice.sifted()
    matrix = choice.matrix
    planner = Planner(
        matrix,
        known,
        version=__version__,
        command=_run_command(wanted, matrix),
        lock_digest=lock_digests(root),
        suffix=wanted.cache_suffix,
        runs_on=runs_on,
        timeout_minutes=wanted.timeout_minutes,
        kept=sifted.kept,
    )
    notes = [*choice.notes, *_foreign(map(planner.runs_on, sifted.cells), known.hosted_labels)]
    head = Plan(
        matrix=_relative(wanted, matrix),
        tier=choice.tier,
        strategy=choice.strategy,
        combinations=choice.expansion.combinations,
        coverage=choice.coverage(sifted),
        status="planned" if sifted.cells else "skipped",
        reason="" if sifted.cells else choice.why_nothing(sifted),
        artifact=wanted.artifact,
        run=run_identity(wanted.environ),
        left_out=tuple(sifted.left_out[:MAX_LEFT_OUT]),
        left_out_more=max(0, len(sifted.left_out) - MAX_LEFT_OUT),
    )
    return Made(
        matrix=matrix,
        cells=sifted.cells,
        planner=planner,
        head=head,
        size=wanted.max_legs,
        notes=tuple(notes),
        again=(*_plan_command(wanted, matrix, choice.strategy), *choice.label_flags),
    )


class _Choice:
    """Which matrix, by which strategy; then which of its legs."""

    def __init__(self, root: Project, wanted: Wanted) -> None:
        self._root = root
        self._wanted = wanted
        self.notes: list[str] = []
        by_event = wanted.tier == "auto"
        tier = tier_by_event(wanted.environ) if by_event else wanted.tier
        asked = by_event or acting(wanted.environ) == "plan"
        labels = wanted.labels or (pull_request_labels(wanted.environ) if asked else ())
        self._wished = read_labels(labels)
        self.tier = "all" if self._wished.whole else tier
        self.matrix, self.strategy = self._matrix(self.tier, whole=self._wished.whole)
        self.expansion = self._expand(self.matrix, self.strategy)
        if not self.expansion.cells:
            raise NothingToDo(
                "no leg is left to run", hint="the matrix excludes every combination", file=self.matrix.file
            )
        self._words = self._known_words()

    def sifted(self) -> Sifted:
        """The legs that are left."""
        if self._wished.skip:
            legs = (*self.expansion.cells, *self.expansion.thinned)
            rows = [LeftOut(id=cell.leg.id, reason="label envs:skip") for cell in legs]
            return Sifted(left_out=[*self.expansion.left_out, *rows])
        wanted = self._wanted
        sieves = [globs(wanted.only, wanted.skip)]
        sieves += [chosen_by(self._words)] if self._words else []
        if wanted.changed_only and self._wished.whole:
            self.notes.append("label 'envs:all' keeps the legs of unchanged projects, too")
        elif wanted.changed_only:
            sieves.append(self._changed())
        return sift(self.expansion, wanted.only, sieves)

    def why_nothing(self, sifted: Sifted) -> str:
        """Why no leg is left, in a sentence."""
        if self._wished.skip:
            return "label envs:skip"
        counts = Counter(row.reason for row in sifted.left_out[len(self.expansion.left_out) :])
        counts.pop(self.expansion.thinned_for, None)
        said = [reason for reason, _ in counts.most_common(_REASONS)]
        more = f"; and {len(counts) - len(said)} more reasons" if len(counts) > len(said) else ""
        count = self.expansion.combinations
        legs = "the one leg is not" if count == 1 else f"none of {count} legs is"
        return f"{legs} left: {'; '.join(said)}{more}"

    @property
    def label_flags(self) -> tuple[str, ...]:
        """The labels that chose, as flags; the whole matrix is said by the matrix and the strategy."""
        words = (*(["skip"] if self._wished.skip else []), *self._words)
        return tuple(f"--label=envs:{word}" for word in words)

    def coverage(self, sifted: Sifted) -> str:
        """What the legs have together; nothing where one of those that the strategy keeps is left out."""
        if not self.expansion.coverage:
            return ""
        kept = {cell.leg.id for cell in sifted.cells}
        return self.expansion.coverage if kept.issuperset(cell.leg.id for cell in self.expansion.cells) else ""

    def _matrix(self, tier: str, *, whole: bool) -> tuple[Matrix, Strategy]:
        """The matrix that was named, else the tier's own, else the default; and the strategy for it."""
        wanted, small = self._wanted, False
        matrix = None
        if wanted.matrix is None and tier != "all":
            matrix = matrix_of_tier(self._root, tier)
            small = matrix is None and tier == "pull-request"
        if matrix is None:
            matrix = load_matrix(self._root, wanted.matrix)
        # A workflow says its strategy once for all; who puts the label on means this one pull request.
        said: Strategy | None = "all" if whole else wanted.strategy or (_SMALL if small else None)
        return matrix, said or matrix.strategy

    def _expand(self, matrix: Matrix, strategy: Strategy) -> Expansion:
        return expand(matrix, os=machine.os_name(), arch=machine.arch_name(), strategy=strategy)

    def _known_words(self) -> tuple[str, ...]:
        """The words of labels that choose legs. One that only the whole matrix knows brings the whole matrix."""
        words = self._wished.words
        if not words:
            return ()
        missing = set(words) - words_of(self.expansion.legs)
        if missing and not self._wished.whole:
            with contextlib.suppress(NothingToDo):  # there may be no default matrix
                self._widen(missing)
        known = words_of(self.expansion.legs)
        self.notes += [unknown_label(word, known) for word in words if word not in known]
        return tuple(word for word in words if word in known)

    def _widen(self, missing: set[str]) -> None:
        """Takes the whole matrix where it has legs for any of these words."""
        matrix, strategy = self._matrix("all", whole=True)
        expansion = self._expand(matrix, strategy)
        found = sorted(missing & words_of(expansion.legs))
        if found:
            self.matrix, self.strategy, self.tier, self.expansion = matrix, strategy, "all", expansion
        self.notes += [f"label 'envs:{word}' is for legs of the whole matrix, so that is taken" for word in found]

    def _changed(self) -> Sieve:
        """The sieve of what changed; one that keeps everything, and a note, where that is not known."""
        from ci_envs.changed import changed_configuration, changes_since, named_base
        from ci_envs.planning.changes import concerned, concerns_all

        wanted = self._wanted
        bases = (named_base(wanted.base),) if wanted.base else change_bases(wanted.environ)
        changes, problem = changes_since(bases, self._root.root, wanted.environ)
        if changes is None:
            self.notes.append(f"every leg is kept, since it is not known what has changed: {problem}")
            return lambda _leg: (True, "")
        configuration = changed_configuration(changes, self._root.root, wanted.environ)
        matrices = {_relative(wanted, self.matrix)} - {""}
        if wanted.matrix is None:  # one that is no longer there made other legs
            matrices |= {DEFAULT_MATRIX, f"matrices/{self.tier}.yml"}
        if reason := concerns_all(changes, sorted(matrices), configuration):
            return lambda _leg: (True, reason)
        legs = (*self.expansion.cells, *self.expansion.thinned)
        top = self._root.root
        folders = {name: project_at(self._root, name).root for name in sorted({cell.leg.project for cell in legs})}
        places = {name: folder.relative_to(top).as_posix() for name, folder in folders.items()}
        return concerned(changes, places, _beside(folders, top, changes))


def _beside(folders: Mapping[str, Path], top: Path, changes: Changes) -> dict[str, dict[str, str]]:
    """The neighbours of each project and who names them, as git has their names; the repository is the empty one."""
    from ci_envs.neighbours import neighbours

    repository = top.parents[len(PurePosixPath(changes.prefix).parts) - 1] if changes.prefix else top
    gone = {path for path in map(repository.joinpath, changes.files) if not path.exists()}
    gone |= {parent for path in gone for parent in path.parents if not parent.exists()}

    def name(path: Path) -> str:
        return "" if path == repository else path.relative_to(repository).as_posix()

    return {
        project: {name(path): name(by) for path, by in neighbours(folder, repository, gone).items()}
        for project, folder in folders.items()
    }


def _foreign(runners: Iterator[Labels], hosted: tuple[str, ...]) -> Iterator[str]:
    found = foreign_labels(runners, hosted)
    for label, count in list(found.items())[:_REASONS]:
        legs = f"{count} leg{'' if count == 1 else 's'}"
        yield f"runner label {label!r} ({legs}) is none of GitHub's own: a job waits where no runner of yours has it"
    if len(found) > _REASONS:
        yield f"{len(found) - _REASONS} more runner labels are none of GitHub's own"


def _relative(wanted: Wanted, matrix: Matrix) -> str:
    """The matrix file, relative to the root; empty where there is none."""
    if wanted.matrix is None or not matrix.file:
        return matrix.file
    # By the words alone: the file may be a link, and a job names it in the same words.
    named, root = wanted.matrix, wanted.root
    return (
        named.relative_to(root).as_posix()
        if named.is_relative_to(root)
        else Path(os.path.relpath(named, root)).as_posix()
    )


def _run_command(wanted: Wanted, matrix: Matrix) -> list[str]:
    """What makes these legs on a laptop, but for ``--only ID``."""
    project = wanted.root.as_posix()
    return ["ci-envs", "run", *(["--project", project] if project != "." else []), *_file(wanted, matrix)]


def _plan_command(wanted: Wanted, matrix: Matrix, strategy: Strategy) -> list[str]:
    """What makes this plan on a laptop; what changed is a matter of the job's checkout."""
    project = wanted.root.as_posix()
    words = ["ci-envs", "plan", *(["--project", project] if project != "." else []), *_file(wanted, matrix)]
    words += [f"--strategy={strategy}"] if strategy != matrix.strategy else []
    words += [f"--only={glob}" for glob in wanted.only] + [f"--skip={glob}" for glob in wanted.skip]
    words += [f"--runs-on={wanted.runs_on}"] if wanted.runs_on else []
    return [*words, *([f"--timeout-minutes={wanted.timeout_minutes}"] if wanted.timeout_minutes else [])]


def _file(wanted: Wanted, matrix: Matrix) -> list[str]:
    """The matrix file, where it is not the one that is taken anyway."""
    path = wanted.matrix
    if path is None and matrix.file not in ("", DEFAULT_MATRIX):
        path = wanted.root / matrix.file
    if path is None:
        return []
    return [f"./{path.as_posix()}" if path.as_posix().startswith("-") else path.as_posix()]
