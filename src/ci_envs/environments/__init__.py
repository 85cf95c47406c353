"""Environments: something that can run a command and list what is installed in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path, PurePath
    from types import TracebackType

    from ci_envs.command import Outcome
    from ci_envs.content import Content
    from ci_envs.model.inventory import Inventory

__all__ = ["Artifact", "Environment"]


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file that an environment leaves for others, named by digest."""

    path: str
    sha256: str
    kind: str


class Environment(Protocol):
    """A host prefix or a container; whatever made it, it is used the same way."""

    @property
    def python(self) -> PurePath:
        """The interpreter inside, by its path inside."""

    def notes(self, log: Path | None = None) -> tuple[str, ...]:
        """What activating it could not do, each a sentence; ``log`` takes what its scripts say."""

    def __enter__(self) -> Environment: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        log: Path | None = None,
        stdin: str = "",
    ) -> Outcome:
        """Runs a command inside. ``env`` is added to the environment's own variables, ``cwd`` is a folder outside."""

    def hand_over(self, argv: Sequence[str], *, cwd: Path) -> int:
        """Runs a command inside with this terminal; its exit code."""

    def place(self, outside: Path) -> str:
        """Where a file or folder of the project is inside. :class:`UsageError` for what is not in there."""

    def outlet(self, outside: Path) -> str:
        """Where a command inside may write a file that is to end up at ``outside``."""

    def collect(self, outside: Path) -> bool:
        """Brings what was written at the outlet to ``outside``; whether anything was."""

    def read(self, path: str) -> bytes | None:
        """One file, by its path inside; ``None`` where there is no such file."""

    def leftovers(self) -> tuple[str, ...]:
        """What lies in TMPDIR inside: relative names, sorted."""

    def sizes_left(self) -> Mapping[str, int]:
        """The same with the size of each in bytes. Links are not followed."""

    def inventory(self) -> Inventory:
        """What is really installed, read from inside."""

    def content(self) -> Content:
        """Every file inside with its SHA-256, read from its bytes."""

    def artifacts(self) -> list[Artifact]:
        """The files that it leaves for others."""
