"""A lock that git has checked out with the line ends of Windows (core.autocrlf) pins what it pins elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.environments import MARKERS

from ci_envs.errors import CiEnvsError
from ci_envs.locks.pylock import read_pylock
from ci_envs.locks.requirements import classify, read_requirements

ROOT = Path(__file__).parents[3]
CASES = ROOT / "tests/cases"


def texts(*folders: Path, names: str) -> dict[str, str]:
    """UTF-8 files with the line ends of Linux, by their paths."""
    found = {}
    for path in sorted(path for folder in folders for path in folder.rglob(names) if path.is_file()):
        data = path.read_bytes()
        try:
            found[path.relative_to(ROOT).as_posix()] = data.decode()
        except UnicodeDecodeError:
            continue  # a sick case, which is refused before it is read
    return {name: text for name, text in found.items() if "\r" not in text}


REQUIREMENTS = texts(CASES / "locks", CASES / "detect", ROOT / "requirements", names="*requirements*.txt") | texts(
    ROOT / "requirements", names="*.txt"
)
PYLOCKS = texts(CASES, names="pylock*.toml")


def outcome(read: object) -> object:
    """What a reader answers, or the words of its refusal."""
    assert callable(read)
    try:
        return read()
    except CiEnvsError as error:
        return type(error), str(error), error.hint


def windows(text: str) -> str:
    return text.replace("\n", "\r\n")


def test_there_are_locks_of_each_kind() -> None:
    assert min(map(len, (REQUIREMENTS, PYLOCKS))) > 2


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements(name: str) -> None:
    text = REQUIREMENTS[name]
    read = [
        outcome(lambda text=text: read_requirements(text, path=name, markers=MARKERS, sha256="0" * 64))
        for text in (text, windows(text))
    ]
    assert read[0] == read[1]
    assert outcome(lambda: classify(text)) == outcome(lambda: classify(windows(text)))


@pytest.mark.parametrize("name", PYLOCKS)
def test_pylocks(name: str) -> None:
    text = PYLOCKS[name]
    read = [outcome(lambda text=text: _without_bytes(text, name)) for text in (text, windows(text))]
    assert read[0] == read[1]


def _without_bytes(text: str, name: str) -> object:
    import msgspec

    found = read_pylock(text, path=name, markers=MARKERS)
    return msgspec.structs.replace(found.lock, sha256=""), found.lines
