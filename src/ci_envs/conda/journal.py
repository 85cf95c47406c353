"""What was done in this process, told in a stage's log between what commands said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ci_envs.conda.credentials import shown_address
from ci_envs.plain import one_line
from ci_envs.redact import Redactor

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.work import Work

__all__ = ["Journal"]


@dataclass(frozen=True)
class Journal:
    """Appends lines to a log; what is secret in them is masked."""

    log: Path
    redact: Redactor = field(default_factory=Redactor)

    @classmethod
    def of(cls, work: Work) -> Journal:
        """The log of the stage that is running."""
        return cls(work.log, Redactor.from_environment(work.environ))

    def begin(self, what: str) -> None:
        """Says what begins, as commands are shown."""
        self(f"$ {what}")

    def __call__(self, line: str) -> None:
        """Writes one line."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"{self.redact(shown_address(one_line(line)))}\n")
