"""The commands that this repository runs: in steps, scripts, Makefiles and Dockerfiles, with the line of each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.workflows import Repository

__all__ = ["commands", "dockerfiles", "scripts"]

_DOCKERFILE = re.compile(r"(.*/)?(Dockerfile|Containerfile)[^/]*")
_SCRIPT = re.compile(r".*\.sh|\.ci/[^/.]+|(.*/)?Makefile")


def dockerfiles(repository: Repository) -> Iterator[str]:
    """The paths of Dockerfiles, and of the templates of them."""
    return (path for path in repository.files if _DOCKERFILE.fullmatch(path))


def scripts(repository: Repository) -> Iterator[str]:
    """The paths of files whose lines a shell reads."""
    return (path for path in repository.files if _SCRIPT.fullmatch(path))


def commands(repository: Repository) -> Iterator[tuple[str, int, str]]:
    """File, line and text of every command, without comments; what is continued behind a backslash is one."""
    for step in repository.steps:
        first = step.at("run") + (1 if "\n" in step.run else 0)
        yield from ((step.file, first + number, text) for number, text in _joined(step.run))
    for path in (*dockerfiles(repository), *scripts(repository)):
        yield from ((path, 1 + number, text) for number, text in _joined(repository.files[path]))


def _joined(text: str) -> Iterator[tuple[int, str]]:
    # Each joined line keeps its number by as many empty ones behind it.
    lines: list[str] = []
    for line in text.splitlines():
        bare = "" if line.lstrip().startswith("#") else line
        lines.append(bare)
    number = 0
    while number < len(lines):
        first, whole = number, lines[number]
        while whole.endswith("\\") and number + 1 < len(lines):
            number += 1
            whole = f"{whole[:-1]} {lines[number].strip()}"
        if whole.strip():
            yield first, whole
        number += 1
