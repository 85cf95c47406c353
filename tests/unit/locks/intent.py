"""What the tests of locks share: a leg's markers, and the requirements of an intent file as a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.requirements import Requirement as Parsed

from ci_envs.errors import LockError
from ci_envs.model.lock import Requirement

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MARKERS = {
    "implementation_name": "cpython",
    "implementation_version": "3.12.1",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "6.1.0",
    "platform_system": "Linux",
    "platform_version": "#1 SMP",
    "python_full_version": "3.12.1",
    "python_version": "3.12",
    "sys_platform": "linux",
}


def asked(text: str, file: str = "requirements.in", line: int = 1) -> Requirement:
    return Requirement(text=text, name=Parsed(text).name, file=file, line=line)


def refusal(call: Callable[[], object]) -> LockError | None:
    """The error of ours that a call ends with; any other is the test's failure."""
    try:
        call()
    except LockError as error:
        return error
    return None


def intents(folder: Path) -> tuple[list[Requirement], list[Requirement]]:
    """The direct requirements of all ``*.in`` files of a case, and those of its ``constraints.txt``."""
    direct = [one for path in sorted(folder.glob("*.in")) for one in _lines(path)]
    constraints = folder / "constraints.txt"
    return direct, _lines(constraints) if constraints.exists() else []


def _lines(path: Path) -> list[Requirement]:
    numbered = enumerate(path.read_text("utf-8").splitlines(), start=1)
    return [asked(line, path.name, number) for number, line in numbered if line and line[0] not in "#-"]
