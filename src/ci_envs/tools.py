"""The programs that ci-envs brings with it or finds here, and their versions."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs import command, windows
from ci_envs.cache import Remembered, cache_root
from ci_envs.environ import tool_environment
from ci_envs.errors import CiEnvsError, ToolMissing

if TYPE_CHECKING:
    from ci_envs.command import Command, Outcome

__all__ = ["find_program", "tool_version", "uv_program"]

Run = Callable[["Command"], "Outcome"]

_SYSCONFIG = threading.Lock()

#: conda takes two seconds where its files are not yet in memory.
_ASK_TIMEOUT_SECONDS = 30.0

# The first thing in "uv 0.13.8 (linux)", "Docker version 26.1.5+dfsg1, build ..." or "nix (Nix) 2.18.1" that reads
# as a version.
_VERSION = re.compile(r"(?<![\w.])v?(\d+(?:\.\d+)+[\w.+-]*|\d+\.\w+)")

_ASIDE = re.compile(r"\([^()]*\)")


def uv_program(environ: Mapping[str, str] | None = None) -> Path:
    """Our uv: the file that ``CI_ENVS_UV`` names, else the one of the ``uv`` distribution, else the one on PATH."""
    variables = os.environ if environ is None else environ
    named = variables.get("CI_ENVS_UV", "").strip()
    if named:
        program = Path(named).expanduser().absolute()
        if not (program.is_file() and os.access(program, os.X_OK)):
            raise ToolMissing(f"CI_ENVS_UV names {named}, which is no program", hint="unset it to use the bundled uv")
        return program
    bundled = _bundled_uv() or find_program("uv", variables)
    if bundled is None:
        raise ToolMissing("uv is not installed beside ci-envs", hint="python -m pip install uv")
    return bundled


def find_program(name: str, environ: Mapping[str, str]) -> Path | None:
    """A program on the caller's PATH; ``None`` where it is not."""
    if sys.platform == "win32":  # where shutil.which takes what lies in the current folder, a project's, first
        found = windows.find_program(name, environ, os.path.isfile)
        return Path(found).absolute() if found else None
    import shutil

    program = shutil.which(name, path=environ.get("PATH", os.defpath))
    return Path(program).absolute() if program else None


def tool_version(
    program: Path, environ: Mapping[str, str] | None = None, *, flag: str = "--version", run: Run = command.run
) -> str:
    """The version that a program says it has, remembered for as long as its file stays the same.

    Empty where it cannot be told: the program fails, or says nothing that reads as a version.
    """
    variables = os.environ if environ is None else environ
    memory = Remembered(cache_root(variables) / "tools.json", str, f"2 {flag}")
    # A shim stands for another program on another day.
    known = None if "shims" in program.parts else memory.get(program)
    if known is not None:
        return known
    found = _ask(program, variables, flag, run)
    if found and "shims" not in program.parts:
        memory.put(program, found)
    return found


def _ask(program: Path, environ: Mapping[str, str], flag: str, run: Run) -> str:
    try:
        outcome = run(
            command.Command(argv=(str(program), flag), env=tool_environment(environ), timeout=_ASK_TIMEOUT_SECONDS)
        )
    except (CiEnvsError, OSError):
        return ""
    return version_in(outcome.output) if outcome else ""


def version_in(text: str) -> str:
    """The first version in what a program said, one in parentheses only where there is no other."""
    # "cc (Debian 12.2.0-14+deb12u1) 12.2.0": what a distribution calls it comes first.
    found = _VERSION.search(_ASIDE.sub(" ", text)) or _VERSION.search(text)
    return found[1].rstrip(".-,") if found else ""


@cache
def _bundled_uv() -> Path | None:
    """The file that the ``uv`` distribution beside us brought."""
    try:
        import uv
    except ImportError:
        return None
    with _SYSCONFIG:
        for last in (False, True):
            try:
                return Path(uv.find_uv_bin())
            except FileNotFoundError:
                return None
            except TypeError:
                # A thread that asks sysconfig for the first time leaves it half filled for the others (seen with
                # Python 3.11: EXE is None); it is whole in an instant.
                if last:
                    raise
                time.sleep(0.05)
    return None
