"""The service: ``uvicorn --app-dir src readings.app:app``."""

from typing import Annotated

from fastapi import FastAPI, Query

from readings import statistics
from readings.model import Batch, Outlier, Summary

app = FastAPI(title="Readings")


@app.get("/healthz")
def health() -> dict[str, str]:
    """Whether the service is up."""
    return {"status": "ok"}


@app.post("/summary")
def summary(batch: Batch) -> list[Summary]:
    """Each sensor's readings, hour by hour."""
    return statistics.hourly(batch.readings)


@app.post("/outliers")
def outliers(batch: Batch, limit: Annotated[float, Query(gt=0)] = 3.5) -> list[Outlier]:
    """Readings far from their own sensor's median."""
    return statistics.outliers(batch.readings, limit)
