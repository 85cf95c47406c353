"""``.envrc``: which shell it says to use, what else it sets, and the one that is offered.

The two lines that name a shell are read here, since direnv would evaluate it by itself each time. All other lines are
bash: direnv runs them, where it is on the machine. https://direnv.net/man/direnv-stdlib.1.html
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ci_envs.nix.hook import State, own_program, run_alone
from ci_envs.plain import one_line
from ci_envs.tools import find_program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_envs.nix.described import Description
    from ci_envs.nix.hook import Scratch
    from ci_envs.project import Project
    from ci_envs.work import Work

__all__ = ["ENVRC", "Envrc", "apply_envrc", "from_envrc", "offered_envrc", "read_envrc"]

ENVRC = ".envrc"

_NOT_RUN = "NIX021"

#: How many lines a message names.
_NAMED = 3

# Better versions of `use flake` and `use nix`, fetched where they are not there. https://github.com/nix-community/nix-direnv
_NIX_DIRENV = re.compile(
    r"^[ \t]*if ! has nix_direnv_version \|\| ! nix_direnv_version \S+; then\n[ \t]*source_url [^\n]*\n[ \t]*fi[ \t]*$",
    re.MULTILINE,
)
# As in bash: it begins a word. shlex would take that of `.#ci` for one.
_COMMENT = re.compile(r"(?<!\S)#.*")

#: They say when direnv is to look again, or how it works, and set nothing.
_SETS_NOTHING = (
    *("watch_file", "watch_dir", "strict_env", "unstrict_env", "log_status", "direnv_version", "nix_direnv_version"),
    *("nix_direnv_watch_file", "nix_direnv_manual_reload", "nix_direnv_disallow_fallback"),
)

#: The shell is there already when direnv runs the other lines.
_DIRENVRC = """\
use_flake() { :; }
use_nix() { :; }
nix_direnv_version() { :; }
nix_direnv_watch_file() { :; }
nix_direnv_manual_reload() { :; }
nix_direnv_disallow_fallback() { :; }
"""


@dataclass(frozen=True, slots=True)
class Envrc:
    """What an ``.envrc`` says."""

    #: The words of its first ``use flake`` or ``use nix``; empty where there is none.
    use: tuple[str, ...] = ()
    #: What it tells nix beside where the shell is.
    flags: tuple[str, ...] = ()
    #: All other lines that may set something, with their numbers.
    others: tuple[tuple[int, str], ...] = ()


def read_envrc(text: str) -> Envrc:
    """The lines, without those that set nothing. One that is not alone on its line is not read, but left to direnv."""
    text = _NIX_DIRENV.sub(lambda found: "\n" * found[0].count("\n"), text)
    use: tuple[str, ...] = ()
    others = []
    for number, line in enumerate(text.splitlines(), 1):
        words = _words(line)
        if words[:2] in (("use", "flake"), ("use", "nix")) and not use:
            use = words
        elif words and words[0] not in _SETS_NOTHING:
            others.append((number, line.strip()))
    return Envrc(use, _flags(use), tuple(others))


def _words(line: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(_COMMENT.sub("", line)))
    except ValueError:  # of a text over several lines
        return (line,)
    return ("use", words[0][4:], *words[1:]) if words[:1] in (("use_flake",), ("use_nix",)) else words


def _flags(use: tuple[str, ...]) -> tuple[str, ...]:
    known = ("-A", "--attr") if use[1:2] == ("nix",) else ()
    return tuple(word for word in use[2:] if word.startswith("-") and word not in known)


def from_envrc(project: Project) -> tuple[str, str] | None:
    """The file, relative to the project, and the attribute that ``.envrc`` names.

    ``None`` where there is no such file in the project: another's flake, ``use nix -p``, or no ``.envrc`` at all.
    """
    use = read_envrc(project.text(ENVRC) or "").use if project.exists(ENVRC) else ()
    if not use:
        return None
    file, attribute = _of_flake(use[2:]) if use[1] == "flake" else _of_nix(use[2:], project)
    return (file, attribute) if file and project.exists(file) else None


def _of_flake(words: tuple[str, ...]) -> tuple[str, str]:
    """``use flake [REF#ATTR]``: a folder begins with a dot, anything else is a name in a registry, or an address."""
    reference = words[0] if words and not words[0].startswith("-") else "."
    folder, _, attribute = reference.partition("#")
    folder = folder.removeprefix("path:") or "."
    if not folder.startswith(".") or "?" in folder:
        return "", ""
    return posixpath.normpath(posixpath.join(folder, "flake.nix")), attribute


def _of_nix(words: tuple[str, ...], project: Project) -> tuple[str, str]:
    """``use nix [FILE] [-A ATTR]``: the words of ``nix-shell``, which takes shell.nix, else default.nix, by itself."""
    file, attribute, rest = "", "", list(words)
    while rest:
        word = rest.pop(0)
        if word in ("-A", "--attr") and rest:
            attribute = rest.pop(0)
        elif word.startswith("-") or file:
            return "", ""
        else:
            file = posixpath.normpath(word)
    default = next((name for name in ("shell.nix", "default.nix") if project.exists(name)), "")
    return file or default, attribute


def offered_envrc(description: Description) -> str:
    """The text of an ``.envrc`` that has direnv use this shell."""
    return f"# Read by direnv (https://direnv.net) once you have said: direnv allow\n{_use_line(description)}\n"


def _use_line(description: Description) -> str:
    folder, _, name = description.file.rpartition("/")
    attribute = description.attribute
    if description.kind == "flake":
        reference = f"./{folder}" if folder else "."
        words = [f"{reference}#{attribute}" if attribute else reference] if folder or attribute else []
        return " ".join(["use flake", *map(shlex.quote, words)])
    words = [] if name == description.file == "shell.nix" else [description.file]
    words += ["-A", attribute] if attribute else []
    return " ".join(["use nix", *map(shlex.quote, words)])


def apply_envrc(work: Work, described: Description, state: State, place: Scratch, *, programs: str) -> State:
    """The variables after the other lines of an ``.envrc`` that names this shell.

    direnv runs them in the shell, with folders of its own for its configuration and for what it may run, which is this
    one file: the user's direnvrc is none of the project's. NIX021 where there is no direnv.
    """
    if from_envrc(work.project) != (described.file, described.attribute):
        return state
    envrc = read_envrc(work.project.text(ENVRC) or "")
    if envrc.flags:
        flags = ", ".join(envrc.flags)
        message = f"`{' '.join(envrc.use)}` has direnv give nix {flags}, which it is not given here"
        work.find(_NOT_RUN, "warning", ".envrc not followed", message, file=ENVRC)
    if not envrc.others:
        return state
    direnv = find_program("direnv", work.environ)
    if direnv is None:
        _tell_not_run(work, envrc.others)
        return state
    found, problems = _run_direnv(work, direnv, state.variables, place, programs)
    changed = {name: value for name, value in found.items() if not name.startswith("DIRENV_")}
    kept = {name: value for name, value in state.variables.items() if changed.get(name, "") is not None}
    variables = kept | {name: value for name, value in changed.items() if value is not None}
    return replace(state, variables=variables, problems=(*state.problems, *problems))


def _tell_not_run(work: Work, others: tuple[tuple[int, str], ...]) -> None:
    shown = "; ".join(one_line(line, 60) for _, line in others[:_NAMED])
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    message = f"there is no direnv here, so these lines of .envrc were not run: {shown}{more}"
    work.find(_NOT_RUN, "warning", ".envrc not followed", message, file=ENVRC, line=others[0][0])


def _run_direnv(
    work: Work, direnv: Path, variables: Mapping[str, str], place: Scratch, programs: str
) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """What direnv would change in the variables (``None``: taken back), and what went wrong."""
    config = place.folder / "direnv"
    config.mkdir()
    (config / "direnvrc").write_text(_DIRENVRC, encoding="utf-8")
    bash = json.dumps(own_program("bash", programs))  # a string of TOML, too
    (config / "direnv.toml").write_text(f"[global]\nbash_path = {bash}\n", encoding="utf-8")
    own = {"DIRENV_CONFIG": str(config), "XDG_DATA_HOME": str(config / "data"), "XDG_CACHE_HOME": str(config / "cache")}
    seen = {name: value for name, value in variables.items() if not name.startswith("DIRENV_")} | own
    allowed, _ = run_alone(work, (str(direnv), "allow", os.fspath(work.project.path(ENVRC))), seen, place)
    if not allowed:
        return {}, (f".envrc was not run: {one_line(allowed.tail(1), 200)}",)
    outcome, left = run_alone(work, (str(direnv), "export", "json"), seen, place, raw=True)
    if not outcome:
        return {}, (f".envrc was not run to its end: {one_line(outcome.stderr.strip()[-200:])}", *left)
    return _changes(outcome.stdout), left


def _changes(said: str) -> dict[str, str | None]:
    try:
        told: dict[str, Any] = json.loads(said or "{}")
    except ValueError:
        return {}
    return {name: value for name, value in told.items() if isinstance(value, str) or value is None}
