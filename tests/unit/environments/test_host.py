"""What every environment offers beside running commands, on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci_envs.environments import host
from ci_envs.environments.host import HostEnvironment
from ci_envs.errors import BrokenError

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.environments import Environment


def environment(folder: Path) -> HostEnvironment:
    return HostEnvironment(folder / "prefix", caller={}, temp=folder / "tmp")


def test_it_is_an_environment(tmp_path: Path) -> None:
    one: Environment = environment(tmp_path)

    assert one.artifacts() == []


def test_places_and_outlets_are_the_same_paths(tmp_path: Path) -> None:
    one, report = environment(tmp_path), tmp_path / "report.xml"

    assert one.place(report) == one.outlet(report) == str(report)
    assert not one.collect(report)
    report.write_text("<x/>")
    assert one.collect(report)


def test_a_file_is_read_and_what_is_none_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"text")

    assert environment(tmp_path).read(str(tmp_path / "file")) == b"text"
    assert environment(tmp_path).read(str(tmp_path)) is None
    assert environment(tmp_path).read(str(tmp_path / "gone")) is None
    monkeypatch.setattr(host, "READ_LIMIT", 3)
    with pytest.raises(BrokenError, match="has more than"):
        environment(tmp_path).read(str(tmp_path / "file"))


def test_leftovers_are_told_by_their_names_and_sizes(tmp_path: Path) -> None:
    one = environment(tmp_path)
    assert one.leftovers() == ()
    assert HostEnvironment(tmp_path, caller={}).leftovers() == ()

    (tmp_path / "tmp" / "d").mkdir(parents=True)
    (tmp_path / "tmp" / "d" / "b").write_text("four")
    (tmp_path / "tmp" / "a").write_text("")

    assert [name.replace("\\", "/") for name in one.leftovers()] == ["a", "d/b"]
    assert list(one.sizes_left().values()) in ([0, 4], [4, 0])
