"""ISO 8601 durations as values: ``P1Y2M3DT4H5M6S`` is a year, two months, three days, four hours, ..."""

from lapse.duration import Duration, NotADuration, parse

__all__ = ["Duration", "NotADuration", "parse"]
