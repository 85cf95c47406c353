"""Leg -> RunRecord: detect, lock, build, check, test. The record is written anew after each stage."""

from __future__ import annotations

import contextlib
import time
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol

import msgspec

from ci_envs import __version__, command, machine
from ci_envs.building import Built, build, changed_since_built
from ci_envs.cache import cache_root
from ci_envs.checking import check
from ci_envs.error_findings import error_finding
from ci_envs.errors import BrokenError, CiEnvsError, InterruptedRun, Skip, ToolMissing
from ci_envs.layout import discard_part, disk_is_full, has_no_room, remove_tree, write_atomically
from ci_envs.model.record import STAGES, EnvironmentFacts, LockFacts, RunRecord, SelectionFacts, Stage, worst
from ci_envs.order import prepare
from ci_envs.record_files import find_record, write_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.model.record import StageName, Status
    from ci_envs.order import Order
    from ci_envs.patterns import Pattern
    from ci_envs.work import Work

__all__ = ["Observer", "run_leg"]

#: Of a log's end, where the reason of a failure is.
_READ_BYTES = 1024 * 1024


class Observer(Protocol):
    """Is told how far the legs are; called from the thread that runs the leg."""

    def leg_begins(self, leg: Leg) -> None:
        """A leg is taken up."""

    def stage_begins(self, leg: Leg, name: str) -> None:
        """A stage of it begins."""

    def stage_says(self, leg: Leg, text: str) -> None:
        """What it is doing now, where it tells."""

    def stage_ends(self, leg: Leg, stage: Stage) -> None:
        """A stage of it is over."""

    def leg_ends(self, record: RunRecord) -> None:
        """The leg is over; this is its record."""


def run_leg(order: Order, observer: Observer) -> RunRecord:
    """Runs the stages that are asked for, each to its end or to the first that does not pass.

    Never raises for what happens to a leg: that is in the record, an interrupt too. :class:`InterruptedRun` is raised
    by a leg that had not begun.
    """
    _refuse_when_interrupted()
    run = _LegRun(order, observer)
    observer.leg_begins(order.leg)
    try:
        with order.layout.alone(order.leg.id) as held:
            run.begin(held)
            try:
                for name, step in run.steps():
                    if name in order.stages and not run.stage(name, step):
                        break
            finally:
                run.close()
            run.end()
    # The leg's lock could not be had: the record on disk is another run's, or there is no disk to write to.
    except InterruptedRun:
        run.note(status="broken", reason="interrupted before it began")
        raise
    except CiEnvsError as error:
        run.note(status="broken", reason=_sentence(error))
    except OSError as error:
        run.note(status="broken", reason=_os_sentence(error))
    finally:
        observer.leg_ends(run.record)
    return run.record


def _refuse_when_interrupted() -> None:
    if command.stopping():
        raise InterruptedRun("stopped before it began")


@dataclass
class _LegRun:
    """One leg on its way: what the stages hand each other, and the record so far."""

    order: Order
    observer: Observer
    hold: tuple[int, ...] = ()
    record: RunRecord = field(init=False)
    previous: RunRecord | None = None
    pattern: Pattern | None = None
    work: Work | None = None
    lock: Lock | None = None
    built: Built | None = None
    #: Whether something of the project's ran in the environment.
    ran: bool = False
    #: Whether the record on disk is this run's. A run that finds nothing to do leaves the last one there to its end.
    begun: bool = False

    def __post_init__(self) -> None:
        self.record = RunRecord(
            leg=self.order.leg,
            status="broken",
            reason="not finished",
            started=_now(),
            ci_envs=__version__,
            machine=machine.facts(),
            job=self.order.job,
            reproduce=self.order.reproduce,
        )

    def begin(self, held: tuple[int, ...]) -> None:
        """Once the leg's lock is ours: what the run before has left."""
        layout, leg_id = self.order.layout, self.order.leg.id
        self.hold = held
        # One that cannot be read is not ours to trust: everything is done anew.
        self.previous = find_record(layout.record(leg_id))
        remove_tree(layout.temp(leg_id))
        self.begun = self.previous is None or self.previous.status != "passed"

    def begins(self) -> None:
        """Something is about to be changed: from here on a killed run must not be taken for the last whole one."""
        self.begun = True
        self.write()

    def steps(self) -> tuple[tuple[StageName, Callable[[], str]], ...]:
        """The pipeline."""
        return tuple(zip(STAGES, (self.detect, self.make_lock, self.build, self.check, self.test), strict=True))

    def detect(self) -> str:
        """Who builds it, from what, with which interpreter."""
        self.pattern, self.work, evidence = prepare(self.order)
        self.work.begins = self.begins
        self.work.progress = partial(self.observer.stage_says, self.order.leg)
        self.work.hold = self.hold
        chosen = self.work.selection
        selection = SelectionFacts(
            groups=chosen.groups, extras=chosen.extras, files=chosen.files, evidence=chosen.evidence
        )
        self.note(evidence=evidence, selection=selection)
        if chosen.unread:
            message = f"only tox can read {'; '.join(chosen.unread[:5])}: what it asks for is not installed"
            self.work.find(
                "LOCK006", "warning", "tox lines not read", message, file=chosen.beside[0] if chosen.beside else ""
            )
        return ", ".join(list(dict.fromkeys(e.file for e in evidence))[:3])

    def make_lock(self) -> str:
        """The lock, in sync as the policy asks."""
        pattern, work = self.ready()
        self.lock = lock = pattern.lock(self.order.leg, work)
        for name in lock.files:
            discard_part(work.project.path(name))
        self.note(
            lock=LockFacts(
                path=lock.path,
                format=lock.format,
                sha256=lock.sha256,
                digest=lock.digest,
                more=lock.more,
                pins=lock.pins,
            )
        )
        return next((f.message for f in work.findings if f.code == "LOCK003"), f"{len(lock.pins)} pins of {lock.path}")

    def build(self) -> str:
        """The environment, from the lock alone; kept where nothing it depends on has changed."""
        pattern, work = self.ready()
        lock = self.locked()
        self.built = built = build(pattern, self.order, lock, work)
        self.note(
            environment=EnvironmentFacts(
                path=work.layout.shown(built.prefix) if built.prefix else "",
                image=built.facts.image.name if built.facts.image else "",
                python=built.inventory.interpreter.version,
                digest=built.facts.digest,
                bytes=built.facts.bytes,
                files=built.facts.files,
            ),
            image=built.facts.image,
            closure=built.closure,
            inventory=built.inventory.distributions,
            inputs=built.inputs,
        )
        return built.why

    def check(self) -> str:
        """The health check."""
        _, work = self.ready()
        said = check(self.order, work, self.locked(), self.environment(), self.previous)
        self.ran = not said.endswith("unchanged")
        return said

    def test(self) -> str:
        """The project's own tests."""
        _, work = self.ready()
        from ci_envs import testing  # a run without tests need not know how

        self.begins()
        built = self.environment()
        counts, error = testing.run_tests(
            work,
            self.locked(),
            built.environment,
            workers=self.order.workers,
            installed=frozenset(d.name for d in built.inventory.distributions if d.manager == "python"),
        )
        self.ran = True
        self.note(tests=counts)
        if error is not None:
            raise error
        return testing.told(counts)

    def stage(self, name: StageName, step: Callable[[], str]) -> bool:
        """Runs one stage and writes the record; whether the next may run."""
        self.observer.stage_begins(self.order.leg, name)
        if self.work is not None:
            self.work.stage = name
        began = time.monotonic()
        status, reason, error = self.attempt(name, step)
        stage = Stage(
            name=name,
            status=status,
            reason=reason,
            seconds=round(time.monotonic() - began, 3),
            exit_code=error.exit_code if error and status in ("failed", "broken") else 0,
        )
        self.note(stages=(*self.record.stages, stage), reason=f"not finished: {name} was the last stage")
        if error is not None and (status == "failed" or isinstance(error, ToolMissing)):
            self.point_at(error)
        self.gather()
        if self.begun or status != "passed":
            self.begins()
        self.observer.stage_ends(self.order.leg, stage)
        return status == "passed"

    def attempt(self, name: StageName, step: Callable[[], str]) -> tuple[Status, str, CiEnvsError | None]:
        """What became of a stage: every way that it can end has a name."""
        try:
            _refuse_when_interrupted()
            log = self.order.layout.log(self.order.leg.id, name)
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_bytes(b"")
            return "passed", step(), None
        except InterruptedRun as error:
            return "broken", f"interrupted: {error}", error
        except CiEnvsError as error:
            status, said = _status(error), _sentence(error)
            # Whatever failed, and says what it will: nobody can tell the project's faults from the disk's now.
            full = status == "failed" and self.disk_is_full()
            return ("broken", f"the disk is full: {said}", error) if full else (status, said, error)
        except OSError as error:
            return "broken", _os_sentence(error), None
        except Exception as error:  # noqa: BLE001 - one leg's bug must not end the others; the log has its trace
            trace = self.order.layout.log(self.order.leg.id, f"{name}.trace")
            with contextlib.suppress(OSError):
                write_atomically(trace, traceback.format_exc().encode())
            where = self.order.layout.shown(trace)
            return "broken", f"unexpected {type(error).__name__}: {error}; a bug in ci-envs: {where} shows where", None

    def point_at(self, error: CiEnvsError) -> None:
        """Makes an error that names a file a finding there, so that it can be shown beside the line."""
        known = self.work.findings if self.work is not None else ()
        found = error_finding(error, self.order.leg.id, known, self.record.evidence)
        if found is None:
            return
        if self.work is not None:
            self.work.findings.append(found)
        else:
            self.note(findings=(found,))

    def disk_is_full(self) -> bool:
        """Whether one of the disks that a leg writes to has no room left."""
        folders = (self.order.layout.state, self.order.project_folder, cache_root(self.order.environ))
        return any(has_no_room(folder) for folder in folders if folder.exists())

    def close(self) -> None:
        """Lets go of what the environment holds: a container ends here."""
        if self.built is not None:
            self.built.environment.__exit__(None, None, None)

    def end(self) -> None:
        """The verdict over all stages. A test stage that had nothing to run takes nothing from the others."""
        if self.ran and self.built is not None and self.work is not None:
            self.work.findings += changed_since_built(self.built)
        self.forget_bad_bytecode()
        self.gather()
        stages = self.record.stages
        bad = next((stage for stage in stages if stage.status in ("failed", "broken")), None)
        skipped = next((stage for stage in stages if stage.status == "skipped" and stage.name != "test"), None)
        self.note(
            status=worst([stage.status for stage in stages if stage.name != "test" or stage.status != "skipped"]),
            reason=f"{bad.name}: {bad.reason}" if bad else skipped.reason if skipped else _unrun_test(stages),
        )
        problem = self.write()
        if problem and not bad:  # nobody who reads records would learn of this leg
            self.note(status="broken", reason=f"the record cannot be written: {problem}")

    def forget_bad_bytecode(self) -> None:
        """Bytecode that may end too early goes: Python meets it again and again, and never mends it.

        Before 3.12.8 and 3.13.1 it took a write that a full disk cut short for a whole one (python/cpython#126606).
        """
        layout, leg_id = self.order.layout, self.order.leg.id
        logs = [layout.log(leg_id, s.name) for s in self.record.stages if s.status == "failed"]
        if self.built is not None and (self.disk_is_full() or any(b"marshal data" in _end_of(log) for log in logs)):
            with contextlib.suppress(OSError):
                remove_tree(layout.bytecode(leg_id, ""))

    def gather(self) -> None:
        """What the workbench has collected, into the record."""
        if self.work is not None:
            work = self.work
            self.note(findings=tuple(work.findings), tools=dict(work.tools), extra=dict(work.extra))

    def ready(self) -> tuple[Pattern, Work]:
        """What the detect stage found."""
        if self.pattern is None or self.work is None:
            self.detect()
        assert self.pattern is not None and self.work is not None  # noqa: S101, PT018 - detect() set both or raised
        return self.pattern, self.work

    def locked(self) -> Lock:
        """The lock, also where the lock stage was not asked for."""
        if self.lock is None:
            self.make_lock()
        assert self.lock is not None  # noqa: S101 - make_lock() set it or raised
        return self.lock

    def environment(self) -> Built:
        """The environment, also where the build stage was not asked for."""
        if self.built is None:
            self.build()
        assert self.built is not None  # noqa: S101 - build() set it or raised
        return self.built

    def note(self, **facts: object) -> None:
        """Puts facts into the record."""
        self.record = msgspec.structs.replace(self.record, **facts)

    def write(self) -> str:
        """The record on disk, whole; why it is not there where that cannot be.

        The record of an older run then goes: it would speak for this one, and its room may be all that is missing.
        """
        self.note(written=_now())
        if not self.order.recorded:
            return ""
        path = self.order.layout.record(self.order.leg.id)
        try:
            write_record(path, self.record)
        except OSError:
            try:
                path.unlink(missing_ok=True)
                write_record(path, self.record)
            except OSError as error:
                return _os_sentence(error)
        return ""


def _end_of(log: Path) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _READ_BYTES))
            return file.read()
    except OSError:
        return b""


def _unrun_test(stages: tuple[Stage, ...]) -> str:
    return next((f"tests skipped: {s.reason}" for s in stages if s.name == "test" and s.status == "skipped"), "")


def _status(error: CiEnvsError) -> Status:
    if isinstance(error, Skip):
        return "skipped"
    return "broken" if isinstance(error, BrokenError | ToolMissing | InterruptedRun) else "failed"


def _sentence(error: CiEnvsError) -> str:
    said = str(error)
    stop = "" if said.endswith((".", "?", "!")) else "."
    hint = error.hint if error.hint.startswith("ci-envs ") else f"{error.hint[:1].upper()}{error.hint[1:]}"
    return f"{said}{stop} {hint}" if error.hint else said


def _os_sentence(error: OSError) -> str:
    if disk_is_full(error):
        return f"the disk is full: {error.filename or error.strerror}"
    return f"the file system refused {error.filename or 'an operation'}: {error.strerror or error}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
