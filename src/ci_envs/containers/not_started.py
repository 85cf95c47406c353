"""Why a command in a container did not start, by what runtimes say of it. Pure.

runc and crun say so on the command's own streams, and the exit codes 126 and 127 are also those of shells.
"""

from __future__ import annotations

import errno
import re

from ci_envs.errors import ToolMissing

__all__ = ["not_started", "unrunnable"]

#: Docker's words around those of the runtime.
_DOCKER = re.compile(r"\AOCI runtime exec failed: ")

#: Podman's, and those at their end that tell its two kinds apart.
_PODMAN = re.compile(
    r"\AError: .*OCI (?:permission denied|runtime attempted to invoke a command that was not found|runtime error)",
    re.DOTALL,
)

#: runc's last words in the place of a command whose file the kernel does not run.
_KERNEL = re.compile(r"\Aexec /[^\n]*: (no such file or directory|exec format error|permission denied)\n?\Z")

#: Those of a shell that was to take its place.
_SHELL = re.compile(r"\A[^\n]*exec: [^\n]*(not found|[Pp]ermission denied)\n?\Z")

_FOLDER = re.compile(r"chdir to (?:cwd )?\(?[\"'`]?([^\s\"'`)]*)|\bcwd\b")
_ABSENT = re.compile(
    r"executable file .*not found in|no such file or directory|command that was not found|: not found", re.IGNORECASE
)
_WHY = re.compile(
    r"permission denied|exec format error|is a directory|too many levels of symbolic links", re.IGNORECASE
)


def not_started(program: str, code: int, stdout: str, stderr: str, *, began: bool) -> OSError | ToolMissing | None:
    """What it means that a command ended so; ``None`` where it was the command itself that did.

    ``began`` is whether the engine knows of a process: Docker does of those that began, Podman of none.
    """
    if code in (126, 127):
        if not began and _DOCKER.search(stdout + stderr):
            return unrunnable(program, stdout + stderr)
        if not stdout and (_PODMAN.search(stderr) or _SHELL.search(stderr)):
            return unrunnable(program, stderr)
    if code in (1, 126, 127, 255) and not stdout and _KERNEL.search(stderr):
        return unrunnable(program, stderr)
    return None


def unrunnable(program: str, said: str) -> OSError | ToolMissing | None:
    """The same as for a process of this machine; ``None`` for words that are about something else."""
    if folder := _FOLDER.search(said):
        return FileNotFoundError(errno.ENOENT, "there is no such folder in the container", folder[1] or "")
    if _ABSENT.search(said):
        return ToolMissing(f"there is no program {program!r} here")
    why = _WHY.search(said)
    return ToolMissing(f"{program!r} cannot be run here: {why[0].lower()}") if why else None
