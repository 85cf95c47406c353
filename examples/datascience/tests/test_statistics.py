from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from readings import statistics
from readings.model import Reading


def test_the_frame_is_in_order_of_time(readings):
    table = statistics.frame(readings)
    assert table["at"].is_monotonic_increasing
    assert table["celsius"].tolist() == [20.0, 10.0, 22.0, 30.0]


def test_times_of_other_zones_become_utc():
    tokyo = datetime(2026, 6, 1, 21, 30, tzinfo=timezone(timedelta(hours=9)))
    table = statistics.frame([Reading(sensor="roof", at=tokyo, celsius=1)])
    assert table["at"][0] == pd.Timestamp("2026-06-01 12:30", tz="UTC")


def test_hours_are_summed_up_for_each_sensor(readings):
    found = [(row.sensor, row.hour.hour, row.count, row.mean) for row in statistics.hourly(readings)]
    assert found == [("cellar", 12, 1, 10.0), ("roof", 12, 2, 21.0), ("roof", 13, 1, 30.0)]


def test_low_and_high_are_of_the_same_hour(readings):
    roof = statistics.hourly(readings)[1]
    assert (roof.low, roof.high) == (20.0, 22.0)


def test_the_mean_is_numpys(readings):
    values = np.random.default_rng(7).normal(15, 3, size=500)
    many = [readings[0].model_copy(update={"celsius": float(value)}) for value in values]
    assert statistics.hourly(many)[0].mean == pytest.approx(np.mean(values), abs=1e-12)


def test_distance_is_in_scaled_deviations():
    found = statistics.distances(np.array([1.0, 2.0, 3.0, 4.0, 100.0]))
    assert found == pytest.approx(np.array([2, 1, 0, 1, 97]) / statistics.MAD_SCALE)


def test_values_that_never_vary_are_no_outliers():
    assert statistics.distances(np.full(9, 4.0)).tolist() == [0.0] * 9


def test_only_the_far_reading_is_an_outlier(readings):
    steady = [readings[1].model_copy(update={"celsius": 20 + step / 10}) for step in range(10)]
    spike = readings[1].model_copy(update={"celsius": 59.0})
    found = statistics.outliers([*steady, spike, readings[2]])
    assert [row.celsius for row in found] == [59.0]
