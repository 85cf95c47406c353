from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import seiche

HERE = Path(__file__).parents[1]


def test_the_first_mode_of_lake_geneva_takes_more_than_an_hour() -> None:
    # Observed since Forel (1876): about 73 minutes; the formula takes the lake for a box and comes near.
    assert 55 < seiche.periods(70_000, 160)[0] / 60 < 75


def test_modes_are_fractions_of_the_first() -> None:
    found = seiche.periods(1000, 10, modes=4)

    np.testing.assert_allclose(found * [1, 2, 3, 4], found[0])


def test_a_lake_without_water_has_no_period() -> None:
    with pytest.raises(ValueError, match="positive"):
        seiche.periods(1000, 0)


def test_the_environment_says_the_unit() -> None:
    assert os.environ["SEICHE_UNIT"] == "minutes"
    assert seiche.table(70_000, 160).startswith("1st mode: ")


def test_make_is_the_environments_own(tmp_path: Path) -> None:
    make = shutil.which("make")
    assert make is not None
    assert Path(make).is_relative_to(sys.prefix)
    for name in ("Makefile", "seiche.py"):
        shutil.copy(HERE / name, tmp_path)

    subprocess.run([make, "periods.txt"], cwd=tmp_path, check=True, capture_output=True)

    assert (tmp_path / "periods.txt").read_text().count("minutes") == 3
