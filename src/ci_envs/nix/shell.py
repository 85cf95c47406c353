"""Makes a shell: evaluates and builds it once, keeps it by a root of the garbage collector, and reads what it exports.

``nix print-dev-env`` knows what the builder's setup exports; what the hook makes of it is known once it has run, under
the shell's own bash, as ``nix develop`` runs it. Bash is never parsed.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from ci_envs import environ, stragglers
from ci_envs.decoding import decode
from ci_envs.environments.nix_shell import home_of
from ci_envs.errors import BuildError
from ci_envs.model.shell import Shell
from ci_envs.nix.binary_cache import cache_failure, cache_words
from ci_envs.nix.direnv import apply_envrc
from ci_envs.nix.failures import build_error, failure_of
from ci_envs.nix.flake_copy import as_nix_copies_it
from ci_envs.nix.hook import run_script, scratch
from ci_envs.nix.tool import run_classic, run_nix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci_envs.nix.described import Description
    from ci_envs.nix.hook import Scratch, State
    from ci_envs.nix.tool import Nix
    from ci_envs.work import Work

__all__ = ["NO_PATH", "Evaluated", "finish_shell", "make_shell", "more_words", "tell_findings"]

#: What PATH is where a shell has no program at all, as in nix's builders: an empty one means the current folder.
NO_PATH = "/path-not-set"

# What `nix develop` does not set, since it belongs to the build, or to whoever calls (src/nix/develop.cc, ignoreVars).
_NOT_THE_SHELLS = (
    *("BASHOPTS", "HOME", "NIX_BUILD_TOP", "NIX_ENFORCE_PURITY", "NIX_LOG_FD", "NIX_REMOTE", "PPID", "SHELLOPTS"),
    *("SSL_CERT_FILE", "TEMP", "TEMPDIR", "TERM", "TMP", "TMPDIR", "TZ", "UID"),
)
#: Of a shell that is running, and of the folder that the hook had for itself.
_PASSING = ("_", "PWD", "OLDPWD", "SHLVL")
_TEMPORARY = ("NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TEMP", "TMP")
#: What commands see of a pure shell's caller and the hook does not: what it exports of these is the shell's, also where
#: the one for whom it was made has the very same. The others say who one is and how the network is reached.
_OF_COMMANDS = ("LANG", "TZ", "PAGER", "NO_COLOR", "FORCE_COLOR", "DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET")
#: What nixpkgs sets so that a builder trusts nobody (pkgs/stdenv/generic/setup.sh).
_NO_CERTIFICATES = "/no-cert-file.crt"
#: Files that print-dev-env removes when it ends.
_ATTRIBUTE_FILES = ("NIX_ATTRS_SH_FILE", "NIX_ATTRS_JSON_FILE")

#: An argument of the file's function that `nix-shell` gives by itself (src/nix/nix-build/nix-build.cc).
_IN_NIX_SHELL = re.compile(r"\binNixShell\s*\?")

_DEPENDS_ON_HOME = "NIX020"
_FOREIGN_PYTHON = "NIX022"

_OWN_PROGRAMS = Path(sys.executable).parent


class _Variable(msgspec.Struct, frozen=True):
    """One of ``nix print-dev-env --json``."""

    type: Literal["exported", "var", "array", "associative", "unknown"]
    value: str | list[str] | dict[str, str] | None = None


class Evaluated(msgspec.Struct, frozen=True):
    """What ``nix print-dev-env --json`` says: the variables of bash, exported or not, before any hook."""

    variables: dict[str, _Variable]

    @property
    def exported(self) -> dict[str, str]:
        """Those that a command would see, and that are the shell's to set."""
        found = {name: each.value for name, each in self.variables.items() if each.type == "exported"}
        return {name: value for name, value in found.items() if isinstance(value, str) and name not in _NOT_THE_SHELLS}

    def text(self, name: str) -> str:
        """A variable's text; empty where it has none."""
        value = self.variables[name].value if name in self.variables else ""
        return value if isinstance(value, str) else ""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the derivation's outputs; a table where it has structured attributes."""
        value = self.variables["outputs"].value if "outputs" in self.variables else ""
        return tuple(value.split() if isinstance(value, str) else value or ())

    @property
    def programs(self) -> str:
        """The PATH that the shell's own programs are on, the builder's bash last."""
        bash = [str(Path(self.text(name)).parent) for name in ("BASH", "builder") if self.text(name).startswith("/")]
        return os.pathsep.join([self.text("PATH"), *bash])


def make_shell(work: Work, nix: Nix, described: Description, profile: Path) -> Shell:
    """The shell, with ``profile`` as what keeps it.

    :class:`BuildError` where it cannot be evaluated or built, or where its hook leaves no shell;
    :class:`BrokenError` where the store or the network failed.
    """
    found = _evaluate(work, nix, described, profile)
    top = _kept_by(profile)
    script = _print(work, nix, described, top)
    # Hooks write into the project (`.venv`, `.direnv`), which is that of other legs, too.
    with work.alone(f"hook-{work.project_key}"), scratch(work.temp) as place:
        before = _before(work, place)
        after = run_script(work, script, before, place, programs=found.programs, file=described.file)
        after = apply_envrc(work, described, after, place, programs=found.programs)
        shell = finish_shell(found, before, after, place.folder, work)
    home = home_of(work.environ) if _of_home(work, shell) else ""
    shell = msgspec.structs.replace(shell, top=top, drv=_deriver(work, nix, top), home=home)
    tell_findings(work, shell, described.file)
    return shell


def _evaluate(work: Work, nix: Nix, described: Description, profile: Path) -> Evaluated:
    with as_nix_copies_it(work, nix, described) as seen:
        words = ("--json", "--profile", str(profile), *seen.words, *more_words(seen), *cache_words(work, nix))
        outcome = run_nix(work, nix, "print-dev-env", *words, data=True, env=_as_nix_shell(work, described))
        if not outcome:
            raise cache_failure(work, outcome) or build_error(failure_of(outcome, work))
    try:
        return decode(outcome.stdout, Evaluated)
    except msgspec.MsgspecError as error:
        raise BuildError(f"what nix print-dev-env said cannot be read: {error}", file=described.file) from error


def more_words(described: Description) -> tuple[str, ...]:
    """What else nix is told: the lock is used as it is, and a file's function is told that it is for a shell."""
    if described.kind == "flake":
        return ("--no-write-lock-file",) if described.overrides else ("--no-update-lock-file",)
    text = described.path.read_text(encoding="utf-8", errors="replace")
    return ("--arg", "inNixShell", "true") if _IN_NIX_SHELL.search(text) else ()


def _as_nix_shell(work: Work, described: Description) -> dict[str, str]:
    """``lib.inNixShell`` asks for this one while it evaluates; a flake cannot."""
    return {} if described.kind == "flake" else {"IN_NIX_SHELL": _kind(work)}


def _kind(work: Work) -> str:
    return "pure" if work.config.nix.pure else "impure"


def _kept_by(profile: Path) -> str:
    """The store path that the root leads to: ``profile -> profile-1-link -> /nix/store/...-env``."""
    path = profile
    while path.is_symlink() and path.parent == profile.parent:
        path = path.parent / path.readlink()
    return str(path)


def _print(work: Work, nix: Nix, described: Description, top: str) -> str:
    """The script of what was built: nothing is evaluated for it."""
    outcome = run_nix(work, nix, "print-dev-env", top, network=False, data=True)
    if not outcome:
        raise build_error(failure_of(outcome, work))
    if not outcome.stdout.strip():
        raise BuildError("nix print-dev-env printed nothing", file=described.file)
    return outcome.stdout


def _deriver(work: Work, nix: Nix, top: str) -> str:
    outcome = run_classic(work, nix, "nix-store", "--query", "--deriver", top, network=False)
    told = outcome.stdout.strip() if outcome else ""
    return told if told.startswith("/") else ""  # "unknown-deriver" otherwise


def _before(work: Work, place: Scratch) -> dict[str, str]:
    """What the hook sees of the caller's variables. The caller's PATH begins at a divider."""
    if work.config.nix.pure:
        made = environ.pure_environment(work.environ)
        for name in _OF_COMMANDS:
            made.pop(name, None)
        path = [place.divider]
    else:
        made = environ.project_environment(work.environ, path=(), variables={}, hide=(_OWN_PROGRAMS,))
        path = [place.divider, made["PATH"]]
    # The script adds the shell's own to what is there, and the caller's is added to that when a command is run.
    made.pop("XDG_DATA_DIRS", None)
    for name in ("BASH_ENV", "ENV"):  # a file that each bash would run first
        made.pop(name, None)
    return made | {"PATH": os.pathsep.join(path)}


def finish_shell(found: Evaluated, before: Mapping[str, str], after: State, scratch_folder: Path, work: Work) -> Shell:
    """What of the variables after the hook is the shell's. ``before`` are those that the hook was given."""
    problems: list[str] = []
    made = dict(_owned(found, before, after.variables, work.project.root))
    made = dict(_lasting(made, str(scratch_folder), problems))
    path = tuple(_folders(after.variables.get("PATH", ""), before["PATH"], scratch_folder, work.project.root))
    made["PATH"] = os.pathsep.join(path) or NO_PATH
    if "IN_NIX_SHELL" in made:
        made["IN_NIX_SHELL"] = _kind(work)
    if data_dirs := made.pop("XDG_DATA_DIRS", "").strip(":"):  # older print-dev-env ends it with a colon
        made["XDG_DATA_DIRS"] = data_dirs
    notes = (*after.problems, *problems)
    return Shell(variables=made, path=path, python=_python(path), pure=work.config.nix.pure, notes=notes)


def _owned(
    found: Evaluated, before: Mapping[str, str], after: Mapping[str, str], root: Path
) -> Iterator[tuple[str, str]]:
    """What the shell or its hook has set, whatever the caller has."""
    declared = found.exported
    outputs = {name: str(root / "outputs" / name) for name in found.outputs}
    for name, value in after.items():
        is_callers = name not in declared and before.get(name) == value
        is_builds = value == _NO_CERTIFICATES or outputs.get(name) == value or name in _ATTRIBUTE_FILES
        if not (name in (*_PASSING, stragglers.MARK) or is_callers or is_builds):
            yield name, value


def _lasting(made: Mapping[str, str], gone: str, problems: list[str]) -> Iterator[tuple[str, str]]:
    """What still holds when the hook's own folder is removed, and can be kept in a file."""
    own = (*_TEMPORARY, "PYTHONPYCACHEPREFIX", "PATH")
    for name, value in made.items():
        if gone in value or (name in _TEMPORARY and not value):
            if name not in own:
                problems.append(f"{name} names a temporary file of the shell's hook, which is gone: it is not set")
        elif not _is_text(value) or not _is_text(name):
            problems.append(f"{name.encode('utf-8', 'replace').decode()} is no text in UTF-8: it is not set")
        else:
            yield name, value


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _folders(path: str, before: str, scratch_folder: Path, root: Path) -> Iterator[str]:
    """The folders on PATH that are there and are the shell's, in their order; relative ones are the project's."""
    divider, *callers = before.split(os.pathsep)
    own, _, behind = path.partition(divider)
    added = [entry for entry in behind.split(os.pathsep) if entry not in callers]
    entries = [Path(os.path.normpath(root / entry)) for entry in (*own.split(os.pathsep), *added) if entry]
    for folder in dict.fromkeys(entries):
        if not folder.is_relative_to(scratch_folder) and folder.is_dir():
            yield str(folder)


def _python(path: tuple[str, ...]) -> str:
    folders = os.pathsep.join(path)
    return (shutil.which("python3", path=folders) or shutil.which("python", path=folders) or "") if path else ""


def tell_findings(work: Work, shell: Shell, file: str) -> None:
    """What is to be said of a shell that works here."""
    for name in _of_home(work, shell):
        message = f"{name} holds your HOME, {home_of(work.environ)}: whoever has another one gets another shell, and "
        message += "may see other files; a folder below $PWD is everybody's"
        work.find(_DEPENDS_ON_HOME, "warning", "the shell depends on HOME", message, file=file)
    if shell.python and not Path(shell.python).is_relative_to(Path(shell.top).parent):
        shown = work.layout.shown(Path(shell.python))
        message = f"the shell's Python is {shown}, which is no part of its closure: nix knows no hash of it"
        work.find(_FOREIGN_PYTHON, "info", "Python is not nix's", message, file=file)


def _of_home(work: Work, shell: Shell) -> list[str]:
    """The variables that hold the caller's home folder."""
    home, root = home_of(work.environ), str(work.project.root)
    return sorted(name for name, value in shell.variables.items() if home and _holds(value, home, root))


def _holds(value: str, home: str, root: str) -> bool:
    """Whether a value has the home folder in it, and not because the project is there."""
    ends = r"(?![^/:;\s\"'])"
    without = re.sub(re.escape(root) + ends, "", value)
    # "/root" is no part of "/mnt/root", and is one of "-I/root".
    return re.search(rf"(?:(?<![\w.-])|(?<=-[IL])){re.escape(home)}{ends}", without) is not None
