"""Lock files: one reader per format, into the one normal form. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, Protocol

from ci_envs.locks.pylock import is_pylock_name, read_pylock
from ci_envs.locks.requirements import classify, read_requirements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_envs.locks.reading import ReadLock

__all__ = ["READERS", "Format", "Reader", "sniff"]

Format = Literal["requirements", "pylock", "uv.lock"]


class Reader(Protocol):
    """Text of a lock file -> the lock it is for a leg."""

    def __call__(self, text: str, *, path: str, markers: Mapping[str, str], sha256: str = "") -> ReadLock:
        """Raises :class:`ci_envs.errors.LockError` where the text is no lock for the leg."""


#: By format. ``uv.lock`` has no reader: what of it a leg needs is resolved by uv, which exports a pylock.toml; see
#: :mod:`ci_envs.locks.uvlock`.
READERS: dict[str, Reader] = {
    "requirements": read_requirements,
    "pylock": read_pylock,
}


def sniff(path: str, text: str) -> Format | None:
    """The format of a lock file by its name, and by its text where the name may mean an intent file as well."""
    name = PurePosixPath(path).name
    if name == "uv.lock":
        return "uv.lock"
    if is_pylock_name(name):
        return "pylock"
    if name.endswith((".txt", ".lock")) and classify(text) != "intent":
        return "requirements"
    return None
