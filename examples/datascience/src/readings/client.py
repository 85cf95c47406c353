"""The service as a Python object, for notebooks."""

import httpx
import pandas as pd

from readings.model import Batch, Reading


class ReadingsClient:
    """Speaks to the service through an ``httpx.Client`` whose ``base_url`` is the service's address."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def summary(self, readings: list[Reading]) -> pd.DataFrame:
        """The hourly summary, indexed by sensor and hour; ``httpx.HTTPStatusError`` where the service refuses."""
        body = Batch(readings=readings).model_dump(mode="json")
        answer = self._http.post("/summary", json=body).raise_for_status()
        table = pd.DataFrame(answer.json())
        table["hour"] = pd.to_datetime(table["hour"], utc=True)
        return table.set_index(["sensor", "hour"])
