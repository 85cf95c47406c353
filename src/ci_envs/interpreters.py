"""Finds the interpreter for a leg, and remembers who each one said it was.

Candidates come from :mod:`ci_envs.places`; each is asked once, in a process of its own, and its answer is kept on
disk for as long as the file stays the same: a later run starts no process to find a Python that it knows.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ci_envs import command
from ci_envs.cache import Remembered, cache_root
from ci_envs.decoding import decode
from ci_envs.errors import CiEnvsError, ToolMissing
from ci_envs.machine import arch_name
from ci_envs.model.inventory import Interpreter
from ci_envs.places import candidates, parse_wanted

if TYPE_CHECKING:
    from ci_envs.command import Command, Outcome

__all__ = ["all_interpreters", "find_interpreter", "missing_python", "need_interpreter"]

Run = Callable[["Command"], "Outcome"]

#: An interpreter that takes longer to say its name is broken, or on a disk that is.
_ASK_TIMEOUT_SECONDS = 20.0

# Who it is, for any Python 3.8+ and with nothing imported that is not in the standard library. The markers are those
# of PEP 508, each computed as the PEP says; the paths are relative to the prefix, so that they name no machine.
_QUESTION = """\
import json, os, platform, sys, sysconfig
def version(info):
    kind = info.releaselevel
    text = "%d.%d.%d" % (info.major, info.minor, info.micro)
    return text if kind == "final" else text + {"alpha": "a", "beta": "b", "candidate": "rc"}[kind] + str(info.serial)
system = platform.system()
machine = platform.machine()
# What a Windows interpreter is built for; the machine may emulate it. win32, win-amd64, win-arm64.
built = sysconfig.get_platform().rpartition("-")[2] if os.name == "nt" else machine
flags = getattr(sys, "abiflags", "")
variable = sysconfig.get_config_var
def relative(path):
    try:
        return os.path.relpath(path, sys.prefix).replace(os.sep, "/")
    except ValueError:  # on another drive
        return path.replace(os.sep, "/")
answer = {
    "version": version(sys.version_info),
    "implementation": sys.implementation.name,
    "os": {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}.get(system, system.lower()),
    "arch": built if sys.maxsize > 2**32 else {"x86_64": "i686", "win32": "i686"}.get(built, built),
    "executable": sys.executable,
    "prefix": sys.prefix,
    "base_prefix": sys.base_prefix,
    "free_threaded": bool("t" in flags or variable("Py_GIL_DISABLED")),
    "debug": bool("d" in flags or hasattr(sys, "gettotalrefcount")),
    "markers": {
        "implementation_name": sys.implementation.name,
        "implementation_version": version(sys.implementation.version),
        "os_name": os.name,
        "platform_machine": machine,
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": system,
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    },
    "paths": {name: relative(path) for name, path in sysconfig.get_paths().items()},
}
print(json.dumps(answer))
"""


def find_interpreter(
    wanted: str,
    *,
    arch: str | None = None,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
    notes: list[str] | None = None,
    run: Run = command.run,
) -> Interpreter | None:
    """The interpreter for ``3.12``, ``3.12.4``, ``3.13t`` or ``pypy3.10``; ``None`` where this machine has none.

    The first place that has one answers; within a place the newest patch does. One of the wanted architecture (a
    leg's word) that is no debug build is looked for first; a debug build is better than none. ``notes`` takes a line
    for each candidate that did not answer. :class:`UsageError` where ``wanted`` is no version.
    """
    parsed = parse_wanted(wanted)
    second_best: Interpreter | None = None
    for found in _answers(wanted, environ, home, notes, run):
        if wanted not in (found.series, _exact(found)) or found.free_threaded != parsed.threads:
            continue
        if arch is not None and found.arch != arch:
            continue
        if not found.debug:
            return found
        second_best = second_best or found
    return second_best


def need_interpreter(
    wanted: str, *, arch: str | None = None, environ: Mapping[str, str] | None = None, run: Run = command.run
) -> Interpreter:
    """:func:`find_interpreter`, with :class:`ToolMissing` where there is none."""
    found = find_interpreter(wanted, arch=arch, environ=environ, run=run)
    if found is None:
        raise ToolMissing(missing_python(wanted), hint="ci-envs doctor lists the Pythons that are here")
    return found


def missing_python(wanted: str) -> str:
    """The sentence for a Python that is not here, with the command that brings it."""
    return f"no Python {wanted} here (uv python install {wanted})"


def all_interpreters(
    *,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
    notes: list[str] | None = None,
    run: Run = command.run,
) -> list[Interpreter]:
    """Every interpreter on this machine, the newest series first, and as they would be taken within one."""
    found = list(_answers(None, environ, home, notes, run))
    return sorted(found, key=lambda one: (one.implementation == "cpython", _series_key(one)), reverse=True)


def _answers(
    wanted: str | None, environ: Mapping[str, str] | None, home: Path | None, notes: list[str] | None, run: Run
) -> Iterator[Interpreter]:
    variables = os.environ if environ is None else environ
    memory = Remembered(cache_root(variables) / "interpreters.json", Interpreter, _question_word())
    parsed = parse_wanted(wanted) if wanted is not None else None
    for path, place in candidates(parsed, variables, home or Path.home()):
        answer = memory.get(path)
        if answer is None:
            try:
                answer = _ask(path, variables, run)
            except (CiEnvsError, OSError, msgspec.MsgspecError) as error:
                if notes is not None:
                    notes.append(f"{path} ({place}) does not say who it is: {str(error).splitlines()[0]}")
                continue
            memory.put(path, answer)
        yield msgspec.structs.replace(answer, executable=str(path))


def _ask(path: Path, environ: Mapping[str, str], run: Run) -> Interpreter:
    # What a Python on macOS or Windows was started through changes who it says it is.
    variables = {name: value for name, value in environ.items() if name != "__PYVENV_LAUNCHER__"}
    argv = (str(path), "-I", "-S", "-c", _QUESTION)
    outcome = run(command.Command(argv=argv, env=variables, timeout=_ASK_TIMEOUT_SECONDS, raw=True))
    if not outcome:
        said = outcome.tail(1) or f"exit code {outcome.returncode}"
        raise ToolMissing("it takes too long" if outcome.timed_out else said)
    answer = decode(outcome.last_line, Interpreter)
    return msgspec.structs.replace(answer, arch=arch_name(answer.arch))


def _exact(found: Interpreter) -> str:
    """``3.12.4``, ``3.13.0t`` or ``pypy3.10.14``: the whole version as a leg would write it."""
    return found.series.replace(".".join(found.version.split(".")[:2]), found.version, 1)


def _series_key(found: Interpreter) -> tuple[int, ...]:
    return tuple(int(part) for part in found.version.split(".")[:2])


def _question_word() -> str:
    """What answers depend on beside the interpreter's file: the question, and the kernel that two markers name."""
    kernel: object = None
    if sys.platform == "win32":
        kernel = sys.getwindowsversion()
    else:
        kernel = os.uname()[2:]  # without the machine's name
    return f"{zlib.crc32(_QUESTION.encode()):08x} {kernel}"
