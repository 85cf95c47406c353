from __future__ import annotations

from tests.support.records import record

from ci_envs.model.inventory import Distribution
from ci_envs.model.report import Parity
from ci_envs.report.parity import by_version, parity


def test_only_packages_whose_version_differs_are_rows() -> None:
    rows = parity(
        [
            record(pattern="uv", packages={"numpy": "2.1.0", "click": "8.1"}),
            record(pattern="venv", packages={"numpy": "2.2.0", "click": "8.1"}),
        ]
    )

    assert rows == (
        Parity(package="numpy", versions={"uv-py312-linux-x86_64": "2.1.0", "venv-py312-linux-x86_64": "2.2.0"}),
    )


def test_legs_of_other_projects_are_not_compared() -> None:
    assert parity([record(project="a", packages={"numpy": "1"}), record(project="b", packages={"numpy": "2"})]) == ()


def test_a_leg_of_lowest_versions_is_not_compared_with_one_of_highest() -> None:
    assert parity([record(packages={"numpy": "2"}), record(resolution="lowest", packages={"numpy": "1"})]) == ()


def test_a_package_that_one_leg_lacks_is_no_row() -> None:
    assert parity([record(pattern="uv", packages={}), record(pattern="venv", packages={"pip": "25"})]) == ()


def test_packages_of_the_system_are_not_compared_with_those_of_python() -> None:
    system = (Distribution(name="numpy", version="1.24-2", manager="dpkg"),)

    assert parity([record(packages={"numpy": "2"}), record(pattern="venv", inventory=system)]) == ()


def test_conda_packages_are_compared() -> None:
    conda = (Distribution(name="numpy", version="1", manager="conda"),)

    assert [
        row.package for row in parity([record(packages={"numpy": "2"}), record(pattern="conda", inventory=conda)])
    ] == ["numpy"]


def test_the_version_of_most_legs_comes_last() -> None:
    row = Parity(package="numpy", versions={"a": "2", "b": "1", "c": "2"})

    assert by_version(row) == [("1", ["b"]), ("2", ["a", "c"])]


def test_what_an_environment_was_made_with_is_no_difference() -> None:
    legs = [
        record(pattern=pattern, inventory=(Distribution(name="pip", version=version, seed=True),))
        for pattern, version in (("uv", "24.2"), ("venv", "23.2.1"))
    ]

    assert parity(legs) == ()
