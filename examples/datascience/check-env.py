"""The environment's own health check: imports what matters, prints the versions, and does one sum with them."""

import sys

import fastapi
import numpy as np
import pandas as pd
import pydantic

print("Python:  ", sys.version.split()[0])
for module in (fastapi, np, pd, pydantic):
    print(f"{module.__name__ + ':':9}", module.__version__)

hours = pd.date_range("2026-01-01", periods=24, freq="h", tz="UTC")
mean = pd.Series(np.arange(24.0), index=hours).resample("12h").mean()
if mean.tolist() != [5.5, 17.5]:
    sys.exit(f"pandas and numpy disagree about a mean: {mean.tolist()}")
print("A mean over time comes out right.")
