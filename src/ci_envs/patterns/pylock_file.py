"""``pylock.toml`` (PEP 751) as a project's lock: read as any tool wrote it, and written by uv.

https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.detect import python_wanted
from ci_envs.errors import LockError
from ci_envs.locks.changes import changed_pins
from ci_envs.locks.insync import in_sync
from ci_envs.locks.pylock import read_pylock
from ci_envs.locks.scrub import scrub_pylock
from ci_envs.model.lock import Lock
from ci_envs.patterns.installing import uv
from ci_envs.patterns.requirement_locks import inputs_of, not_solved, refuse_changes, stale_error, unsatisfied

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_envs.locks.insync import Stale
    from ci_envs.locks.reading import ReadLock
    from ci_envs.model.leg import Leg
    from ci_envs.work import Work

__all__ = ["NAME", "lock_pylock"]

NAME = "pylock.toml"


def lock_pylock(leg: Leg, work: Work, selected: Sequence[str]) -> Lock:
    """The project's ``pylock.toml`` as the policy asks; one file serves every Python and platform.

    ``selected`` are uv's words for the leg's groups and extras: where there is a uv.lock, it is exported from that.
    """
    mode, exists = work.policy.mode, work.project.exists(NAME)
    if not exists and mode in ("locked", "frozen"):
        raise LockError(f"there is no lock for {leg.id}", file=NAME, hint=f"make it with: {work.lock_command()}")
    with work.alone(f"project-{work.project_key}"):
        stale = _stale(work) if exists and mode in ("locked", "auto") else ()
        if stale and mode == "locked":
            raise stale_error(work, stale)
        if not exists or stale or mode == "update":
            _make(leg, work, selected, upgrade=mode == "update")
        elif work.policy.solve:
            _refuse_what_is_resolved_otherwise(leg, work, selected)
    return Lock(
        path=NAME,
        format="pylock",
        sha256=work.file_digest(NAME),
        pins=_read(work).lock.pins,
        direct=work.direct,
    )


def _read(work: Work) -> ReadLock:
    return read_pylock(work.project.text(NAME) or "", path=NAME, markers=work.interpreter.markers)


def _stale(work: Work) -> tuple[Stale, ...]:
    """What its pins do not satisfy: nothing in it tells what asked for a pin, so none can be called unneeded."""
    return in_sync(
        _read(work), work.direct, markers=work.interpreter.markers, constraints=work.selection.constraints
    ).stale


def _refuse_what_is_resolved_otherwise(leg: Leg, work: Work, selected: Sequence[str]) -> None:
    selection = work.selection
    if not (selection.files or selection.lines or selection.dynamic or work.project.exists("uv.lock")):
        not_solved(work, NAME)
        return
    text = _compiled(leg, work, selected, upgrade=False)
    new = read_pylock(text, path=NAME, markers=work.interpreter.markers)
    refuse_changes(work, NAME, changed_pins(_read(work).lock, new.lock))


def _make(leg: Leg, work: Work, selected: Sequence[str], *, upgrade: bool) -> None:
    work.begins()
    work.keep_lock(NAME, _compiled(leg, work, selected, upgrade=upgrade))


def _compiled(leg: Leg, work: Work, selected: Sequence[str], *, upgrade: bool) -> str:
    """The file's text as uv makes it today."""
    before = work.project.text(NAME)
    with tempfile.TemporaryDirectory(dir=work.temp) as name:
        # uv keeps the pins of a file that is there, and takes only this name for a pylock.
        output = Path(name) / NAME
        if before is not None:
            output.write_text(before, encoding="utf-8", newline="")
        outcome = uv(work, *_words(work, selected, Path(name), upgrade=upgrade), "--output-file", output)
        if not outcome:
            raise unsatisfied(work, outcome)
        header = f"# Made by ci-envs; renew with: ci-envs lock --only '{leg.id}'\n"
        return scrub_pylock(output.read_text(encoding="utf-8"), header=header, path=NAME)


def _oldest(work: Work) -> list[str]:
    """A lock for every Python begins with the oldest that the project asks for; else with this leg's."""
    wanted = python_wanted(work.project)
    return [f"--python-version={wanted[0]}"] if wanted and wanted[1].key == "project.requires-python" else []


def _words(work: Work, selected: Sequence[str], folder: Path, *, upgrade: bool) -> list[str | Path]:
    common: list[str | Path] = ["--format", NAME, "--no-header", "--quiet", "--python", work.interpreter.executable]
    newer = ["--exclude-newer", work.policy.as_of] if work.policy.as_of else []
    if work.project.exists("uv.lock") and not upgrade:
        return ["export", "--frozen", "--no-emit-project", *common, *selected]
    words = ["pip", "compile", "--universal", "--generate-hashes", *common, *newer, *_oldest(work)]
    return [*words, *(["--upgrade"] if upgrade else []), *inputs_of(work, folder)]
