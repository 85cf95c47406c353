"""Finds nix and runs it: with flakes for our calls alone, by the user's own configuration otherwise.

Nothing here writes a ``nix.conf`` or sets ``NIX_CONFIG``: substituters, keys, tokens and builders are the user's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs import command, machine
from ci_envs.command import Outcome
from ci_envs.errors import ToolMissing
from ci_envs.nix.output import Live, Said, read_said
from ci_envs.tools import find_program, tool_version
from ci_envs.work import TOOL_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ci_envs.command import Command
    from ci_envs.work import Work

__all__ = ["INSTALL", "Nix", "NixOutcome", "find_nix", "run_classic", "run_nix"]

#: https://nixos.org/download
INSTALL = "curl -fsSL https://nixos.org/nix/install | sh -s -- --daemon"
_INSTALL_IT = f"install it: `{INSTALL}`"

#: The first with flakes, and with ``nix print-dev-env``.
OLDEST = (2, 4)

#: Where installers put it, for whoever has not yet sourced the profile script that puts it on PATH; below HOME, and
#: of the machine. https://nix.dev/manual/nix/latest/command-ref/files/profiles
OWN_PLACES = (".nix-profile/bin", ".local/state/nix/profile/bin")
PLACES = ("/nix/var/nix/profiles/default/bin", "/run/current-system/sw/bin")

#: nix's words for what a leg calls ``macos``.
_OS = {"macos": "darwin"}

_FEATURES = ("--extra-experimental-features", "nix-command flakes")
# `--offline` leaves out binary caches and what is old; fetchers still ask their server, once. So whatever goes by curl
# or git, in a builder too, is sent where nobody answers. Lower case counts first, and HTTP_PROXY for nothing (curl(1)).
_NOBODY = {
    **dict.fromkeys(("http_proxy", "https_proxy", "ftp_proxy", "all_proxy"), "http://127.0.0.1:9"),
    **dict.fromkeys(("no_proxy", "NO_PROXY"), ""),
    "GIT_SSH_COMMAND": "echo Network is unreachable >&2; false",
    "GIT_SSH_VARIANT": "ssh",  # git would ask it for its options, and refuse an address with a port
}
# An error says where it was found, and a builder's words cannot be taken for nix's.
_FORMAT = ("--log-format", "internal-json", "--show-trace")


@dataclass(frozen=True, slots=True)
class Nix:
    """A nix that can be used."""

    #: The file ``nix``.
    program: Path
    #: As it says it: ``2.8.0``, ``2.24.9``, ``2.4pre20211006_53e4794``.
    version: str
    #: What it builds for: ``x86_64-linux``, ``aarch64-darwin``.
    system: str

    def at_least(self, *numbers: int) -> bool:
        """Whether its version is ``numbers`` or later: ``at_least(2, 19)``."""
        return _numbers(self.version) >= numbers

    def sibling(self, name: str) -> Path:
        """``nix-store`` and the like, which are beside it. :class:`ToolMissing` where one is not."""
        for folder in (self.program.parent, self.program.resolve().parent):
            if (folder / name).is_file():
                return folder / name
        raise ToolMissing(f"there is no {name} beside {self.program}", hint="install all of nix, not its one program")


@dataclass(frozen=True, slots=True)
class NixOutcome(Outcome):
    """How a command of nix ended; ``stderr`` is the text of its messages, without the builders' words."""

    said: Said = Said()  # noqa: RUF009 - frozen


def find_nix(environ: Mapping[str, str], *, run: Callable[[Command], Outcome] = command.run) -> Nix:
    """The nix on PATH, else where installers put it.

    :class:`ToolMissing` where there is none, where it does not run, or where it is older than :data:`OLDEST`.
    """
    folders = _folders(environ)
    program = find_program("nix", environ) or next(filter(None, (_in(folder) for folder in folders)), None)
    if program is None:
        where = ", ".join(map(str, folders))
        raise ToolMissing(f"there is no nix here: not on PATH, nor in {where}", hint=_INSTALL_IT)
    version = tool_version(program, environ, run=run)
    if not version:
        raise ToolMissing(f"{program} does not say its version, so it is no nix that works", hint=_INSTALL_IT)
    if _numbers(version) < OLDEST:
        raise ToolMissing(
            f"{program} is nix {version}, and flakes and `nix print-dev-env` came with {'.'.join(map(str, OLDEST))}",
            hint=f"`nix upgrade-nix`, or `{INSTALL}`",
        )
    return Nix(program, version, _system())


def run_nix(
    work: Work,
    nix: Nix,
    *words: str | Path,
    network: bool = True,
    data: bool = False,
    env: Mapping[str, str] | None = None,
) -> NixOutcome:
    """Runs ``nix WORDS`` over the project, logged with its trace and with what builders say.

    Without ``network``, or where the policy says so, nothing is fetched, not even from a ``file:`` cache: whoever
    wants that adds ``--option substitute true`` and names it. ``data``: standard output is for programs; it comes
    back as it is, unredacted, and is in no log. ``env`` is added to the tool environment. A failure is the caller's
    to read (:func:`ci_envs.nix.failures.failure_of`); nix itself has tried downloads again by then.
    """
    alone = not network or work.policy.offline
    reached = ("--offline",) if alone else ()
    return _run(
        work, (nix.program, *_FEATURES, *_FORMAT, *reached, *words), data=data, env=_variables(env, alone=alone)
    )


def run_classic(
    work: Work,
    nix: Nix,
    program: str,
    *words: str | Path,
    network: bool = True,
    data: bool = False,
    env: Mapping[str, str] | None = None,
) -> NixOutcome:
    """The same for ``nix-store``, ``nix-build``, ``nix-instantiate``, which know no ``--offline``."""
    alone = not network or work.policy.offline
    reached = ("--option", "substitute", "false") if alone else ()
    argv = (nix.sibling(program), *_FEATURES, *_FORMAT, *reached, *words)
    return _run(work, argv, data=data, env=_variables(env, alone=alone))


def _variables(more: Mapping[str, str] | None, *, alone: bool) -> dict[str, str]:
    return {**(_NOBODY if alone else {}), **(more or {})}


def _run(work: Work, argv: tuple[str | Path, ...], *, data: bool, env: Mapping[str, str]) -> NixOutcome:
    request = command.Command(
        argv=tuple(map(str, argv)),
        cwd=work.project.root,
        env={**work.tool_environment, **env},
        timeout=TOOL_TIMEOUT_SECONDS,
        log=work.log,
        hold=work.hold,
        raw=data,
        as_logged=Live(work.progress),
    )
    return understood(command.run(request))


def understood(outcome: Outcome) -> NixOutcome:
    """The outcome with its events read."""
    said = read_said(outcome.stderr)
    return NixOutcome(
        argv=outcome.argv,
        returncode=outcome.returncode,
        stdout=outcome.stdout,
        stderr=said.text,
        seconds=outcome.seconds,
        timed_out=outcome.timed_out,
        said=said,
    )


def _folders(environ: Mapping[str, str]) -> tuple[Path, ...]:
    home = environ.get("HOME", "")
    own = [Path(home) / place for place in OWN_PLACES] if home else []
    return (*own, *map(Path, PLACES))


def _in(folder: Path) -> Path | None:
    return find_program("nix", {"PATH": str(folder)})


def _numbers(version: str) -> tuple[int, ...]:
    """``2.4pre2021_53e4`` -> (2, 4)."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _system() -> str:
    here = machine.facts()
    return f"{here.arch}-{_OS.get(here.os, here.os)}"
