"""Requirements files as locks: where they lie, whether they are in sync, and how they are made anew.

The patterns differ only in the compiler: pip-compile or ``uv pip compile``.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ci_envs.errors import LockError
from ci_envs.locks.changes import changed_pins
from ci_envs.locks.insync import direct_extras, in_sync
from ci_envs.locks.requirements import classify, read_requirements
from ci_envs.locks.scrub import header_for, scrub_requirements
from ci_envs.model.lock import Lock, Requirement
from ci_envs.patterns.by_hand import names_everything
from ci_envs.patterns.unsatisfied import tell_missing_extras, unsatisfied
from ci_envs.requirement_files import read_requirements as read_intent
from ci_envs.selection import kept_by_hand

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ci_envs.command import Outcome
    from ci_envs.locks.insync import Stale, Verdict
    from ci_envs.locks.reading import ReadLock
    from ci_envs.model.leg import Leg
    from ci_envs.work import Work

__all__ = [
    "Compiler",
    "inputs_of",
    "lock_requirements",
    "not_solved",
    "own_lock_path",
    "refuse_changes",
    "stale_error",
    "unsatisfied",
]


# What is left of "-e file:///home/me/project[dev]" and of "project @ file:///home/me/project" when it is scrubbed.
_PROJECT_LINE = re.compile(r"(-e\s+)?\.(\[[^\]]*\])?\s*(;.*|\\)?$")


class Compiler(Protocol):
    """Writes ``output`` from ``inputs``; pins that are in ``output`` already are kept unless ``upgrade`` is set."""

    def __call__(self, work: Work, inputs: tuple[Path, ...], output: Path, *, upgrade: bool) -> Outcome:
        """How the compiler ended; its sentence is read where it failed."""


@dataclass(frozen=True, slots=True)
class _Target:
    """One lock file, and what it is made from and held against. Without inputs it is kept by hand."""

    path: str
    files: tuple[str, ...] = ()
    #: Requirements that stand in no requirement file, by where they stand.
    lines: dict[str, list[str]] = field(default_factory=dict)
    dynamic: str = ""
    direct: tuple[Requirement, ...] = ()
    constraints: tuple[Requirement, ...] = ()


def own_lock_path(leg: Leg) -> str:
    """``locks/venv-py312-linux-x86_64.txt``: one lock for one pattern, Python, platform, groups and resolution."""
    words = [leg.pattern, leg.python_tag, leg.os, leg.arch]
    words += [leg.accelerator] if leg.accelerator != "cpu" else []
    words += [".".join(leg.groups)] if leg.groups else []
    words += [leg.resolution] if leg.resolution != "highest" else []
    return f"locks/{'-'.join(words)}.txt"


def lock_requirements(leg: Leg, work: Work, compiler: Compiler) -> Lock:
    """The leg's requirements lock as the policy asks: checked, made, renewed or taken as it is."""
    mode = work.policy.mode
    if _is_by_hand(leg, work):
        # There is no intent that it could be held against.
        if work.policy.solve:
            not_solved(work, work.selection.files[0])
        return _lock_of(work, tuple(_Target(name) for name in work.selection.files))
    targets = _targets(leg, work)
    missing = [target.path for target in targets if not work.project.exists(target.path)]
    if missing and mode in ("locked", "frozen"):
        raise LockError(f"there is no lock for {leg.id}", file=missing[0], hint=f"make it with: {work.lock_command()}")
    with work.alone(f"project-{work.project_key}"):
        stale = [] if missing or mode in ("frozen", "update") else _stale(work, targets)
        if stale and mode == "locked":
            raise stale_error(work, stale)
        if missing or stale or mode == "update":
            for target in targets:
                _make(leg, work, compiler, target, upgrade=mode == "update")
            if stale := _stale(work, targets):
                raise stale_error(work, stale)
        elif work.policy.solve:
            _refuse_what_is_resolved_otherwise(leg, work, compiler, targets)
    return _lock_of(work, targets)


def _is_by_hand(leg: Leg, work: Work) -> bool:
    """Whether the project's files are the lock: pinned by a person to the last one, and none of ours beside them."""
    if work.project.exists(own_lock_path(leg)) or not kept_by_hand(work.project, work.selection):
        return False
    return work.policy.mode in ("locked", "frozen") or names_everything(work, work.selection.files)


def _targets(leg: Leg, work: Work) -> tuple[_Target, ...]:
    """The project's own few files (``requirements.txt``, ``requirements-dev.txt``) or one file of the leg's own."""
    selection, own = work.selection, own_lock_path(leg)
    if not work.project.exists(own) and leg.resolution == "highest" and not leg.groups and _has_few(work):
        return tuple(_few(work, name) for name in selection.files)
    return (_Target(own, selection.files, selection.lines, selection.dynamic, selection.direct, selection.constraints),)


def _has_few(work: Work) -> bool:
    """Whether each intent file has its compiled one beside it, as pip-tools' documentation lays them out."""
    selection = work.selection
    if not selection.files or selection.lines or selection.dynamic:
        return False
    if not all(name.endswith(".in") and _suits(work, _beside(name)) for name in selection.files):
        return False
    # Compiled one by one they may differ, and are then no one environment.
    return not _conflict([_read(work, _beside(name)) for name in selection.files])


def _few(work: Work, name: str) -> _Target:
    read = read_intent(work.project, name)
    return _Target(_beside(name), (name,), direct=tuple(read.requirements), constraints=tuple(read.constraints))


def _beside(intent: str) -> str:
    return f"{intent.removesuffix('.in')}.txt"


def _suits(work: Work, name: str) -> bool:
    """Whether it is a lock, and not said to be another Python's."""
    text = work.project.text(name)
    if text is None or classify(text) == "intent":
        return False
    return _read(work, name).made.python in ("", work.leg.python)


def _read(work: Work, name: str) -> ReadLock:
    text = work.project.text(name)
    if text is None:
        raise LockError("there is no such lock", file=name)
    known = work.parsed.get(name)
    if known is None or known[0] != text:
        digest = work.file_digest(name)
        known = text, read_requirements(text, path=name, markers=work.interpreter.markers, sha256=digest)
        work.parsed[name] = known
    return known[1]


def _stale(work: Work, targets: tuple[_Target, ...]) -> list[Stale]:
    """What of the intent the files do not satisfy, and what in them nobody asks for any more."""
    return [stale for target in targets for stale in _verdict(work, target).stale]


def _verdict(work: Work, target: _Target) -> Verdict:
    read = _read(work, target.path)
    direct = target.direct
    if target.dynamic:
        direct += tuple(_told_by_build(read, target.dynamic))
    return in_sync(
        read,
        direct,
        markers=work.interpreter.markers,
        constraints=target.constraints,
        project=work.selection.project,
    )


def _told_by_build(read: ReadLock, file: str) -> Iterator[Requirement]:
    """The direct dependencies of a project that only its build knows, as the lock's annotations have them."""
    for name, said in read.via.items():
        if any(one.endswith((f"({file})", f"-r {file}")) for one in said):
            yield Requirement(text=name, name=name, file=file)


def stale_error(work: Work, stale: Sequence[Stale], *flags: str) -> LockError:
    """Which requirement is not satisfied by which pin, and the command that mends it, with its flags."""
    shown = "; ".join(item.message for item in stale[:5]) + (f"; and {len(stale) - 5} more" if len(stale) > 5 else "")
    first = stale[0]
    place = f"{first.file}:{first.line}: " if first.line else f"{first.file}: "
    return LockError(
        f"{shown.removeprefix(place)}; the lock is stale",
        hint=f"renew it with: {work.lock_command(*flags)}",
        file=first.file,
        line=first.line,
    )


def refuse_changes(work: Work, path: str, found: Sequence[Stale]) -> None:
    """:class:`LockError` where a new resolution changed something; each change is a finding."""
    for one in found:
        work.find("LOCK036", "error", "resolved otherwise today", one.message, file=path)
    if found:
        # What judging does not see, a plain `lock` does not renew.
        raise stale_error(work, found, "--upgrade")


def not_solved(work: Work, path: str) -> None:
    """Notes that there was nothing to resolve anew from."""
    message = f"nothing says what {path} could be made from anew: it was judged by itself"
    work.find("LOCK007", "info", "not solved", message, file=path)


def _refuse_what_is_resolved_otherwise(leg: Leg, work: Work, compiler: Compiler, targets: tuple[_Target, ...]) -> None:
    """What judging cannot see: a pin that its parent refuses, a release that is gone."""
    for target in targets:
        text = _compiled(leg, work, compiler, target, upgrade=False)
        new = read_requirements(text, path=target.path, markers=work.interpreter.markers, sha256="")
        refuse_changes(work, target.path, changed_pins(_read(work, target.path).lock, new.lock))


def _make(leg: Leg, work: Work, compiler: Compiler, target: _Target, *, upgrade: bool) -> None:
    work.begins()
    work.keep_lock(target.path, _compiled(leg, work, compiler, target, upgrade=upgrade))


def _compiled(leg: Leg, work: Work, compiler: Compiler, target: _Target, *, upgrade: bool) -> str:
    """The lock's text as a compiler makes it today; the pins that it has are kept where they fit."""
    with tempfile.TemporaryDirectory(dir=work.temp) as name:
        folder = Path(name)
        output = folder / "compiled.txt"
        output.write_text(work.project.text(target.path) or "", encoding="utf-8", newline="")
        stand_ins = _stand_ins(target.lines, folder)
        inputs = (*map(work.project.path, target.files), *stand_ins, *_dynamic(target.dynamic))
        outcome = compiler(work, inputs, output, upgrade=upgrade)
        if not outcome:
            raise unsatisfied(work, outcome)
        tell_missing_extras(work, outcome)
        text = scrub_requirements(
            output.read_text(encoding="utf-8"),
            header=header_for(leg.id, direct_extras(target.direct, work.interpreter.markers)),
            root=str(work.project.root),
            # pip-compile repeats an absolute path as it is, uv makes it relative to where it runs.
            names={form: stand_ins[path] for path in stand_ins for form in (str(path), _relative(path, work))},
            path=target.path,
        )
    return without_project(text)


def without_project(text: str) -> str:
    """The lock without the project itself, which ``-e .[dev]`` in a requirements file has put there.

    It has no hash, and is no part of what a lock fixes; it is installed apart, and what it needs was locked with it.
    """
    kept: list[str] = []
    dropping = False
    for line in text.splitlines(keepends=True):
        dropping = _PROJECT_LINE.match(line) is not None or (dropping and line[:1].isspace())
        if not dropping:
            kept.append(line)
    return "".join(kept)


def inputs_of(work: Work, folder: Path) -> tuple[Path, ...]:
    """Files for a compiler with everything that the leg asks for; what stands in none is put into ``folder``."""
    selection = work.selection
    stand_ins = _stand_ins(selection.lines, folder)
    return (*map(work.project.path, selection.files), *stand_ins, *_dynamic(selection.dynamic))


def _dynamic(file: str) -> tuple[Path, ...]:
    """By its name in the folder where the compiler runs: it is repeated in the lock as it is given."""
    return (Path(file),) if file else ()


def _stand_ins(lines: dict[str, list[str]], folder: Path) -> dict[Path, str]:
    """Files for a compiler with the requirements that stand in none, each with the file that they do stand in."""
    made = {}
    for number, (origin, texts) in enumerate(lines.items()):
        path = folder / f"lines-{number}.in"
        path.write_text("\n".join(texts) + "\n", encoding="utf-8", newline="")
        made[path] = origin
    return made


def _relative(path: Path, work: Work) -> str:
    return Path(os.path.relpath(path, work.project.root)).as_posix()


def _lock_of(work: Work, targets: tuple[_Target, ...]) -> Lock:
    reads = [_read(work, target.path) for target in targets]
    if conflict := _conflict(reads):
        raise LockError(
            conflict,
            file=targets[-1].path,
            hint=f"write -c {targets[0].path} into {' and '.join(t.files[0] for t in targets[1:] if t.files)}",
        )
    digest = hashlib.sha256()
    for target in targets:
        digest.update(work.project.path(target.path).read_bytes())
    pins = {pin.name: pin for read in reads for pin in read.lock.pins}
    direct = work.direct
    if work.selection.dynamic:
        direct += tuple(r for read in reads for r in _told_by_build(read, work.selection.dynamic))
    return Lock(
        path=targets[0].path,
        more=tuple(target.path for target in targets[1:]),
        format="requirements",
        sha256=digest.hexdigest(),
        pins=tuple(sorted(pins.values())),
        direct=direct,
    )


def _conflict(reads: Sequence[ReadLock]) -> str:
    """Where one file pins what another pins otherwise; empty where they agree."""
    first: dict[str, tuple[str, str]] = {}
    for read in reads:
        for pin in read.lock.pins:
            version, where = first.setdefault(pin.name, (pin.version, read.where(pin.name)))
            if version != pin.version:
                return f"{pin.name}=={version} of {where} and {pin.name}=={pin.version} of {read.where(pin.name)}"
    return ""
