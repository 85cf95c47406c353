"""Reads why guix failed, and whose fault it is: the project's, or the world's.

The sentences are those of its sources (``guix/diagnostics.scm``, ``guix/ui.scm``, ``guix/scripts/pull.scm``), read and
never heard: ``guix shell: error: ...``, and ``FILE:LINE:COLUMN: error: ...`` where a file is to blame.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci_envs.endings import how_it_ended
from ci_envs.nix.failure import LONGEST, Failure
from ci_envs.nix.failures import build_error, lock_error
from ci_envs.nix.own_files import own_file
from ci_envs.plain import one_line, plain

if TYPE_CHECKING:
    from ci_envs.command import Outcome
    from ci_envs.project import Project
    from ci_envs.work import Work

__all__ = ["build_error", "failure_of", "lock_error"]

# What Guile's reader finds has no word "error" behind the place: "FILE:LINE:COLUMN: missing closing parenthesis".
_PLACED = re.compile(
    r"^(?P<file>[^\s:][^:\n]*):(?P<line>\d+):\d+: (?:error: (?P<said>.+)|(?P<read>missing closing .+))$", re.MULTILINE
)
_ERROR = re.compile(r"^guix(?: [\w-]+)*: error: (?P<said>.+)$", re.MULTILINE)
# What the reader of Guile says is quoted whole, with the place in it.
_WITHIN = re.compile(r"(?:^|[\s'])(?P<file>[^\s:']+\.scm):(?P<line>\d+):\d+: ")
# It begins a paragraph, which is wrapped.
_HINT = re.compile(r"^hint: (?P<said>.+(?:\n(?!hint: |guix |\S*:\d).+)*)", re.MULTILINE)

_FULL = re.compile(r"No space left on device|Disk quota exceeded")
_DAEMON = re.compile(r"failed to connect to [`'](?P<socket>[^']+)': (?P<why>.+)")
_UNREACHED = re.compile(
    r"failed to (?:resolve address|connect to \w[\w.-]*(?::|$))|Temporary failure in name resolution"
    r"|Network is unreachable|Connection (?:refused|reset|timed out)|Name or service not known|Servname not supported"
    r"|server certificate|X\.509|TLS (?:connection|error)|download failed|failed to download",
    re.IGNORECASE,
)
_BUILDER = re.compile(r"build of [`'](?P<drv>/[^']+\.drv)' failed")
_LOG = re.compile(r"View build log at [`'](?P<log>[^']+)'")


def failure_of(outcome: Outcome, work: Work) -> Failure:
    """Why a command of guix failed. ``work`` has the project, the log, and whether something may be fetched."""
    shown = f"the log has all of it: {work.layout.shown(work.log)}"
    if outcome.timed_out or outcome.returncode < 0:
        return Failure("ended", f"guix {how_it_ended(outcome)}", hint=shown)
    said = plain(outcome.stderr)
    errors = [found["said"] for found in _ERROR.finditer(said)]
    last = one_line(errors[-1] if errors else " ".join(said.split("\n")[-4:]), LONGEST)
    sentence = last or f"guix failed with exit code {outcome.returncode} and did not say why"
    found = _HINT.search(said)
    hint = one_line(found["said"], LONGEST) if found else shown
    return _of_world(said, sentence, shown, offline=work.policy.offline) or _of_project(
        said, sentence, hint, work.project
    )


def _of_world(said: str, sentence: str, shown: str, *, offline: bool) -> Failure | None:
    if full := _FULL.search(said):
        hint = "make room in the store: `guix gc --free-space=5G`"
        return Failure("full", f"the disk is full: {_line_of(said, full)}", hint=hint)
    if daemon := _DAEMON.search(said):
        hint = "start it (`sudo systemctl start guix-daemon`), or see what GUIX_DAEMON_SOCKET says"
        return Failure("store", f"guix's daemon does not answer: {daemon['socket']}: {daemon['why']}", hint=hint)
    lines = (_line_of(said, found) for found in _UNREACHED.finditer(said))
    unreached = [line for line in lines if "warning: " not in line]  # it goes on without that server
    if not unreached:
        return None
    if offline:
        sentence = f"nothing may be fetched, and something would have to be: {unreached[-1]}"
        return Failure("offline", one_line(sentence, LONGEST), hint="run it once without --offline")
    return Failure("network", one_line(f"something could not be fetched: {unreached[-1]}", LONGEST), hint=shown)


def _of_project(said: str, sentence: str, hint: str, project: Project) -> Failure:
    if built := _BUILDER.search(said):
        log = _LOG.search(said)
        hint = f"its words are in {log['log']}" if log else f"`guix build --log-file {built['drv']}` names its log"
        return Failure("builder", sentence, hint=hint, drv=built["drv"])
    for found in _PLACED.finditer(said):
        if name := _own(found["file"], project):
            words = one_line(found["said"] or found["read"], LONGEST)
            return Failure("evaluation", words, name, int(found["line"]), hint)
    within = _WITHIN.search(sentence)
    name = _own(within["file"], project) if within else ""
    return Failure(
        "evaluation" if name else "other", sentence, name, int(within["line"]) if within and name else 0, hint
    )


def _own(file: str, project: Project) -> str:
    """The project's name for a file, which guix was told of by its own, relative, name."""
    return own_file(str(project.root / file), project)


def _line_of(said: str, found: re.Match[str]) -> str:
    start = said.rfind("\n", 0, found.start()) + 1
    return one_line(said[start:].partition("\n")[0], 300)
