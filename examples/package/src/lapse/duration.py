"""The value, and the two ways between it and its text (ISO 8601-1:2019, 5.5.2)."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs
from dateutil.relativedelta import relativedelta

_TEXT = re.compile(
    r"P(?:(?P<weeks>\d+)W|"
    r"(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:[.,]\d+)?)S)?)?)",
    re.ASCII,
)


class NotADuration(ValueError):
    """A text that ISO 8601 does not know as a duration."""


def _not_negative(_: Duration, field: attrs.Attribute[Any], value: Decimal) -> None:
    if value < 0:
        raise ValueError(f"{field.name} must not be negative, and is {value}")


@attrs.frozen(kw_only=True, order=False)
class Duration:
    """A span in calendar units. A month is no number of days, so spans have no order until a date is given."""

    years: int = attrs.field(default=0, validator=_not_negative)
    months: int = attrs.field(default=0, validator=_not_negative)
    days: int = attrs.field(default=0, validator=_not_negative)
    hours: int = attrs.field(default=0, validator=_not_negative)
    minutes: int = attrs.field(default=0, validator=_not_negative)
    seconds: Decimal = attrs.field(default=Decimal(0), converter=Decimal, validator=_not_negative)

    def __str__(self) -> str:
        date = _designated(("Y", self.years), ("M", self.months), ("D", self.days))
        time = _designated(("H", self.hours), ("M", self.minutes), ("S", self.seconds))
        return f"P{date}{'T' + time if time else ''}" if date or time else "PT0S"

    def __add__(self, other: object) -> Duration:
        if not isinstance(other, Duration):
            return NotImplemented
        mine, theirs = attrs.asdict(self), attrs.asdict(other)
        return Duration(**{unit: mine[unit] + theirs[unit] for unit in mine})

    def after(self, start: datetime) -> datetime:
        """The moment this long after ``start``; the last day of a month where the day does not exist in it."""
        whole, fraction = divmod(self.seconds, 1)
        return start + relativedelta(
            years=self.years,
            months=self.months,
            days=self.days,
            hours=self.hours,
            minutes=self.minutes,
            seconds=int(whole),
            microseconds=int(fraction * 1_000_000),
        )


def parse(text: str) -> Duration:
    """The value of a text such as ``P2W`` or ``PT1M30.5S``; :class:`NotADuration` where it is none."""
    found = _TEXT.fullmatch(text)
    if found is None or text == "P":
        raise NotADuration(f"{text!r} is not an ISO 8601 duration")
    parts = {unit: value for unit, value in found.groupdict().items() if value is not None}
    if "weeks" in parts:
        return Duration(days=7 * int(parts["weeks"]))
    seconds = Decimal(parts.pop("seconds", "0").replace(",", "."))
    return Duration(seconds=seconds, **{unit: int(value) for unit, value in parts.items()})


def _designated(*parts: tuple[str, int | Decimal]) -> str:
    return "".join(f"{value:f}{unit}" if isinstance(value, Decimal) else f"{value}{unit}" for unit, value in parts if value)
