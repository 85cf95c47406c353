"""Spans of time as people write them: ``90``, ``90s``, ``30m``, ``1h30m``, ``7 days``. Pure."""

from __future__ import annotations

import re

from ci_envs.errors import UsageError

__all__ = ["seconds"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_BARE = re.compile(rf"\s*({_NUMBER})\s*")
# A unit ends where no letter follows: "30min" is minutes, "30milli" is nothing.
_PART = re.compile(
    rf"\s*({_NUMBER})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)(?![a-z])\s*", re.IGNORECASE
)


def seconds(text: str) -> float:
    """The span in seconds; a number that stands alone is seconds. :class:`UsageError` where it is none."""
    if bare := _BARE.fullmatch(text):
        return float(bare[1])
    total, position = 0.0, 0
    while part := _PART.match(text, position):
        total += float(part[1]) * _UNITS[part[2][0].lower()]
        position = part.end()
    if not position or position < len(text):
        raise UsageError(f"{text!r} is no span of time", hint="write 90s, 30m, 1h30m or 7 days")
    return total
