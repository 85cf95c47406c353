"""What goes in and out of the service; pydantic refuses the rest."""

from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat


class Reading(BaseModel):
    """One value from one sensor."""

    model_config = ConfigDict(extra="forbid")

    sensor: str = Field(min_length=1, max_length=40, pattern=r"^[a-z0-9-]+$")
    at: AwareDatetime
    celsius: FiniteFloat = Field(ge=-90, le=60)


class Batch(BaseModel):
    """What one request may bring."""

    readings: list[Reading] = Field(min_length=1, max_length=10_000)


class Summary(BaseModel):
    """One sensor's readings in one hour."""

    sensor: str
    hour: datetime
    count: int
    mean: float
    low: float
    high: float


class Outlier(BaseModel):
    """A reading far from its sensor's own median."""

    sensor: str
    at: datetime
    celsius: float
    #: In scaled median absolute deviations.
    distance: float
