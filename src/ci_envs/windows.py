"""What Windows does otherwise when a program is looked for, started, ended, or given a long path. Pure.

The rules are those of CreateProcess, taskkill and the Win32 file names:
https://learn.microsoft.com/en-us/windows/win32/api/processthreadsapi/nf-processthreadsapi-createprocessw,
https://learn.microsoft.com/en-us/windows-server/administration/windows-commands/taskkill,
https://learn.microsoft.com/en-us/windows/win32/fileio/maximum-file-path-limitation.
"""

from __future__ import annotations

import re
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["end_tree", "find_program", "long_path_hint", "variable"]

#: Characters, with the NUL at the end.
MAX_PATH = 260

#: What the longest path in an ordinary site-packages takes below its prefix; those of large packages are longer.
_BELOW_A_PREFIX = 140

# What cmd.exe has where nothing is set; the last of these are no programs that CreateProcess could start.
_ENDINGS = (".COM", ".EXE", ".BAT", ".CMD")

# 206 is ERROR_FILENAME_EXCED_RANGE. A path that is too long is as often told of as one that is not there: 2, 3.
_TOO_LONG = re.compile(r"os error 206\b|WinError 206\b|Errno 36\b|filename or extension is too long|Filename too long")
_NOT_THERE = re.compile(r"os error [23]\b|WinError [23]\b|Errno 2\b")


def variable(environ: Mapping[str, str], name: str, default: str = "") -> str:
    """A variable whose name Windows would take for this one: ``Path`` for ``PATH``."""
    if name in environ:
        return environ[name]
    return next((value for key, value in environ.items() if key.upper() == name.upper()), default)


def find_program(name: str, environ: Mapping[str, str], is_file: Callable[[str], bool]) -> str:
    """The program that a bare name stands for on the PATH of these variables; empty where there is none.

    CreateProcess itself looks beside the program that calls it, in its current folder and on *its* PATH, and never at
    the variables that the new process is given: a leg would be handed a neighbour's pytest. Names with a folder in
    them come back as they are. ``is_file`` answers for the file system.
    """
    if PureWindowsPath(name).name != name:
        return name
    candidates = (
        str(PureWindowsPath(folder, spelled))
        for folder in _folders(variable(environ, "PATH"))
        for spelled in _spelled(name, environ)
    )
    return next((path for path in candidates if is_file(path)), "")


def _folders(path: str) -> Iterator[str]:
    """The absolute folders of a PATH: where a relative one would be depends on who asks."""
    for entry in path.split(";"):
        folder = entry.strip().strip('"')
        if PureWindowsPath(folder).is_absolute():
            yield folder


def _spelled(name: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """A name with each ending that makes a file a program; as it is where it has one already."""
    told = [ending for ending in variable(environ, "PATHEXT").upper().split(";") if ending in _ENDINGS]
    endings = tuple(told) or _ENDINGS
    return (name,) if name.upper().endswith(endings) else tuple(name + ending.lower() for ending in endings)


def end_tree(process: int, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The command that ends a process with all that it has started: Windows has no process groups to be killed.

    By its full path: whatever lies on a PATH under that name must not be what ends processes.
    """
    root = variable(environ, "SYSTEMROOT", r"C:\Windows")
    return (str(PureWindowsPath(root, "System32", "taskkill.exe")), "/PID", str(process), "/T", "/F")


def long_path_hint(said: str, prefix: str) -> str:
    """What to do where a tool failed by the length of a path below ``prefix``; empty where that is not the reason."""
    if not PureWindowsPath(prefix).drive:
        return ""
    may_be = len(prefix) + _BELOW_A_PREFIX >= MAX_PATH and _NOT_THERE.search(said)
    if not (may_be or _TOO_LONG.search(said)):
        return ""
    return (
        f"paths below {prefix} may have more than the {MAX_PATH} characters that Windows takes: switch on long paths "
        "(LongPathsEnabled in the registry), or name a shorter folder with CI_ENVS_STATE_DIR"
    )
