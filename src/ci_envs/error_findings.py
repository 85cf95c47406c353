"""An error that ended a stage, as a finding at the line of the user's file that it is about. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.errors import BrokenError, BuildError, LockError, ToolMissing, UsageError
from ci_envs.model.record import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_envs.errors import CiEnvsError
    from ci_envs.model.detect import Evidence

__all__ = ["error_finding", "with_advice"]


def error_finding(
    error: CiEnvsError, leg_id: str, known: Sequence[Finding] = (), evidence: Sequence[Evidence] = ()
) -> Finding | None:
    """The finding for an error; ``None`` where it names no file, or an error is ``known`` for its place.

    A tool that is missing is told of at the file that describes what it is needed for, the first ``evidence``. Nothing
    in a finding names the leg: what ends twelve legs in one line is one piece of news.
    """
    if isinstance(error, ToolMissing) and not error.file and evidence:
        message = with_advice(error.message, error.hint, leg_id)
        return Finding(
            code="ENV152", severity="error", title="a tool is missing", message=message, file=evidence[0].file
        )
    if not error.file or isinstance(error, BrokenError):
        return None
    if any((one.severity, one.file, one.line) == ("error", error.file, error.line) for one in known):
        return None
    code, title = _named(error)
    message = with_advice(error.message, error.hint, leg_id)
    title = error.title or title
    return Finding(code=code, severity="error", title=title, message=message, file=error.file, line=error.line)


def with_advice(message: str, hint: str, leg_id: str) -> str:
    """A message with what to do, as far as that is the same for every leg: without the leg's name and its log."""
    parts = [part.replace(f" --only {leg_id}", "") for part in hint.split("; ")]
    advice = "; ".join(part for part in parts if part and leg_id not in part)
    stop = "" if message.endswith((".", "?", "!")) else "."
    return f"{message}{stop} {advice[:1].upper()}{advice[1:]}" if advice else message


def _named(error: CiEnvsError) -> tuple[str, str]:
    match error:
        case LockError():
            return "LOCK040", "cannot be locked as it stands"
        case BuildError():
            return "ENV150", "the build ended here"
        case UsageError():
            return "LOCK042", "cannot be read"
        case _:
            return "ENV151", "a stage ended here"
