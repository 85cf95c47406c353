"""The files by which a step tells the runner something: actions/runner, FileCommandManager.cs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["MOST_SUMMARY", "CommandFileError", "StepFiles", "read_command_file", "read_path_file"]

#: Bytes of a summary; of a longer one nothing is shown, and the step gets an error.
MOST_SUMMARY = 1024 * 1024

_FILES = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY", "GITHUB_STATE")


class CommandFileError(Exception):
    """A command file that the runner cannot read: the step fails."""


class StepFiles:
    """The empty files of one step."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.variables = {name: str(folder / name.lower()) for name in _FILES}
        self._folder = folder
        for name in _FILES:
            self.path(name).touch()

    def path(self, name: str) -> Path:
        """Of the variable's file."""
        return self._folder / name.lower()


def read_command_file(path: Path) -> dict[str, str]:
    """GITHUB_OUTPUT, GITHUB_ENV, GITHUB_STATE: ``name=value``, or ``name<<delimiter`` and lines up to it."""
    values: dict[str, str] = {}
    text = path.read_bytes().decode("utf-8")
    lines = iter(text.removesuffix("\n").split("\n") if text else [])
    for line in lines:
        equals, heredoc = line.find("="), line.find("<<")
        if not line:
            continue
        if equals >= 0 and (heredoc < 0 or equals < heredoc):
            values[line[:equals]] = line[equals + 1 :]
        elif heredoc > 0 and line[heredoc + 2 :]:
            values[line[:heredoc]] = _until(line[heredoc + 2 :], lines)
        else:
            raise CommandFileError(f"Invalid format '{line}'")
    return values


def _until(delimiter: str, lines: Iterator[str]) -> str:
    taken: list[str] = []
    for line in lines:
        if line == delimiter:
            return "\n".join(taken)
        taken.append(line)
    raise CommandFileError(f"Invalid value. Matching delimiter not found '{delimiter}'")


def read_path_file(path: Path, before: list[str]) -> list[str]:
    """GITHUB_PATH after what was there before; what is named again moves to the end, which is first on PATH."""
    folders = list(before)
    for line in path.read_text("utf-8").splitlines():
        if line:
            folders = [folder for folder in folders if folder != line] + [line]
    return folders
