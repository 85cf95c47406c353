"""What is shipped of nixpkgs, and what markers come to on its systems."""

from __future__ import annotations

import base64
import re

import pytest
from packaging.markers import Marker
from packaging.utils import canonicalize_name

from ci_envs.errors import UsageError
from ci_envs.nix.nixpkgs import SYSTEMS, holds_on, names, python_attribute, release


def test_the_release_is_one_commit_with_the_hash_of_its_files() -> None:
    known = release()

    assert re.fullmatch(r"nixos-\d\d\.\d\d", known.branch)
    assert re.fullmatch(r"[0-9a-f]{40}", known.rev)
    algorithm, _, digest = known.nar_hash.partition("-")
    assert (algorithm, len(base64.b64decode(digest, validate=True))) == ("sha256", 32)
    assert known.day.startswith("20")
    assert known.python in known.pythons


def test_names_are_normalised_and_each_is_in_one_table() -> None:
    known = names()
    tables = [known.attributes, known.programs, known.absent]
    every = [name for table in tables for name in table]

    assert [canonicalize_name(name) for name in every] == every
    assert len(set(every)) == len(every)
    assert all(list(table) == sorted(table) for table in tables)
    assert not [name for name, attribute in known.attributes.items() if name == attribute]


@pytest.mark.parametrize(
    ("series", "attribute"), [("3.9", "python39"), ("3.12", "python312"), ("3.13t", "python313FreeThreading")]
)
def test_a_series_has_an_attribute(series: str, attribute: str) -> None:
    assert python_attribute(series) == attribute


@pytest.mark.parametrize("series", ["", "3", "3.12.1", "pypy3.10", "2.7", "3.12; rec", "3.\u0661"])
def test_what_is_no_series_is_refused(series: str) -> None:
    with pytest.raises(UsageError, match="is no Python that nixpkgs has"):
        python_attribute(series)


@pytest.mark.parametrize(
    ("marker", "held"),
    [
        ("sys_platform != 'win32'", "all"),
        ("os_name == 'posix'", "all"),
        ("sys_platform == 'win32'", "none"),
        ("sys_platform == 'linux'", "some"),
        ("platform_machine == 'arm64'", "some"),
        ("python_version < '3.11'", "none"),
        ("python_full_version >= '3.12.0'", "all"),
        ("extra == 'jam'", "none"),
        ("implementation_name == 'cpython'", "all"),
    ],
)
def test_a_marker_holds_on_all_some_or_none_of_the_systems(marker: str, held: str) -> None:
    assert holds_on(Marker(marker), "3.12") == held


def test_no_marker_holds_everywhere_and_there_are_four_systems() -> None:
    assert holds_on(None, "3.13t") == "all"
    assert set(SYSTEMS) == {"x86_64-linux", "aarch64-linux", "x86_64-darwin", "aarch64-darwin"}
