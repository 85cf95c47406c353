"""An observer that keeps what it was told, in order."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_envs.model.leg import Leg
    from ci_envs.model.record import RunRecord, Stage

__all__ = ["Told"]


class Told:
    """The observer; ``when`` is called after each event, with its words."""

    def __init__(self, when: Callable[[str], None] = lambda _event: None) -> None:
        self.events: list[str] = []
        self.records: list[RunRecord] = []
        self._when = when
        self._lock = threading.Lock()

    def leg_begins(self, leg: Leg) -> None:
        self._tell(f"{leg.id} begins")

    def stage_begins(self, leg: Leg, name: str) -> None:
        self._tell(f"{leg.id} {name} begins")

    def stage_says(self, leg: Leg, text: str) -> None:
        self._tell(f"{leg.id} says {text}")

    def stage_ends(self, leg: Leg, stage: Stage) -> None:
        self._tell(f"{leg.id} {stage.name} {stage.status}")

    def leg_ends(self, record: RunRecord) -> None:
        self.records.append(record)
        self._tell(f"{record.leg.id} {record.status}")

    def _tell(self, event: str) -> None:
        with self._lock:
            self.events.append(event)
        self._when(event)
