"""Spans of time as people write them: ``90``, ``90s``, ``30m``, ``1h30m``, ``7 days``. Pure."""

from __future__ import annotations

import re

from ci_envs.errors import UsageError

__all__ = ["seconds"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART = re.compile(
    r"\s*(\d+(?:\.\d+)?)\s*(s|m|h|d|w|secs?|seconds?|mins?|minutes?|hours?|days?|weeks?)?(?![a-z])\s*"
    r"|\s*(\d+(?:\.\d+)?)(h|m)(?=\d)",
    re.IGNORECASE,
)


def seconds(text: str) -> float:
    """The span in seconds; a bare number is seconds. :class:`UsageError` where it is none."""
    total, position = 0.0, 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            break
        number, unit = (part[1], part[2]) if part[1] else (part[3], part[4])
        total += float(number) * _UNITS[(unit or "s")[0].lower()]
        position = part.end()
    if position < len(text) or not text.strip():
        raise UsageError(f"{text!r} is no span of time", hint="write 90s, 30m, 1h30m or 7 days")
    return total
