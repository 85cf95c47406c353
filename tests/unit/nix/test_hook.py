from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from ci_envs.nix.hook import own_program, read_environ, scratch

if TYPE_CHECKING:
    import pytest

NAMES = st.text(st.characters(exclude_characters="=\0", exclude_categories=["Cs"]), min_size=1)
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.dictionaries(NAMES, VALUES))
def test_variables_are_read_as_they_were_written(variables: dict[str, str]) -> None:
    data = b"".join(f"{name}={value}\0".encode() for name, value in variables.items())

    assert read_environ(data) == variables


@given(st.binary())
def test_any_bytes_can_be_read(data: bytes) -> None:
    assert all(name and "=" not in name for name in read_environ(data))


def test_values_may_have_lines_and_equals_signs() -> None:
    assert read_environ(b"A=1\nB=2\0C=x=y\0D=\0=E\0F\0") == {"A": "1\nB=2", "C": "x=y", "D": ""}


def test_a_scratch_folder_is_gone_afterwards_with_all_that_is_in_it(tmp_path: Path) -> None:
    with scratch(tmp_path) as place:
        (place.folder / "closed").mkdir()
        (place.folder / "closed/file").touch()
        (place.folder / "closed").chmod(0o500)
        assert place.variables["TMPDIR"] == str(place.folder)
        assert Path(place.variables["PYTHONPYCACHEPREFIX"]).is_relative_to(place.folder)
        assert not Path(place.divider).exists()

    assert list(tmp_path.iterdir()) == []


def test_the_shells_own_program_comes_before_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("own", "machine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "env").touch(mode=0o755)
    monkeypatch.setattr(os, "defpath", str(tmp_path / "machine"))

    assert own_program("env", str(tmp_path / "own")) == str(tmp_path / "own/env")
    assert own_program("env", "") == str(tmp_path / "machine/env")
    assert own_program("no-such-program", "") == "no-such-program"
