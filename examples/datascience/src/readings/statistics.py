"""The arithmetic: pandas groups, numpy computes. No HTTP here."""

import numpy as np
import pandas as pd

from readings.model import Outlier, Reading, Summary

#: Makes the median absolute deviation of normal data estimate its standard deviation: 1 / inverse normal CDF(3/4).
MAD_SCALE = 1.4826


def frame(readings: list[Reading]) -> pd.DataFrame:
    """One row a reading, in order of time, the times in UTC."""
    table = pd.DataFrame(
        {
            "sensor": [reading.sensor for reading in readings],
            "at": pd.to_datetime([reading.at for reading in readings], utc=True),
            "celsius": np.asarray([reading.celsius for reading in readings], dtype=np.float64),
        }
    )
    return table.sort_values("at", kind="stable", ignore_index=True)


def hourly(readings: list[Reading]) -> list[Summary]:
    """Count, mean, lowest and highest for each sensor and hour, by sensor and then by time."""
    table = frame(readings)
    table["hour"] = table["at"].dt.floor("h")
    groups = table.groupby(["sensor", "hour"], sort=True)["celsius"]
    rows = groups.agg(count="count", mean="mean", low="min", high="max").reset_index()
    return [Summary.model_validate(row) for row in rows.to_dict("records")]


def distances(values: np.ndarray) -> np.ndarray:
    """How far each value lies from the median, in scaled median absolute deviations; zeros where nothing varies."""
    away = np.abs(values - np.median(values))
    scale = MAD_SCALE * np.median(away)
    return np.divide(away, scale, out=np.zeros_like(away), where=scale > 0)


def outliers(readings: list[Reading], limit: float = 3.5) -> list[Outlier]:
    """The readings further than ``limit`` from their own sensor's median."""
    table = frame(readings)
    table["distance"] = table.groupby("sensor")["celsius"].transform(lambda column: distances(column.to_numpy()))
    far = table[table["distance"] > limit]
    return [Outlier.model_validate(row) for row in far.to_dict("records")]
