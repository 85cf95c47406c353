"""The lock verb of pattern ``nix``: flake.lock as nix keeps it, or the pins that the other forms hold.

nix alone makes, completes and renews flake.lock, and says whether it is in sync. The other forms have nothing that
could be made: where they leave something open, a finding has the line to write.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ci_envs.errors import LockError, UsageError
from ci_envs.layout import write_atomically
from ci_envs.locks.flake_lock import NAME as FLAKE_LOCK
from ci_envs.locks.flake_lock import read_flake_lock
from ci_envs.locks.nix_pins import PLACES, read_pins
from ci_envs.locks.nix_sources import read_json
from ci_envs.model.lock import Lock
from ci_envs.nearest import nearest
from ci_envs.nix.described import FILES, describe, described_file, inputs_said
from ci_envs.nix.expressions import numbered, parse_file, read_expressions
from ci_envs.nix.failures import Failure, failure_of, lock_error
from ci_envs.nix.flake_copy import as_nix_copies_it
from ci_envs.nix.open_uses import say_open
from ci_envs.nix.tool import find_nix, run_nix
from ci_envs.patterns.requirement_locks import not_solved
from ci_envs.settings import NIX_INPUTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci_envs.errors import CiEnvsError
    from ci_envs.locks.flake_lock import FlakeInput, FlakeLock
    from ci_envs.locks.nix_pins import ReadPins
    from ci_envs.model.config import Config
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Pin, Requirement
    from ci_envs.nix.described import Description
    from ci_envs.nix.expressions import Expressions
    from ci_envs.nix.tool import Nix
    from ci_envs.project import Project
    from ci_envs.work import Work

__all__ = ["lock_nix", "read_lock_only"]

#: What one message names of many.
_SHOWN = 5

_STALE = "does not match the inputs of flake.nix"


def lock_nix(leg: Leg, work: Work) -> Lock:
    """What the leg's shell is built from, as the policy asks.

    Raises :class:`LockError` where flake.lock is missing, stale or unreadable, or where, in ``locked`` mode, something
    is pinned by nothing; :class:`ci_envs.errors.BrokenError` where the world failed.
    """
    described = describe(leg, work.project, work.config.nix)
    return _lock_flake(work, described) if described.kind == "flake" else _lock_expressions(work, described)


def read_lock_only(project: Project, config: Config, *, direct: tuple[Requirement, ...] = ()) -> Lock:
    """The same without nix, of what is committed: for a leg that is built where nix is, and not here.

    Nothing is judged, and of a description that is no flake only the usual files of pins are seen.
    """
    file, _ = described_file(project, config.nix)
    if posixpath.basename(file) == FILES[0]:
        name = _beside(file)
        read = _read(project, name)
        if read is None:
            raise _no_lock(name, "ci-envs lock")
        return _lock(project, "flake.lock", [name], read.pins, direct)
    for name in PLACES:
        if (text := project.text(name)) is not None:
            pins = read_pins(text, path=name)
            return _lock(project, pins.tool, [name], pins.pins, direct)
    # A shell.nix beside a flake's lock is flake-compat's.
    read = _read(project, FLAKE_LOCK)
    if read is not None:
        return _lock(project, "flake.lock", [FLAKE_LOCK], read.pins, direct)
    return _lock(project, "nix", [file], (), direct)


# Flakes


def _lock_flake(work: Work, described: Description) -> Lock:
    name, mode = _beside(described.file), work.policy.mode
    exists = _read(work.project, name) is not None  # a lock that is no lock is told by its line
    told = None
    if mode == "update":
        _renew(work, described, name)
    elif mode != "frozen" or not exists:
        told = _judge(work, described, name)
    read = _read(work.project, name)
    known = told or read
    described = _without_unknown(work, described, known.declared if known else ())
    # nix writes none for a flake without inputs.
    names, pins = ([described.file], ()) if read is None else ([name], read.pins)
    lock = _lock(work.project, "flake.lock", names, pins, work.selection.direct)
    if read is not None:
        replaced = dict(described.inputs)
        _say_newer(work, name, read)
        _say_folders(work, name, (one for one in read.inputs if one.pin.name not in replaced))
    _say_replaced(work, described, lock)
    return lock


def _read(project: Project, name: str) -> FlakeLock | None:
    text = project.text(name)
    return None if text is None else read_flake_lock(text, path=name)


def _without_unknown(work: Work, described: Description, declared: tuple[str, ...]) -> Description:
    """Without inputs that flake.nix does not have, of which nix says so in its log alone.

    One that the project's own files name is a slip of the pen; the variable may be meant for another project as well,
    and a lock that is not judged (``frozen``) may lack one.
    """
    unknown = [name for name, _ in described.inputs if name.partition("/")[0] not in declared]
    is_shared = dict(work.config.nix.inputs) == inputs_said(work.environ.get(NIX_INPUTS, ""))
    for name in unknown:
        message = f"{name!r}, which nix.inputs names, is no input of the flake{nearest(name, declared)}"
        if not is_shared and work.policy.mode != "frozen":
            hint = f"it has {', '.join(declared)}" if declared else "it has none"
            raise UsageError(message, file=described.file, hint=hint)
        work.find("NIX010", "warning", "no such input", message, file=described.file)
    return replace(described, inputs=tuple(one for one in described.inputs if one[0] not in unknown))


def _judge(work: Work, described: Description, name: str) -> FlakeLock | None:
    """Leaves flake.lock in sync, as nix itself says it: made or completed where the policy lets us.

    What ``nix.inputs`` replaces is asked of nobody. A lock that differs in that alone is left as it is, and what nix
    goes by in its place is answered.
    """
    nix, read, told = _found(work), _read(work.project, name), None
    metadata: dict[str, Any] = {}
    with as_nix_copies_it(work, nix, described) as seen:
        if seen.inputs:
            failure, metadata = _metadata(work, nix, seen, "--no-write-lock-file", *seen.overrides)
            if failure:
                raise lock_error(failure)
            told = read_flake_lock(json.dumps(metadata.get("locks")), path=name)
        failure = _lacking(told, read) if told else None
        # nix fetches an input that the lock lacks before it says so.
        if failure is None:
            failure, metadata = _metadata(work, nix, seen, "--no-update-lock-file", network=told is None)
    _say_dirty(work, described, metadata)
    if failure is None:
        return None
    if told is None and (failure.kind != "lock" or not failure.file):
        raise lock_error(failure)
    if work.policy.mode in ("locked", "frozen"):
        raise _out_of_sync(work, name, failure, exists=read is not None)
    if told is not None and _but(told, described) == _but(read, described):
        return told
    _write(work, described, name, nix, "lock")
    return None


def _metadata(
    work: Work, nix: Nix, seen: Description, *words: str, network: bool = True
) -> tuple[Failure | None, dict[str, Any]]:
    """Why nix cannot say what the flake is, or what it says."""
    outcome = run_nix(work, nix, "flake", "metadata", seen.reference, "--json", *words, network=network, data=True)
    return (None, read_json(outcome.stdout, seen.file)) if outcome else (failure_of(outcome, work), {})


def _lacking(told: FlakeLock, read: FlakeLock | None) -> Failure | None:
    """That a lock has not all inputs of flake.nix."""
    names = [one for one in told.declared if read is None or one not in read.declared]
    return Failure("lock", f"{_STALE}: it lacks {', '.join(names)}") if names else None


def _but(lock: FlakeLock | None, described: Description) -> set[object]:
    """What a lock says of all inputs but those that are replaced."""
    said = [] if lock is None else [(pin.name, pin) for pin in lock.pins] + list(lock.follows.items())
    return {
        (name, what)
        for name, what in said
        if not any(name == other or name.startswith(f"{other}/") for other, _ in described.inputs)
    }


def _out_of_sync(work: Work, name: str, failure: Failure, *, exists: bool) -> CiEnvsError:
    if not exists:
        return _no_lock(name, work.lock_command())
    sentence = failure.sentence if failure.kind == "lock" else _STALE
    return LockError(sentence, file=name, hint=f"renew it with: {work.lock_command()}")


def _renew(work: Work, described: Description, name: str) -> None:
    nix = _found(work)
    # Until 2.19 what followed was the flake; since then it is names of inputs.
    flag = ("--flake",) if nix.at_least(2, 19) else ()
    _write(work, described, name, nix, "update", *flag)


def _write(work: Work, described: Description, name: str, nix: Nix, *words: str) -> None:
    """One writer at a time: the legs of a project share its flake.lock."""
    with work.alone(f"project-{work.project_key}"):
        work.begins()
        work.project.forget(name)  # another leg may have written it meanwhile
        before = work.project.text(name)
        with as_nix_copies_it(work, nix, described) as seen:
            outcome = run_nix(work, nix, "flake", *words, seen.reference)
            if not outcome:
                raise lock_error(_of_writing(failure_of(outcome, work), described))
            _take_back(work, name, seen, before)
        work.project.forget(name)
    after = work.project.text(name)
    if after is not None and after != before:
        verb = "made" if before is None else "renewed"
        work.find("LOCK003", "info", f"lock {verb}", f"{name} was {verb}: commit it", file=name)


def _take_back(work: Work, name: str, seen: Description, before: str | None) -> None:
    """What nix wrote beside a copy of the flake."""
    written = seen.source / FLAKE_LOCK if seen.source else None
    if written and written.is_file() and (data := written.read_bytes()) != (before or "").encode():
        write_atomically(work.project.path(name), data)


def _of_writing(failure: Failure, described: Description) -> Failure:
    if not (failure.is_worlds and described.inputs):
        return failure
    return replace(failure, hint=f"{failure.hint}; a lock that is written has what nix.inputs replaces, too")


def _no_lock(name: str, command: str) -> LockError:
    return LockError("there is no lock of the flake", file=name, hint=f"make it with: {command}")


def _beside(file: str) -> str:
    return posixpath.join(posixpath.dirname(file), FLAKE_LOCK)


def _say_dirty(work: Work, described: Description, metadata: dict[str, Any]) -> None:
    """A flake of a git repository whose files are no commit's."""
    if str(metadata.get("resolvedUrl", "")).startswith("git+") and not metadata.get("revision"):
        message = "the flake's source is no commit: git tracks files that are changed, and the shell is built from them"
        work.find("NIX004", "warning", "uncommitted changes", message, file=described.file)


def _say_newer(work: Work, name: str, read: FlakeLock) -> None:
    """Inputs from after the instant up to which a lock was to be made: nix cannot be told of it."""
    if not work.policy.as_of:
        return
    instant = datetime.fromisoformat(work.policy.as_of)
    limit = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
    newer = [one for one in read.inputs if one.last_modified > limit]
    if newer:
        days = (f"{one.pin.name} ({datetime.fromtimestamp(one.last_modified, UTC):%Y-%m-%d})" for one in newer[:_SHOWN])
        more = f" and {len(newer) - _SHOWN} more" if len(newer) > _SHOWN else ""
        message = (
            f"{', '.join(days)}{more}: newer than {work.policy.as_of}; nix locks what is there, so name a revision"
        )
        work.find("NIX006", "warning", "newer than asked for", message, file=name, line=newer[0].line)


def _say_folders(work: Work, name: str, inputs: Iterable[FlakeInput]) -> None:
    for one in inputs:
        if one.folder:
            message = f"{one.pin.name} is {one.folder}: the lock can be built only where that folder is"
            work.find("NIX005", "warning", "input of this machine", message, file=name, line=one.line)


# The other forms


def _lock_expressions(work: Work, described: Description) -> Lock:
    nix = _found(work)
    found = read_expressions(work.project, described.file, partial(parse_file, work, nix))
    say_open(work, nix, described, found)
    lock = _of_expressions(work, found)
    _say_replaced(work, described, lock)
    _say_pin_files(work, found.pin_files)
    if work.policy.solve and work.policy.mode == "locked":
        not_solved(work, lock.path)
    return lock


def _of_expressions(work: Work, found: Expressions) -> Lock:
    """All that holds pins is the lock, the files made by tools first."""
    pins: list[Pin] = [pin for file in found.pin_files.values() for pin in file.pins]
    forms = [(name, str(file.tool)) for name, file in found.pin_files.items()]
    if found.flake_lock and (read := _read(work.project, FLAKE_LOCK)) is not None:
        pins += read.pins
        forms.append((FLAKE_LOCK, "flake.lock"))
    pins += [*found.prefetched.values(), *found.pins]
    forms += [(name, "nix") for name in (*found.prefetched, *found.holders)]
    form = forms[0][1] if forms else "nix"
    names = [name for name, _ in forms] or found.files[:1]
    return _lock(work.project, form, names, numbered(pins), work.selection.direct)


def _say_pin_files(work: Work, files: dict[str, ReadPins]) -> None:
    for name, read in files.items():
        for entry, line in read.unfixed.items():
            message = f"{entry} fixes nothing: a folder, or something that was never fetched"
            work.find("NIX008", "warning", "entry without a pin", message, file=name, line=line)
        if work.policy.mode == "update":
            work.find("NIX009", "info", "pins not renewed", f"{read.tool} renews them: `{read.renew}`", file=name)


# Both


def _found(work: Work) -> Nix:
    nix = find_nix(work.environ)
    work.tools["nix"] = nix.version
    return nix


def _lock(project: Project, form: str, names: list[str], pins: Iterable[Pin], direct: tuple[Requirement, ...]) -> Lock:
    names = list(dict.fromkeys(names))
    digest = hashlib.sha256()
    for name in names:
        digest.update(project.path(name).read_bytes())
    return Lock(
        path=names[0],
        more=tuple(names[1:]),
        format=form,
        sha256=digest.hexdigest(),
        pins=tuple(sorted(pins)),
        covers=("nix",),
        direct=direct,
    )


def _say_replaced(work: Work, described: Description, lock: Lock) -> None:
    """What is built is not what is locked where ``nix.inputs`` says so."""
    pins = {pin.name: pin for pin in lock.pins}
    for name, _ in described.inputs:
        pin, given = pins.get(name), work.config.nix.inputs[name]
        what = f" in place of {pin.location} {pin.version}, which is locked" if pin else ", and no lock names it"
        message = f"{name} is {given}, as nix.inputs says{what}"
        work.find("NIX003", "info", "input replaced", message, file=lock.path)
