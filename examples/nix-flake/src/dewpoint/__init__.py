"""The dew point by Magnus' formula, with the coefficients of Alduchov and Eskridge (1996, eq. 25): -40 to 50 degrees C."""

import math

__all__ = ["dew_point", "gets_wet"]

_B = 17.625
_C = 243.04  # degrees C


def dew_point(temperature: float, humidity: float) -> float:
    """Degrees C at which air of a temperature (degrees C) and a relative humidity (percent) is saturated."""
    if not 0 < humidity <= 100:
        raise ValueError(f"a relative humidity is above 0 and at most 100 percent, and is {humidity}")
    gamma = math.log(humidity / 100) + _B * temperature / (_C + temperature)
    return _C * gamma / (_B - gamma)


def gets_wet(wall: float, temperature: float, humidity: float) -> bool:
    """Whether water condenses on a wall of a temperature."""
    return wall <= dew_point(temperature, humidity)
