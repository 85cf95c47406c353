"""Periods of the standing waves of a lake, by Merian's formula: T = 2 L / (n sqrt(g h)).

Lengths and depths are in metres, periods in seconds; the unit that a table prints is in SEICHE_UNIT, which
environment.yml sets.
"""

from __future__ import annotations

import os
import sys

import humanize
import numpy as np

GRAVITY = 9.80665  # m/s2, the standard value (CGPM 1901)
SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}


def periods(length: float, depth: float, modes: int = 3) -> np.ndarray:
    """The periods in seconds of the first modes, the slowest first."""
    if length <= 0 or depth <= 0 or modes < 1:
        raise ValueError("length and depth are positive, and there is a first mode")
    return 2 * length / (np.arange(1, modes + 1) * np.sqrt(GRAVITY * depth))


def table(length: float, depth: float) -> str:
    """The periods as text, one mode a line."""
    unit = os.environ.get("SEICHE_UNIT", "seconds")
    rows = [
        f"{humanize.ordinal(mode)} mode: {period / SECONDS[unit]:.1f} {unit}"
        for mode, period in enumerate(periods(length, depth), start=1)
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    sys.stdout.write(f"{table(float(sys.argv[1]), float(sys.argv[2]))}\n")
