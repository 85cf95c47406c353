from importlib.metadata import entry_points, requires, version

import pytest

from lapse.command import main


def test_the_command_prints_the_moment(capsys):
    assert main(["P1Y", "2024-02-29"]) == 0
    assert capsys.readouterr().out == "2025-02-28T00:00:00\n"


def test_a_wrong_duration_is_a_usage_error(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["tomorrow", "2024-02-29"])
    assert "duration" in capsys.readouterr().err


def test_the_package_is_installed_with_its_command():
    (found,) = entry_points(group="console_scripts", name="lapse")
    assert found.load() is main
    assert version("lapse-notation") == "0.1.0"
    assert {line.split(">")[0] for line in requires("lapse-notation")} == {"attrs", "python-dateutil"}
