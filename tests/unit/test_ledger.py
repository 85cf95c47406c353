from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci_envs.ledger import Notes, is_digest

if TYPE_CHECKING:
    from pathlib import Path

KEY = "ab" * 32


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "notes")


def test_an_unknown_key_has_no_note(notes: Notes) -> None:
    assert notes.read(KEY) == {}


def test_of_two_that_add_the_first_one_wins(notes: Notes) -> None:
    assert notes.add(KEY, {"said": "first"})
    assert not notes.add(KEY, {"said": "second"})
    assert notes.read(KEY) == {"said": "first"}


def test_a_note_can_be_replaced(notes: Notes) -> None:
    notes.add(KEY, {"said": "first"})
    notes.replace(KEY, {"said": "second"})
    assert notes.read(KEY) == {"said": "second"}


def test_adding_leaves_nothing_beside_the_note(notes: Notes, tmp_path: Path) -> None:
    notes.add(KEY, {"said": "first"})
    notes.add(KEY, {"said": "second"})
    assert [path.name for path in (tmp_path / "notes").rglob("*") if path.is_file()] == [f"{KEY}.json"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"x"', b"\xff\xfe"])
def test_a_note_that_cannot_be_read_is_none(notes: Notes, tmp_path: Path, data: bytes) -> None:
    notes.add(KEY, {"said": "first"})
    next((tmp_path / "notes").rglob("*.json")).write_bytes(data)
    assert notes.read(KEY) == {}


@pytest.mark.parametrize(
    ("value", "fits"),
    [("sha256:" + "0" * 64, True), ("sha256:" + "0" * 63, False), ("0" * 64, False), (None, False), (7, False)],
)
def test_what_a_digest_is(value: object, fits: bool) -> None:
    assert is_digest(value) is fits
