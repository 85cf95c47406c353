"""What ``conda activate`` would do to the variables of a shell, without a shell at each command.

In the order of conda's own (conda/activate.py, ``build_activate``): the folders of PATH and ``CONDA_*``, the variables
of ``etc/conda/env_vars.d/*.json``, those of ``conda-meta/state``, then the scripts in ``etc/conda/activate.d``. A
script can only be run: each is run once, in a shell of its own, and what it changed is remembered for as long as
neither the environment nor the variables that it saw are others.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ci_envs import command
from ci_envs.decoding import decode
from ci_envs.errors import CiEnvsError, InterruptedRun
from ci_envs.layout import write_atomically
from ci_envs.plain import one_line
from ci_envs.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Activation", "activate", "activation_variables", "run_scripts"]

#: An activation script sets variables; one that takes longer is waiting for something.
SCRIPT_SECONDS = 60.0

#: conda's mark of a variable that was taken back (conda/base/constants.py).
_UNSET = "***unset***"
#: conda does not let an environment set it so.
_RESERVED = frozenset(("PATH",))

# What differs from one terminal to the next. Scripts do not see it, so that what they answer can be remembered.
_PASSING = re.compile(
    r"_|PWD|OLDPWD|SHLVL|COLUMNS|LINES|WINDOWID|TERM_SESSION_ID|GPG_TTY|TTY|PROMPT|PS1|INVOCATION_ID|JOURNAL_STREAM|"
    r"(?:SSH|XDG_SESSION|VSCODE|TMUX|STY|KONSOLE|WT)(?:_\w+)?"
)

# The script's own words go where errors go: standard output is for the answer alone.
_SOURCE = (
    "_ci_envs_script=$1 _ci_envs_env=$2; shift 2; exec 3>&1 1>&2; "
    '. "$_ci_envs_script"; _ci_envs_status=$?; "$_ci_envs_env" -0 >&3; exit "$_ci_envs_status"'
)

#: Of cmd.exe: nothing that means something to it may be in a script's path.
_CMD_SPECIAL = re.compile(r"[&^%!<>|()\"\r\n]")


@dataclass(frozen=True, slots=True)
class Activation:
    """What activating an environment changes."""

    #: In front of PATH, in this order. Empty where it is in ``variables`` already.
    path: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    #: What could not be done, each a sentence.
    problems: tuple[str, ...] = ()


class _Memory(msgspec.Struct, frozen=True):
    """What the scripts did, as it is kept in a file."""

    key: str
    variables: dict[str, str]
    unset: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def activation_variables(prefix: Path, path: tuple[Path, ...]) -> Activation:
    """What activating sets before any script is run. ``path`` are the folders of the environment's programs.

    CONDA_SHLVL is 1, since the caller's own environment is not active inside. CONDA_PROMPT_MODIFIER is left out:
    nobody is prompted.
    """
    name = prefix.name if prefix.parent.name == "envs" else str(prefix)
    variables = {"CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": name, "CONDA_SHLVL": "1"}
    problems: list[str] = []
    asked: dict[str, str] = {}
    for file in (*_names(prefix / "etc/conda/env_vars.d", ""), prefix / "conda-meta/state"):
        asked |= _declared(file, problems)
    # conda writes all names in upper case (envvars_force_uppercase, by default true).
    upper = {key.upper(): value for key, value in asked.items() if value != _UNSET}
    problems += [f"the environment sets {key}, which conda ignores" for key in sorted(_RESERVED & upper.keys())]
    variables |= {key: value for key, value in upper.items() if key not in _RESERVED}
    return Activation(tuple(map(str, path)), variables, problems=tuple(problems))


def _names(folder: Path, ending: str) -> list[Path]:
    """The files of a folder in the order of their names."""
    try:
        return sorted(each for each in folder.iterdir() if each.name.endswith(ending) and each.is_file())
    except OSError:
        return []


def _declared(file: Path, problems: list[str]) -> dict[str, str]:
    """The variables that a JSON file sets; ``conda-meta/state`` has them below ``env_vars``."""
    if not file.is_file():
        return {}
    shown = f"{file.parent.name}/{one_line(file.name)}"
    try:
        told: Any = json.loads(file.read_bytes())
        told = told.get("env_vars", {}) if file.name == "state" else told
        pairs = list(told.items())
    except (OSError, ValueError, AttributeError, RecursionError):
        problems.append(f"{shown} cannot be read as variables, so none of it is set")
        return {}
    good = {key: value for key, value in pairs if isinstance(value, str) and _can_be_set(key, value)}
    if len(good) < len(pairs):
        bad = ", ".join(one_line(key, 40) for key, _ in pairs if key not in good)
        problems.append(f"{shown} sets {bad} to something that is no text, so it is not set")
    return good


def _can_be_set(key: str, value: str) -> bool:
    return bool(key) and "=" not in key and "\0" not in key + value


def activate(
    prefix: Path, environ: Mapping[str, str], *, memory: Path | None = None, log: Path | None = None
) -> Activation:
    """What the environment's scripts change in these variables, which are those of an activated environment already.

    ``memory`` is a file that belongs to this very content of the environment: what scripts did is kept in it, unless
    a secret is part of it. Their own words go to ``log``.
    """
    scripts = _names(prefix / "etc/conda/activate.d", ".bat" if sys.platform == "win32" else ".sh")
    if not scripts:
        return Activation()
    seen = {name: value for name, value in environ.items() if not _PASSING.fullmatch(name)}
    key = _key(prefix, seen)
    known = _remembered(memory, key)
    if known is None:
        found = run_scripts(scripts, seen, log)
        known = _Memory(key, found.variables, found.unset, found.problems)
        if memory is not None and _is_harmless(known, seen):
            _remember(memory, known)
    return Activation((), known.variables, known.unset, known.problems)


def _key(prefix: Path, seen: Mapping[str, str]) -> str:
    text = json.dumps([1, str(prefix), sorted(seen.items())])
    return hashlib.sha256(text.encode()).hexdigest()


def _remembered(memory: Path | None, key: str) -> _Memory | None:
    try:
        known = decode(memory.read_bytes(), _Memory) if memory is not None else None
    except (OSError, ValueError, msgspec.MsgspecError):
        return None
    return known if known is not None and known.key == key else None


def _is_harmless(known: _Memory, seen: Mapping[str, str]) -> bool:
    """Whether no secret of the caller's is among what is to be kept."""
    redact = Redactor.from_environment({**seen, **known.variables})
    text = "\n".join(known.variables.values())
    return redact(text) == text


def _remember(memory: Path, known: _Memory) -> None:
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(memory, msgspec.json.encode(known))
    except (OSError, UnicodeEncodeError):
        return  # they are run again the next time


def run_scripts(scripts: list[Path], environ: Mapping[str, str], log: Path | None = None) -> Activation:
    """Runs scripts one after the other, each in a shell of its own that has what the ones before have changed.

    A script that ends its shell, or takes too long, changes nothing, and is told of.
    """
    before = dict(environ)
    now = dict(before)
    problems: list[str] = []
    for script in scripts:
        after, problem = _run(script, now, log)
        now = now if after is None else after
        if problem:
            problems.append(f"activate.d/{one_line(script.name)} {problem}")
    changed = {name: value for name, value in now.items() if before.get(name) != value}
    return Activation((), changed, tuple(sorted(before.keys() - now.keys())), tuple(problems))


def _run(script: Path, environ: Mapping[str, str], log: Path | None) -> tuple[dict[str, str] | None, str]:
    """The variables after a script, if it came to its end; and what is to be said of it."""
    windows = sys.platform == "win32"
    argv = _batch(script) if windows else _sourced(script, environ)
    if not argv:
        return None, "cannot be run: its name means something to the shell, or there is no shell"
    try:
        request = command.Command(argv, cwd=script.parent, env=environ, timeout=SCRIPT_SECONDS, raw=True)
        outcome = command.run(request)
    except InterruptedRun:
        raise
    except (CiEnvsError, OSError) as error:
        return None, f"cannot be run: {error}"
    _write(log, script, outcome.stderr)
    if outcome.timed_out:
        return None, f"was ended after {SCRIPT_SECONDS:g} seconds; what it would set is not set"
    # Windows' Path is the PATH that Python knows: with both in one environment, nobody could say which one counts.
    own = {name.upper(): name for name in environ} if windows else {}
    answer = {own.get(name.upper(), name): told for name, told in _variables(outcome.stdout, windows)}
    after = {name: environ[name] if _as_read(environ.get(name)) == told else told for name, told in answer.items()}
    if not after:
        return None, f"ended its shell (exit code {outcome.returncode}); what it would set is not set"
    # Scripts often end with a test that fails; only one that complains, too, has gone wrong.
    if outcome.returncode and outcome.stderr.strip():
        return after, f"failed: {one_line(outcome.stderr, 200)}"
    return after, ""


def _sourced(script: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The caller's bash, as ``conda run`` takes it, else its sh: the environment's own need not be a whole one."""
    path = environ.get("PATH", os.defpath)
    shell, env = shutil.which("bash", path=path) or shutil.which("sh", path=path), shutil.which("env", path=path)
    if shell is None or env is None:
        return ()
    flags = ("--noprofile", "--norc") if Path(shell).name == "bash" else ()
    return (shell, *flags, "-c", _SOURCE, "activate", str(script), env)


def _batch(script: Path) -> tuple[str, ...]:
    if _CMD_SPECIAL.search(str(script)):
        return ()
    return ("cmd.exe", "/d", "/c", "call", str(script), "1>&2", "&", "set")


def _variables(answer: str, windows: bool) -> Iterator[tuple[str, str]]:
    for row in answer.replace("\r\n", "\n").split("\n") if windows else answer.split("\0"):
        name, equals, value = row.partition("=")
        # Of the shell's own making; the names that begin with "=" are cmd.exe's.
        if equals and name and not _PASSING.fullmatch(name):
            yield name, value


def _as_read(value: str | None) -> str | None:
    """A value as it comes back from a process: what cannot be decoded is replaced."""
    return None if value is None else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _write(log: Path | None, script: Path, said: str) -> None:
    if log is None:
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"$ . {script}\n{said}")
