"""A nix shell or a guix profile as it was made: what a command in it sees, and what keeps it."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Shell"]


class Shell(msgspec.Struct, frozen=True, kw_only=True):
    """What evaluating and building gave, once: commands run with it without asking nix, or guix, again."""

    #: Whose store it lies in.
    manager: Literal["nix", "guix"] = "nix"

    #: Every exported variable after the shell's hook has run, PATH among them.
    variables: dict[str, str]
    #: The folders of PATH, in their order.
    path: tuple[str, ...]
    #: The interpreter that ``python3``, else ``python``, is on that PATH; empty where there is none.
    python: str = ""
    #: The derivation of the shell, and the output that keeps all that it names from garbage collection.
    drv: str = ""
    top: str = ""
    #: Whether commands see the shell's own programs alone.
    pure: bool = True
    #: The HOME that it was made for, where a variable holds it; empty where none does.
    home: str = ""
    #: What making it could not do, or did that it should not, each a sentence.
    notes: tuple[str, ...] = ()

    @property
    def dated(self) -> str:
        """The path of its closure that holds the time at which it was made, so that no digest counts it; or none."""
        return self.top if self.manager == "nix" else ""
