from datetime import datetime, timedelta, timezone
from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapse import Duration, NotADuration, parse

counts = st.integers(min_value=0, max_value=10_000)
durations = st.builds(
    Duration,
    years=counts,
    months=counts,
    days=counts,
    hours=counts,
    minutes=counts,
    seconds=st.decimals(min_value=0, max_value=10_000, places=6),
)


def test_every_unit_is_read():
    wanted = Duration(years=1, months=2, days=3, hours=4, minutes=5, seconds=Decimal(6))
    assert parse("P1Y2M3DT4H5M6S") == wanted


def test_a_month_and_a_minute_share_a_letter_and_nothing_else():
    assert (parse("P3M"), parse("PT3M")) == (Duration(months=3), Duration(minutes=3))


def test_a_week_is_seven_days():
    assert parse("P2W") == Duration(days=14)


@pytest.mark.parametrize("text", ["PT1.5S", "PT1,5S"])
def test_seconds_have_a_fraction_after_a_point_or_a_comma(text):
    assert parse(text).seconds == Decimal("1.5")


@pytest.mark.parametrize("text", ["", "P", "PT", "1D", "P1", "P1S", "PT1D", "P1D2Y", "P-1D", "P1W2D", "P1DT", "P١D", "P1D\n"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(NotADuration, match="ISO 8601"):
        parse(text)


def test_nothing_is_written_as_zero_seconds():
    assert str(Duration()) == "PT0S"


@given(durations)
def test_what_is_written_is_read_back(duration):
    assert parse(str(duration)) == duration


@given(durations, durations)
def test_addition_does_not_care_for_the_order(one, other):
    assert one + other == other + one


def test_only_durations_are_added():
    with pytest.raises(TypeError):
        Duration(days=1) + timedelta(days=1)


def test_a_month_after_the_thirty_first_is_the_last_of_the_next():
    assert parse("P1M").after(datetime(2024, 1, 31)) == datetime(2024, 2, 29)


def test_a_fraction_of_a_second_is_kept():
    assert parse("PT0.25S").after(datetime(2026, 1, 1)).microsecond == 250_000


def test_the_zone_of_the_start_is_kept():
    start = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert parse("P1D").after(start).utcoffset() == timedelta(hours=2)


def test_a_negative_part_is_refused():
    with pytest.raises(ValueError, match="days must not be negative"):
        Duration(days=-1)


def test_a_duration_never_changes():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Duration().days = 1
