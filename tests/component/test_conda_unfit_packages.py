"""Packages that reach out of the prefix, or do not fit it: refused, with nothing written outside."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.channel import Channel, make_channel
from tests.support.channel_archive import Member, Package, write_package
from tests.support.channel_broken import escaping_package, hard_link_package, short_placeholder_package, symlink_package
from tests.support.channel_packages import data_package, stub_package
from tests.support.conda_installs import Place, locked

from ci_envs.errors import BuildError
from ci_envs.model.conda import LockedPackage

pytestmark = pytest.mark.component
pytest_plugins = ("tests.component.conda_places",)
#: Where nobody else writes.
ABSOLUTE = "/ci-envs-escaped.txt"


def _linked_by_another() -> tuple[Package, ...]:
    """One package makes a link, the next one writes through it."""
    first = replace(data_package("first"), members=(Member(path="out", link="/etc", mode=0o777),))
    second = replace(data_package("second"), members=(Member(path="out/escaped.txt", data=b"x"),))
    return first, second


@pytest.mark.parametrize(
    "packages",
    [
        pytest.param((escaping_package("../escaped.txt"),), id="dots"),
        pytest.param((escaping_package("../escaping-1.0-0/../../escaped.txt"),), id="dots-to-what-is-there"),
        pytest.param((escaping_package("share/../../escaped.txt", archived=False),), id="dots-told"),
        pytest.param((escaping_package(ABSOLUTE),), id="absolute"),
        pytest.param((escaping_package(ABSOLUTE, archived=False),), id="absolute-told"),
        pytest.param((escaping_package("conda-meta/other-1.0-0.json"),), id="another-record"),
        pytest.param((symlink_package("/etc"),), id="link"),
        pytest.param((symlink_package("../../.."),), id="relative-link"),
        pytest.param((replace(data_package("l"), members=(Member(path="l", link="/etc/passwd"),)),), id="link-alone"),
        pytest.param((hard_link_package("/etc/hostname"),), id="hard-link"),
        pytest.param((hard_link_package("../../../../escaped.txt"),), id="relative-hard-link"),
        pytest.param(_linked_by_another(), id="link-of-another"),
    ],
)
@pytest.mark.parametrize("suffix", [".conda", ".tar.bz2"])
def test_a_package_that_reaches_outside_is_refused_and_writes_nothing(
    place: Place, tmp_path: Path, packages: tuple[Package, ...], suffix: Any
) -> None:
    channel = make_channel(tmp_path / "evil", [stub_package("plain", "1.0")])
    for package in packages:
        write_package(channel.folder / package.subdir, replace(package, suffix=suffix))
    told = [_told(channel, replace(package, suffix=suffix)) for package in packages]
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(place.cache)}
    with pytest.raises(BuildError, match="cannot be installed"):
        place.install([*locked(channel), *told])
    after = {path for path in tmp_path.rglob("*") if not path.is_relative_to(place.cache)}
    assert {path for path in after - before if path.is_relative_to(place.work().prefix)} == set()
    assert not [path for path in tmp_path.rglob("escaped.txt") if "pkgs" not in path.parts]
    assert not Path(ABSOLUTE).exists()
    assert place.leftovers() == []


def _told(channel: Channel, package: Package) -> LockedPackage:
    """As a lock names it; an index would refuse some of these."""
    archive = channel.folder / package.subdir / package.filename
    return LockedPackage(
        name=package.name,
        version=package.version,
        build=package.build,
        subdir=package.subdir,
        platform="linux-64",
        url=f"{channel.url}/{package.subdir}/{package.filename}",
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
    )


def test_a_placeholder_without_room_is_told_with_both_lengths(place: Place, tmp_path: Path) -> None:
    channel = make_channel(tmp_path / "short", [short_placeholder_package(24)])
    with pytest.raises(BuildError) as caught:
        place.install(locked(channel))
    length = len(str(place.work().prefix))
    assert f"a name of {length} bytes, and bin/short-native of short-native has room for 24" in caught.value.message
    assert "CI_ENVS_STATE_DIR" in caught.value.hint


def test_python_packages_need_a_python(place: Place, channel: Channel) -> None:
    with pytest.raises(BuildError, match="Python packages, and no python"):
        place.install([one for one in locked(channel) if one.name == "spam"])
