"""The lock verb of pattern ``guix``: ``channels.scm``, with a commit for each channel.

guix makes it, by ``guix describe`` of itself or of what the tips of the channels' branches are now
(https://guix.gnu.org/manual/en/html_node/Invoking-guix-describe.html, .../Invoking-guix-time_002dmachine.html).
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from ci_envs.errors import LockError
from ci_envs.guix.building import manifest_file
from ci_envs.guix.failures import failure_of, lock_error
from ci_envs.guix.tool import find_guix, run_guix
from ci_envs.locks.guix_channels import NotLiteralError, read_channels, written_without_commits
from ci_envs.model.lock import Lock
from ci_envs.patterns.requirement_locks import not_solved

if TYPE_CHECKING:
    from ci_envs.locks.guix_channels import Channel
    from ci_envs.model.leg import Leg
    from ci_envs.model.record import Severity
    from ci_envs.work import Work

__all__ = ["lock_guix"]

NAME = "channels.scm"

_DESCRIBE = ("describe", "--format=channels")


def lock_guix(leg: Leg, work: Work) -> Lock:  # noqa: ARG001 - the channels are those of all legs
    """The channels that the leg's packages come from, as the policy asks.

    Raises :class:`LockError` where there is no such file and none may be made, and, in ``locked`` mode, where a channel
    is at no commit; :class:`ci_envs.errors.BrokenError` where the world failed.
    """
    manifest_file(work.project, work.config.guix)
    name, mode = work.config.guix.channels or NAME, work.policy.mode
    if work.project.text(name) is None and mode in ("locked", "frozen"):
        hint = f"make it with: {work.lock_command()}, or: guix {shlex.join(_DESCRIBE)} > {shlex.quote(name)}"
        raise LockError("there is no file that says which commits the channels are at", file=name, hint=hint)
    if work.project.text(name) is None or mode == "update":
        _write(work, name)
    if work.policy.solve and mode == "locked":
        not_solved(work, name)
    return Lock(
        path=name,
        format="channels.scm",
        sha256=work.file_digest(name),
        pins=tuple(sorted(one.pin for one in _read(work, name))),
        covers=("guix",),
        direct=work.selection.direct,
    )


def _write(work: Work, name: str) -> None:
    """One writer at a time: the legs of a project share the file."""
    with work.alone(f"project-{work.project_key}"):
        before = work.project.text(name)
        work.project.forget(name)  # another leg may have made it meanwhile
        if before is None and work.project.text(name) is not None:
            return
        work.begins()
        told = _described(work, name, work.project.text(name))
        work.keep_lock(name, told)
    if work.policy.as_of:
        message = f"guix locks what is there now, and not what was there at {work.policy.as_of}: name commits yourself"
        work.find("GUIX004", "warning", "newer than asked for", message, file=name)


def _described(work: Work, name: str, before: str | None) -> str:
    """What guix says of itself where no channel is named yet, else of the tips of the branches that are."""
    guix, tips = find_guix(work.environ), work.temp / NAME
    work.tools["guix"] = guix.version
    if before is not None:
        tips.write_text(_at_tips(before, name), encoding="utf-8")
    outcome = run_guix(work, guix, *_DESCRIBE, at="" if before is None else str(tips), builds=False)
    tips.unlink(missing_ok=True)
    if not outcome:
        raise lock_error(failure_of(outcome, work))
    try:
        read_channels(outcome.stdout)
    except NotLiteralError as error:
        raise LockError(f"what guix describe said cannot be read: {error}") from error
    return outcome.stdout


def _at_tips(text: str, name: str) -> str:
    try:
        return written_without_commits(read_channels(text))
    except NotLiteralError as error:
        hint = f"name commits yourself, or write what this prints: {_at(name)}"
        raise LockError(f"cannot be renewed: {error}", file=name, line=error.line, hint=hint) from error


def _read(work: Work, name: str) -> tuple[Channel, ...]:
    """The channels, with a finding for each of which it is not known that it is at a commit."""
    try:
        channels = read_channels(work.project.text(name) or "")
    except NotLiteralError as error:
        hint = f"write what this prints: {_at(name)}"
        _say(work, _Open("GUIX002", f"it cannot be seen that each channel is at a commit: {error}", error.line, hint))
        return ()
    for one in channels:
        if not one.is_fixed:
            said = f"at {one.commit}, which is no whole commit" if one.commit else "at no commit"
            hint = f"{work.lock_command('--upgrade')} writes one"
            _say(work, _Open("GUIX001", f"the channel {one.name} is {said}", one.line, hint))
    return channels


class _Open(NamedTuple):
    """What the file leaves open."""

    code: str
    message: str
    line: int
    hint: str


def _say(work: Work, found: _Open) -> None:
    """:class:`LockError` in ``locked`` mode, since it cannot be built again on another day."""
    code, message, line, hint = found
    name, is_error = work.config.guix.channels or NAME, work.policy.mode == "locked"
    severity: Severity = "error" if is_error else "warning"
    work.find(code, severity, "channels are not pinned", f"{message}; {hint}", file=name, line=line)
    if is_error:
        raise LockError(message, file=name, line=line, hint=hint)


def _at(name: str) -> str:
    return f"guix time-machine -C {shlex.quote(name)} -- {shlex.join(_DESCRIBE)}"
