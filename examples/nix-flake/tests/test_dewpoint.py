import sys

import pytest
from click.testing import CliRunner

from dewpoint import dew_point, gets_wet
from dewpoint.command import main


@pytest.mark.parametrize(("temperature", "humidity", "wanted"), [(20, 50, 9.3), (25, 60, 16.7), (0, 80, -3.0)])
def test_the_dew_point_is_that_of_the_tables(temperature, humidity, wanted):
    assert dew_point(temperature, humidity) == pytest.approx(wanted, abs=0.1)


def test_saturated_air_is_at_its_dew_point():
    assert dew_point(13.5, 100) == pytest.approx(13.5)


def test_a_cold_wall_gets_wet_and_a_warm_one_does_not():
    assert gets_wet(wall=9, temperature=20, humidity=50)
    assert not gets_wet(wall=15, temperature=20, humidity=50)


@pytest.mark.parametrize("humidity", [0, -1, 101])
def test_a_humidity_that_cannot_be_is_refused(humidity):
    with pytest.raises(ValueError, match="relative humidity"):
        dew_point(20, humidity)


def test_the_command_says_both():
    done = CliRunner().invoke(main, ["20", "65", "--wall", "13"])
    assert done.output == "13.2 degrees C\nthe wall gets wet\n"


def test_python_and_its_packages_are_of_the_store():
    assert sys.executable.startswith("/nix/store/")
    assert pytest.__file__.startswith("/nix/store/")
