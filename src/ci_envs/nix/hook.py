"""Runs the script of a shell, its hook among it, and reads the variables that it leaves: as ``env -0`` tells them.

``nix develop -c`` would run the command in that very shell. Here the script runs once, with nobody to answer it, and
commands get what it has exported: a hook that ends its shell, or never ends, leaves none.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs import command, stragglers
from ci_envs.endings import how_it_ended
from ci_envs.errors import BuildError
from ci_envs.layout import remove_tree
from ci_envs.plain import one_line
from ci_envs.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci_envs.capture import Outcome
    from ci_envs.work import Work

__all__ = ["Scratch", "State", "own_program", "read_environ", "run_alone", "run_script", "scratch"]

#: A hook that sets up an environment of its own (``uv sync``) takes its minutes; one that takes longer waits for
#: something that never comes.
HOOK_SECONDS = 900.0

#: The mark of what comes from the caller's PATH: a folder that is not there, before the first of them.
_CALLERS = "callers-path-begins"

#: What the runner writes, or reads.
_FILES = ("script", "input", "answer", "group", "jobs", "asked")

#: Of the runner's own variables: `set -a` in a hook exports them.
_OWN = "__ci_envs_"

# The answer goes to a file, whatever the hook has done to its standard output. `>|`: it may have set noclobber.
# Standard input is a file of one NUL, which bash's `read` drops: whether somebody has read it can be told afterwards,
# since all who have it open share one offset.
_RUNNER = """\
printf %s "$$" >| {group}
printf '\\0' >| {input}
exec {{__ci_envs_input}}< {input} 0<&"$__ci_envs_input"
. {script}
__ci_envs_status=$?
{env} -0 >| {answer}
jobs -rp >| {jobs}
IFS= read -r -d '' -u "$__ci_envs_input" __ci_envs_input || : >| {asked}
exit "$__ci_envs_status"
"""


@dataclass(frozen=True, slots=True)
class State:
    """The variables of a shell at one moment, and what is to be said of how they came to be, each a sentence."""

    variables: dict[str, str]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scratch:
    """A folder that the hook can leave things in: nothing of it outlives the hook."""

    folder: Path
    #: What whoever is started inherits (:mod:`ci_envs.stragglers`).
    mark: str

    @property
    def divider(self) -> str:
        """What stands on PATH before the caller's own folders."""
        return str(self.folder / _CALLERS)

    @property
    def variables(self) -> dict[str, str]:
        """What keeps a hook's files out of the store, the prefix and the machine."""
        temporary = dict.fromkeys(("TMPDIR", "TEMPDIR", "TEMP", "TMP"), str(self.folder))
        # Interpreters of the store may be run by whoever may write to it, and would keep their bytecode there.
        return {**temporary, "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"), stragglers.MARK: self.mark}


@contextlib.contextmanager
def scratch(parent: Path) -> Iterator[Scratch]:
    """Such a folder, for a while."""
    folder = Path(tempfile.mkdtemp(prefix="hook-", dir=parent))
    try:
        yield Scratch(folder, stragglers.mark())
    finally:
        remove_tree(folder)


def run_script(
    work: Work, script: str, before: Mapping[str, str], place: Scratch, *, programs: str, file: str
) -> State:
    """The variables after a script of bash; ``before`` are those that it begins with.

    ``programs`` is the PATH on which bash and env are looked for: the shell's own, since what it sets for its own
    libraries may be the end of the machine's. ``file`` is what a message is about, relative to the project.
    :class:`BuildError` where no command could follow: the script ended its shell, or did not end in time.
    """
    folder, answer = place.folder, place.folder / "answer"
    (folder / "script").write_text(script, encoding="utf-8", errors="surrogateescape")
    places = {name: shlex.quote(str(folder / name)) for name in _FILES}
    text = _RUNNER.format(**places, env=shlex.quote(own_program("env", programs)))
    (folder / "runner").write_text(text, encoding="utf-8")
    bash = own_program("bash", programs)
    outcome, left = run_alone(work, (bash, "--noprofile", "--norc", str(folder / "runner")), before, place)
    if outcome.timed_out or not answer.is_file():
        raise _without_shell(outcome, work, file)
    found = read_environ(answer.read_bytes())
    variables = {name: value for name, value in found.items() if not name.startswith(_OWN)}
    asked = ("the shell's hook asks for input, and got none",) if (folder / "asked").exists() else ()
    # Its last words may be a secret that it has exported itself: the log has what it said, a record is handed on.
    redact = Redactor.from_environment(variables)
    return State(variables, (*map(redact, _complaint(outcome)), *asked, *left))


def own_program(name: str, programs: str) -> str:
    """Where a program is: the shell's own before the machine's."""
    return shutil.which(name, path=programs) or shutil.which(name, path=os.defpath) or name


def run_alone(
    work: Work, argv: tuple[str, ...], variables: Mapping[str, str], place: Scratch, *, raw: bool = False
) -> tuple[Outcome, tuple[str, ...]]:
    """Runs a command of the project's in its folder, without input; what it leaves running is ended, and told of."""
    for name in ("group", "jobs"):  # the runner writes them, if it is one
        (place.folder / name).unlink(missing_ok=True)
    request = command.Command(
        argv,
        cwd=work.project.root,
        env={**variables, **place.variables},
        timeout=HOOK_SECONDS,
        log=work.log,
        hold=work.hold,
        raw=raw,
    )
    try:
        outcome = command.run(request)
    finally:
        left = stragglers.end_left(place.mark, next(iter(_numbers(place.folder / "group")), 0))
    # What held one of our pipes was ended before anybody could ask for its name.
    left = left or ("a process",) * bool(_numbers(place.folder / "jobs"))
    if not left:
        return outcome, ()
    return outcome, (f"the shell's hook left {', '.join(left)} running: it was ended, and commands do without it",)


def read_environ(data: bytes) -> dict[str, str]:
    """``NAME=VALUE``, each ended by a NUL. Bytes that are not UTF-8 are kept as Python keeps them (PEP 383)."""
    rows = (os.fsdecode(row).partition("=") for row in data.split(b"\0") if row)
    return {name: value for name, equals, value in rows if name and equals}


def _numbers(file: Path) -> tuple[int, ...]:
    try:
        return tuple(map(int, file.read_text("ascii").split()))
    except (OSError, ValueError):
        return ()


def _complaint(outcome: Outcome) -> tuple[str, ...]:
    """nix goes on when a hook fails. Many end with a test that says no; one that complains, too, has gone wrong."""
    if outcome or not outcome.stderr.strip():
        return ()
    last = one_line(outcome.stderr.strip().splitlines()[-1], 200)
    return (f"the shell's hook failed ({how_it_ended(outcome)}): {last}",)


def _without_shell(outcome: Outcome, work: Work, file: str) -> BuildError:
    """Why no command could be run after the hook."""
    log = f"the log has what it said: {work.layout.shown(work.log)}"
    last = one_line(outcome.output.splitlines()[-1], 200) if outcome.output else ""
    said = f"; its last words: {last}" if last else ""
    if outcome.timed_out:
        hint = f"nobody answers it, and it has no terminal; {log}"
        return BuildError(f"the shell's hook {how_it_ended(outcome)}{said}", file=file, hint=hint)
    what = f"the shell's hook ended its shell, so no command can follow: it {how_it_ended(outcome)}{said}"
    return BuildError(what, file=file, hint=f"`exit`, `exec` and a failure after `set -e` do so; {log}")
