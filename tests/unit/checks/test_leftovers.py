from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.support.environments import a_context

from ci_envs.checks.leftovers import NothingLeftInTemp

if TYPE_CHECKING:
    from pathlib import Path


def left(folder: Path, files: dict[str, int]) -> list[str]:
    context = a_context(folder)
    for name, size in files.items():
        path = context.temp / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0" * size)
    found = list(NothingLeftInTemp().run(context))
    assert all((finding.code, finding.severity) == ("ENV601", "warning") for finding in found)
    return [finding.message for finding in found]


@pytest.mark.parametrize("files", [{}, {"a.lock": 0, "b/socket": 0}, {"a": 400_000, "b": 600_000}])
def test_nothing_or_little_is_let_pass(tmp_path: Path, files: dict[str, int]) -> None:
    assert left(tmp_path, files) == []


def test_more_than_a_megabyte_is_told_with_the_largest_files_first(tmp_path: Path) -> None:
    files = {"b/large": 900_000, "a": 99_999, "c": 2} | {f"small{number}": 1 for number in range(4)}
    assert left(tmp_path, files) == [
        "1000005 bytes in 7 files, the largest: b/large, a, c, small0, small1",
    ]


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "large").write_bytes(b"0" * 2_000_000)
    context = a_context(tmp_path)
    context.temp.mkdir()
    (context.temp / "folder").symlink_to(tmp_path / "elsewhere")
    (context.temp / "file").symlink_to(tmp_path / "elsewhere" / "large")
    assert list(NothingLeftInTemp().run(context)) == []


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="its file names are always UTF-8 or UTF-16")
def test_a_name_that_is_no_text_can_be_written_to_a_record(tmp_path: Path) -> None:
    (message,) = left(tmp_path, {"bad\udcff\x1b[31mname": 1_000_001})
    assert message.endswith("the largest: badname")
    assert msgspec.json.encode(message)
