"""What conda's platforms are called by pip's half of the world."""

from __future__ import annotations

import pytest
from packaging.markers import Marker
from tests.support.work import a_leg

from ci_envs.conda.targets import asked_interpreter, platform_of, python_spec, target
from ci_envs.errors import UsageError
from ci_envs.locks.reading import MARKER_NAMES
from ci_envs.model.conda import PLATFORMS


@pytest.mark.parametrize(
    ("os", "arch", "platform"),
    [
        ("linux", "x86_64", "linux-64"),
        ("linux", "aarch64", "linux-aarch64"),
        ("macos", "x86_64", "osx-64"),
        ("macos", "aarch64", "osx-arm64"),
        ("windows", "x86_64", "win-64"),
    ],
)
def test_each_leg_has_condas_word(os: str, arch: str, platform: str) -> None:
    assert platform_of(a_leg(os=os, arch=arch)) == platform


def test_a_machine_that_conda_has_no_word_for_is_named() -> None:
    with pytest.raises(UsageError, match="windows-aarch64"):
        platform_of(a_leg(os="windows", arch="aarch64"))


@pytest.mark.parametrize(
    ("python", "spec"), [("3.12", "python 3.12.*"), ("3.9", "python 3.9.*"), ("3.13t", "python 3.13.* *_cp313t")]
)
def test_the_legs_python_is_a_spec(python: str, spec: str) -> None:
    assert python_spec(python) == spec


def test_pypy_is_no_python_of_conda() -> None:
    with pytest.raises(UsageError, match=r"pypy3\.10"):
        python_spec("pypy3.10")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_marker_has_a_value(platform: str) -> None:
    assert set(target(platform, "3.12.4").markers) == MARKER_NAMES


@pytest.mark.parametrize(
    ("platform", "marker"),
    [
        ("linux-64", 'sys_platform == "linux" and platform_machine == "x86_64"'),
        ("linux-aarch64", 'platform_system == "Linux" and platform_machine == "aarch64"'),
        ("osx-arm64", 'sys_platform == "darwin" and platform_machine == "arm64"'),
        ("osx-64", 'sys_platform == "darwin" and platform_machine == "x86_64"'),
        ("win-64", 'os_name == "nt" and platform_machine == "AMD64"'),
    ],
)
def test_markers_are_those_of_the_platforms_interpreter(platform: str, marker: str) -> None:
    assert Marker(marker).evaluate(target(platform, "3.12.4").markers)


@pytest.mark.parametrize(
    ("platform", "fits", "does_not"),
    [
        ("linux-64", "cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_34_x86_64"),
        ("linux-64", "cp312-cp312-manylinux2014_x86_64", "cp312-cp312-musllinux_1_2_x86_64"),
        ("linux-64", "cp38-abi3-manylinux_2_28_x86_64", "cp313-cp313-manylinux_2_17_x86_64"),
        ("linux-aarch64", "cp312-cp312-manylinux2014_aarch64", "cp312-cp312-manylinux2014_x86_64"),
        ("osx-arm64", "cp312-cp312-macosx_11_0_arm64", "cp312-cp312-macosx_14_0_arm64"),
        ("osx-64", "cp312-cp312-macosx_10_13_x86_64", "cp312-cp312-macosx_11_0_arm64"),
        ("win-64", "cp312-cp312-win_amd64", "cp312-cp312-win32"),
        ("win-64", "py3-none-any", "py2-none-any"),
    ],
)
def test_tags_are_what_runs_there(platform: str, fits: str, does_not: str) -> None:
    tags = {str(tag) for tag in target(platform, "3.12.4").tags()}

    assert fits in tags
    assert does_not not in tags


def test_virtual_packages_say_which_wheels_run() -> None:
    old = {str(tag) for tag in target("linux-64", "3.12.4", virtual={"__glibc": "2.17"}).tags()}
    new = {str(tag) for tag in target("osx-arm64", "3.12.4", virtual={"__osx": "14.5"}).tags()}

    assert "cp312-cp312-manylinux_2_28_x86_64" not in old
    assert "cp312-cp312-macosx_14_0_arm64" in new


def test_a_python_without_the_global_lock_takes_its_own_wheels() -> None:
    tags = {str(tag) for tag in target("linux-64", "3.13.1", "h123_0_cp313t").tags()}

    assert "cp313-cp313t-manylinux_2_28_x86_64" in tags
    assert "cp313-cp313-manylinux_2_28_x86_64" not in tags


@pytest.mark.parametrize(
    ("platform", "glibc", "name"),
    [
        ("linux-64", "2.28", "x86_64-manylinux_2_28"),
        ("linux-64", "2.12", "x86_64-manylinux_2_17"),
        ("linux-aarch64", "2.35", "aarch64-manylinux_2_35"),
        ("linux-64", "2.99", "x86_64-manylinux_2_40"),
    ],
)
def test_uv_knows_the_platform_by_its_glibc(platform: str, glibc: str, name: str) -> None:
    assert target(platform, "3.12.4", virtual={"__glibc": glibc}).uv_platform == name


def test_the_interpreter_that_is_asked_for_meets_a_bound_within_its_series() -> None:
    found = asked_interpreter(a_leg(pattern="conda", python="3.12"))

    assert (found.series, found.executable) == ("3.12", "")
    assert Marker('python_full_version >= "3.12.2"').evaluate(found.markers)
    assert asked_interpreter(a_leg(pattern="conda", python="3.13t")).series == "3.13t"
