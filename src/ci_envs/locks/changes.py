"""What a new resolution that keeps the pins of a lock changes in it all the same. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.locks.insync import Stale

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.model.lock import Lock, Pin

__all__ = ["changed_pins"]


def changed_pins(old: Lock, new: Lock) -> tuple[Stale, ...]:
    """Each pin that is another, is gone or is added; empty where there is none. Hashes are left to installers."""
    return tuple(
        Stale(code="unsatisfied", message=said, name=name, file=old.path) for name, said in _sentences(old, new)
    )


def _sentences(old: Lock, new: Lock) -> Iterator[tuple[str, str]]:
    before, after = ({pin.name: pin for pin in lock.pins} for lock in (old, new))
    for name in sorted(before.keys() | after.keys()):
        was, is_now = before.get(name), after.get(name)
        if is_now is None and was is not None:
            yield name, f"a resolution of today leaves {_shown(was)} out"
        elif was is None and is_now is not None:
            yield name, f"a resolution of today adds {_shown(is_now)}"
        elif was is not None and is_now is not None and _shown(was) != _shown(is_now):
            yield name, f"{_shown(was)} would be {_shown(is_now)}"


def _shown(pin: Pin) -> str:
    return f"{pin.name}=={pin.version}" if pin.version else f"{pin.name} @ {pin.location}"
