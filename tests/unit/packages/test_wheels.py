from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import make_sdist, make_wheel, with_other_metadata

from ci_envs.packages.wheels import read_wheel, told_tags

if TYPE_CHECKING:
    from pathlib import Path


def test_a_wheel_tells_what_its_name_tells(tmp_path: Path) -> None:
    wheel = read_wheel(make_wheel(tmp_path, "Some.Name", "1.0"))

    assert wheel is not None
    assert (wheel.name, wheel.version, wheel.folder) == ("some-name", "1.0", "some_name-1.0.dist-info")
    assert told_tags(wheel.wheel) == ["Tag: py3-none-any"]


@pytest.mark.parametrize(
    "name",
    [
        "apple-1.0-py2.py3-none-any.whl",
        "apple-1.0-cp312-cp312-linux_x86_64.whl",
        "apple-1.0-7-py3-none-any.whl",
        "apple-1.1-py3-none-any.whl",
        "pear-1.0-py3-none-any.whl",
        "apple.whl",
        "apple-1.0-py3-none-any.zip",
    ],
)
def test_a_wheel_that_is_called_something_else_is_none(tmp_path: Path, name: str) -> None:
    assert read_wheel(make_wheel(tmp_path, "apple", "1.0").rename(tmp_path / name)) is None


@pytest.mark.parametrize("tags", ["py2.py3-none-any", "cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64"])
def test_several_tags_are_all_compared(tmp_path: Path, tags: str) -> None:
    path = make_wheel(tmp_path, "apple", "1.0", tags=tags)

    wheel = read_wheel(path)

    assert wheel is not None
    assert len(told_tags(wheel.wheel)) == 2


def test_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    torn = make_wheel(tmp_path, "apple", "1.0")
    torn.write_bytes(torn.read_bytes()[:-40])
    empty = tmp_path / "pear-1.0-py3-none-any.whl"
    empty.write_bytes(b"")
    bare = tmp_path / "plum-1.0-py3-none-any.whl"
    with zipfile.ZipFile(bare, "w") as archive:
        archive.writestr("plum.py", "")

    assert [read_wheel(path) for path in (torn, empty, bare, tmp_path / "no-1-py3-none-any.whl")] == [None] * 4
    assert read_wheel(make_sdist(tmp_path, "fig", "1.0")) is None


def test_two_metadata_folders_are_one_too_many(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "apple", "1.0")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("pear-1.0.dist-info/WHEEL", "Tag: py3-none-any\n")

    assert read_wheel(path) is None


def test_a_line_for_several_tags_is_one_for_each() -> None:
    assert told_tags("Wheel-Version: 1.0\nTag: py2.py3-none-any\nBuild: 1a\n") == [
        "Build: 1a",
        "Tag: py2-none-any",
        "Tag: py3-none-any",
    ]


def test_what_metadata_says_inside_is_left_to_the_installer(tmp_path: Path) -> None:
    assert read_wheel(with_other_metadata(make_wheel(tmp_path, "apple", "1.0"), name="pear")) is not None
