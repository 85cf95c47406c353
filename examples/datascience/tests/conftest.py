"""Readings of two sensors over two hours, and a client of the service."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from readings.app import app
from readings.model import Reading

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def readings() -> list[Reading]:
    """``roof`` reads 20, 22 in one hour and 30 in the next; ``cellar`` reads 10 once. Not in order of time."""
    rows = [("roof", 70, 30.0), ("roof", 0, 20.0), ("cellar", 5, 10.0), ("roof", 30, 22.0)]
    return [Reading(sensor=name, at=NOON + timedelta(minutes=after), celsius=value) for name, after, value in rows]


@pytest.fixture
def client() -> Iterator[TestClient]:
    """The service, called without a socket."""
    with TestClient(app) as opened:
        yield opened
