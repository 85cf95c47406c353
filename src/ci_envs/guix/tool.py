"""Finds guix and runs it: as its manual has it, by the user's own substitutes and keys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs import command
from ci_envs.environ import tool_environment
from ci_envs.errors import ToolMissing
from ci_envs.tools import find_program
from ci_envs.work import TOOL_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ci_envs.command import Command, Outcome
    from ci_envs.work import Work

__all__ = ["INSTALL", "Guix", "find_guix", "run_guix"]

INSTALL = "https://guix.gnu.org/manual/en/html_node/Installation.html"
_INSTALL_IT = f"install it: {INSTALL}"

#: Below HOME: what ``guix pull`` makes. Of the machine: that of root, which the daemon runs from.
#: https://guix.gnu.org/manual/en/html_node/Invoking-guix-pull.html, .../Binary-Installation.html
_OWN_PLACE = ".config/guix/current/bin"
_PLACES = ("/usr/local/bin", "/var/guix/profiles/per-user/root/current-guix/bin", "/run/current-system/profile/bin")

# "guix (GNU Guix) 1.4.0"; of one that was pulled the commit.
_VERSION = re.compile(r"\(GNU Guix\) (\S+)")
_ASK_TIMEOUT_SECONDS = 60.0

# Its words are translated, and read here. This one means "not at all", whatever the locale is (gettext's manual,
# "Locating Message Catalog Files"); the locale itself is the user's, since names of files are spelt in it.
_UNTRANSLATED = {"LANGUAGE": "C"}

#: A common build option, of which each command that may build knows:
#: https://guix.gnu.org/manual/en/html_node/Common-Build-Options.html
_OFFLINE = "--no-substitutes"


@dataclass(frozen=True, slots=True)
class Guix:
    """A guix that can be used."""

    program: Path
    #: As it says it: ``1.4.0``, or the commit of one that was pulled.
    version: str


def find_guix(environ: Mapping[str, str], *, run: Callable[[Command], Outcome] = command.run) -> Guix:
    """The guix on PATH, else where it is installed. :class:`ToolMissing` where there is none that works."""
    folders = _folders(environ)
    found = (find_program("guix", {"PATH": str(folder)}) for folder in folders)
    program = find_program("guix", environ) or next(filter(None, found), None)
    if program is None:
        where = ", ".join(map(str, folders))
        raise ToolMissing(f"there is no guix here: not on PATH, nor in {where}", hint=_INSTALL_IT)
    asked = command.Command((str(program), "--version"), env=tool_environment(environ), timeout=_ASK_TIMEOUT_SECONDS)
    outcome = run(asked)
    version = _VERSION.search(outcome.stdout) if outcome else None
    if version is None:
        raise ToolMissing(f"{program} does not say its version, so it is no guix that works", hint=_INSTALL_IT)
    return Guix(program, version[1])


def run_guix(work: Work, guix: Guix, *words: str | Path, at: str = "", builds: bool = True) -> Outcome:
    """Runs ``guix WORDS`` over the project; what it prints is data, and in no log.

    ``at`` is a file of channels: the guix of that revision is run, which ``guix time-machine`` makes first. Where
    nothing may be fetched it is told so, and so is a command that ``builds``. A failure is the caller's to read.
    """
    offline = (_OFFLINE,) if work.policy.offline else ()
    travel = ("time-machine", f"--channels={at}", *offline, "--") if at else ()
    verb, *rest = words
    reached = offline if builds else ()
    request = command.Command(
        argv=tuple(map(str, (guix.program, *travel, verb, *reached, *rest))),
        cwd=work.project.root,
        env={**work.tool_environment, **_UNTRANSLATED},
        timeout=TOOL_TIMEOUT_SECONDS,
        log=work.log,
        hold=work.hold,
        raw=True,
    )
    return command.run(request)


def _folders(environ: Mapping[str, str]) -> tuple[Path, ...]:
    home = environ.get("HOME", "")
    return (*((Path(home) / _OWN_PLACE,) if home else ()), *map(Path, _PLACES))
