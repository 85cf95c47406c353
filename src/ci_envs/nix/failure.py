"""Why a command of nix failed, and what it is read from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from ci_envs.nix.own_files import own_place, with_own_names
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from ci_envs.nix.output import Message, Said
    from ci_envs.project import Project

__all__ = ["LONGEST", "Asked", "Failure", "Kind"]

#: The reason of a failure in one message.
LONGEST = 600

Kind = Literal[
    "full",  # no room in the store, or where it builds
    "store",  # the store cannot be used: no daemon, no permission
    "network",  # something did not answer
    "offline",  # nothing may be fetched, and something would have to be
    "ended",  # by a signal, or by its time limit
    "gone",  # what is locked is there no longer
    "hash",  # another file than the one whose hash is written down
    "input",  # another input than the one in flake.lock
    "lock",  # flake.lock lacks inputs, or cannot be read
    "untracked",  # git does not track a file that a flake needs
    "search path",  # <nixpkgs> that nobody has set
    "impure",  # something of the machine that a flake does not see
    "shell",  # the flake has no such shell
    "feature",  # an experimental feature that is off
    "system",  # another system is needed to build it
    "builder",  # a builder failed
    "evaluation",  # anything else that an expression says wrong
    "other",
]

_WORLD: frozenset[Kind] = frozenset(("full", "store", "network", "offline", "ended"))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a command of nix failed."""

    kind: Kind
    #: One line, without nix's trace.
    sentence: str
    #: The project's own file, relative to it, and its 1-based line; empty and 0 where none is known.
    file: str = ""
    line: int = 0
    #: What to do.
    hint: str = ""
    #: The derivation that could not be built, and the last lines of its log.
    drv: str = ""
    lines: tuple[str, ...] = ()

    @property
    def is_worlds(self) -> bool:
        """Whether the project has no part in it."""
        return self.kind in _WORLD


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rule looks at."""

    message: Message
    said: Said
    project: Project
    offline: bool
    #: The command that locks anew.
    relock: str
    #: The project's file that nix was told of; empty where it was told of none.
    described: str = ""
    #: Whether nix was given a copy of the flake (:mod:`ci_envs.nix.flake_copy`).
    is_copied: bool = False

    @property
    def sentence(self) -> str:
        """The message in one line, with the project's own names for its files."""
        return one_line(with_own_names(self.message.said, self.project), LONGEST)

    @property
    def meant(self) -> str:
        """What nix thinks was meant, as the end of a sentence."""
        return f"; did you mean {self.message.meant}?" if self.message.meant else ""

    @property
    def flake(self) -> str:
        """The flake's own file."""
        return self.described or "flake.nix"

    @property
    def lock(self) -> str:
        """The lock file beside it."""
        return PurePosixPath(self.flake).with_name("flake.lock").as_posix()

    @property
    def guess(self) -> str:
        """The sentence with that."""
        return f"{self.sentence}{self.meant}"

    def failure(self, kind: Kind, sentence: str = "", *, hint: str = "") -> Failure:
        """With the place in the project where there is one."""
        file, line = own_place(self.message.places, self.project)
        return Failure(kind, sentence or self.sentence, file, line, hint)
