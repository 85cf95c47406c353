from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_envs.durations import seconds
from ci_envs.errors import UsageError


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90", 90),
        (" 0.5 ", 0.5),
        ("90s", 90),
        ("30m", 1800),
        ("30 min", 1800),
        ("1h30m", 5400),
        ("1 h 30 m", 5400),
        ("1.5 hours", 5400),
        ("2hrs", 7200),
        ("7 days", 604800),
        ("1 Week", 604800),
        ("1d12h", 129600),
        ("1 minute 1 second", 61),
    ],
)
def test_spans_are_read_as_people_write_them(text: str, span: float) -> None:
    assert seconds(text) == span


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "s",
        "-5s",
        "1 30",
        "1h 30",
        "30 1h",
        "5 fortnights",
        "30mm",
        "1e3",
        "1:30",
        "1,5h",
        "7 days ago",
        "inf",
        "٣s",
    ],
)
def test_what_is_no_span_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match="is no span of time") as raised:
        seconds(text)
    assert repr(text) in str(raised.value)
    assert raised.value.hint == "write 90s, 30m, 1h30m or 7 days"


@given(hours=st.integers(0, 10**6), minutes=st.integers(0, 10**6), gap=st.sampled_from(["", " "]))
def test_parts_add_up(hours: int, minutes: int, gap: str) -> None:
    assert seconds(f"{hours}h{gap}{minutes}m") == hours * 3600 + minutes * 60


@given(st.text(max_size=30))
def test_any_text_is_a_span_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert seconds(text) >= 0
