"""What a check has to say."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Finding"]


class Finding(NamedTuple):
    """A requirement that is broken, and where."""

    requirement: int
    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: requirement {self.requirement}: {self.message}"
