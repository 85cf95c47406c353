"""Of which commit of which repository an image is, and the instant that its files carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ci_envs import command
from ci_envs.command import Command
from ci_envs.errors import ToolMissing, UsageError
from ci_envs.redact import without_credentials
from ci_envs.work import EPOCH

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Revision", "revision_of"]


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """What version control says of a project; the oldest instant and no names where it says nothing."""

    #: Seconds since 1970: https://reproducible-builds.org/docs/source-date-epoch/
    epoch: int
    #: The commit, in hexadecimal.
    commit: str = ""
    #: The address of ``origin``, without credentials.
    source: str = ""


def revision_of(root: Path, environ: Mapping[str, str]) -> Revision:
    """SOURCE_DATE_EPOCH of the caller, else the instant of the last commit that touched the project's folder.

    :class:`UsageError` where SOURCE_DATE_EPOCH is no number.
    """
    said = environ.get("SOURCE_DATE_EPOCH", "")
    if said and not said.isdecimal():
        raise UsageError(f"SOURCE_DATE_EPOCH is {said!r}, which is no number of seconds", hint="unset it, or mend it")
    told = _git(root, "log", "-1", "--format=%ct", "--", ".")
    return Revision(
        epoch=int(said or (told if told.isdecimal() else EPOCH)),
        commit=_git(root, "rev-parse", "HEAD"),
        source=without_credentials(_git(root, "config", "--get", "remote.origin.url")),
    )


def _git(root: Path, *words: str) -> str:
    try:
        outcome = command.run(Command(("git", "-C", str(root), *words), timeout=60))
    except ToolMissing:
        return ""
    return outcome.stdout.strip() if outcome else ""
