"""Where interpreters lie on a machine, in the order in which they are taken. Reads folders, starts nothing.

The first interpreter on PATH comes first, being the one a person gets; then those that no PATH shows: version
managers keep theirs in folders of their own, behind shims that fail for any version that is not the active one.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Candidate", "Wanted", "candidates", "is_in_environment", "parse_wanted"]

# A leg's python: "3.12", "3.13t", "pypy3.10", and with a patch version.
_WANTED = re.compile(r"(?P<pypy>pypy)?(?P<series>\d+\.\d+)(?P<patch>\.\d+(?:(?:a|b|rc)\d+)?)?(?P<threads>t)?")

# A version in the name of a program or an installation's folder: python3.13t, cpython-3.13.0+freethreaded-linux-...,
# pypy3.10-v7.3.17 (where the first number is the language's).
_VERSION = re.compile(
    r"(?P<pypy>pypy)?[a-z@-]*-?(?P<series>\d+\.\d+)(?:\.(?P<patch>\d+))?(?P<pre>(?:a|b|rc)\d+)?(?P<threads>t\b|\+freethreaded)?",
    re.IGNORECASE,
)

_EXE = ".exe" if sys.platform == "win32" else ""

_PROGRAM = re.compile(rf"(?:python|pypy)\d+\.\d+t?{re.escape(_EXE)}")

# Folders of PATH that hold no interpreter but a program which looks for one: pyenv's and asdf's shims, mise's, and
# the stubs of Windows that open a shop.
_SHIMS = re.compile(r"[/\\](shims|WindowsApps)[/\\]?$")


class Wanted(msgspec.Struct, frozen=True):
    """What is looked for: ``3.13t`` read."""

    text: str
    #: ``3.13``.
    series: str
    pypy: bool = False
    threads: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Programs that may be it, the surest first."""
        suffix = "t" if self.threads else ""
        if self.pypy:
            return (f"pypy{self.series}{_EXE}", f"pypy3{_EXE}", f"pypy{_EXE}", f"python{_EXE}")
        return (f"python{self.series}{suffix}{_EXE}", f"python3{suffix}{_EXE}", f"python3{_EXE}", f"python{_EXE}")

    def may_be(self, name: str) -> bool:
        """Whether a program or folder of that name may hold it; one that names no version may hold any."""
        found = _VERSION.search(name)
        if found is None:
            return True
        same_kind = bool(found["pypy"]) == self.pypy and bool(found["threads"]) == self.threads
        return found["series"] == self.series and same_kind

    def may_hold(self, name: str) -> bool:
        """Whether it may lie below a folder that is named by a version alone: ``3.13.5`` for ``3.13t``."""
        found = _VERSION.search(name)
        return found is None or found["series"] == self.series


class Candidate(NamedTuple):
    """A program that may be an interpreter, and the place it was found in."""

    path: Path
    place: str


def parse_wanted(text: str) -> Wanted:
    """Reads a leg's ``python``; :class:`UsageError` where it is none."""
    found = _WANTED.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no Python version", hint="write 3.12, 3.12.4, 3.13t or pypy3.10")
    return Wanted(text, found["series"], pypy=bool(found["pypy"]), threads=bool(found["threads"]))


def candidates(wanted: Wanted | None, environ: Mapping[str, str], home: Path) -> Iterator[Candidate]:
    """Programs that may be ``wanted`` (``None``: any interpreter), each real file once, newest first in a place."""
    seen: set[str] = set()
    for candidate in _all_places(wanted, environ, home):
        real = os.path.realpath(candidate.path)
        if real in seen or (wanted and not wanted.may_be(os.path.basename(real))):  # noqa: PTH119 - text
            continue
        is_program = os.access(real, os.X_OK) and os.path.isfile(real)  # noqa: PTH113 - text
        if is_program and not is_in_environment(candidate.path):
            seen.add(real)  # not before: an environment's link to its base must not hide the base
            yield candidate


def is_in_environment(program: Path) -> bool:
    """Whether a program belongs to a virtual environment (PEP 405: a pyvenv.cfg beside it or one folder up).

    Such an interpreter is bound to its environment, ours included; links on the way are followed one by one.
    """
    for _ in range(40):  # as many as the kernel follows
        if any((folder / "pyvenv.cfg").exists() for folder in (program.parent, program.parent.parent)):
            return True
        if not program.is_symlink():
            return False
        program = Path(os.path.normpath(program.parent / program.readlink()))
    return True


def _all_places(wanted: Wanted | None, environ: Mapping[str, str], home: Path) -> Iterator[Candidate]:
    yield from _on_path(wanted, environ)
    for place, folder, depth in _installations(environ, home):
        for root in _newest_first(folder, wanted, depth):
            yield from (Candidate(path, place) for path in _programs(root, wanted))
    yield Candidate(Path(getattr(sys, "_base_executable", None) or sys.executable), "runs ci-envs")
    if sys.platform == "win32":
        yield from _registered(wanted, environ)


def _on_path(wanted: Wanted | None, environ: Mapping[str, str]) -> Iterator[Candidate]:
    entries = [Path(entry) for entry in environ.get("PATH", "").split(os.pathsep) if entry]
    folders = [entry for entry in entries if entry.is_absolute()]
    for position, name in enumerate(wanted.names if wanted else ("",)):
        for folder in folders:
            if _SHIMS.search(str(folder)):
                # Whoever puts shims first means that manager's versions; the shims themselves fail for most of them.
                yield from _behind_shims(folder, wanted) if position == 0 else ()
            elif wanted is None:
                yield from (Candidate(path, "PATH") for path in _programs(folder, None))
            else:
                yield Candidate(folder / name, "PATH")


def _behind_shims(shims: Path, wanted: Wanted | None) -> Iterator[Candidate]:
    """The installations of pyenv, asdf or mise, by where their shims are."""
    for installations in (shims.parent / "versions", shims.parent / "installs/python"):
        for root in _newest_first(installations, wanted, 1):
            yield from (Candidate(path, "PATH") for path in _programs(root, wanted))


def _installations(environ: Mapping[str, str], home: Path) -> Iterator[tuple[str, Path, int]]:
    """Folders whose members are installations: the place's name, the folder, and how many levels down they are."""
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local/share")
    # Set on GitHub's runners, and the same under its older name:
    # https://docs.github.com/en/actions/reference/workflows-and-actions/variables and actions/toolkit's tool-cache,
    # whose layout is <tool>/<version>/<arch>.
    tool_cache = environ.get("RUNNER_TOOL_CACHE") or environ.get("AGENT_TOOLSDIRECTORY")
    if tool_cache:
        yield "tool cache", Path(tool_cache) / "Python", 2
        yield "tool cache", Path(tool_cache) / "PyPy", 2
    yield "pyenv", Path(environ.get("PYENV_ROOT") or home / ".pyenv") / "versions", 1
    # https://docs.astral.sh/uv/reference/storage/#python-versions
    roaming = Path(environ.get("APPDATA") or home / "AppData/Roaming")
    managed = roaming / "uv/data/python" if sys.platform == "win32" else data / "uv/python"
    yield "uv", Path(environ.get("UV_PYTHON_INSTALL_DIR") or managed), 1
    yield "asdf", Path(environ.get("ASDF_DATA_DIR") or home / ".asdf") / "installs/python", 1
    yield "mise", Path(environ.get("MISE_DATA_DIR") or data / "mise") / "installs/python", 1
    yield "rye", Path(environ.get("RYE_HOME") or home / ".rye") / "py", 1
    if sys.platform == "darwin":
        yield "python.org", Path("/Library/Frameworks/Python.framework/Versions"), 1


def _newest_first(folder: Path, wanted: Wanted | None, depth: int) -> list[Path]:
    """The installations in a folder that may be it. Aliases such as ``3.12 -> 3.12.4`` come after what they name."""
    try:
        names = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:
        return []
    fits = (lambda _: True) if wanted is None else wanted.may_be if depth == 1 else wanted.may_hold
    kept = [Path(entry.path) for entry in names if fits(entry.name)]
    kept.sort(key=_age, reverse=True)
    if depth == 1:
        return kept
    return [root for version in kept for root in _newest_first(version, None, depth - 1)]


def _age(folder: Path) -> tuple[tuple[int, ...], bool, int, str, str]:
    """Sorts installations, the newest last: by series, finals after pre-releases, patch; then by name."""
    found = _VERSION.search(folder.name)
    if found is None:
        return (), False, 0, "", folder.name
    series = tuple(int(part) for part in found["series"].split("."))
    return series, not found["pre"], int(found["patch"] or -1), found["pre"] or "", folder.name


def _programs(root: Path, wanted: Wanted | None) -> Iterator[Path]:
    """The interpreters of an installation (in ``bin``, at its root on Windows), or of a folder of programs."""
    for folder in (root / "bin", root):
        if wanted is not None:
            yield from (folder / name for name in wanted.names)
        else:
            yield from sorted(path for path in folder.glob("py*[0-9].[0-9]*") if _PROGRAM.fullmatch(path.name))
            yield from (folder / name for name in (f"python3{_EXE}", f"python{_EXE}", f"pypy3{_EXE}"))


def _registered(wanted: Wanted | None, environ: Mapping[str, str]) -> Iterator[Candidate]:
    """What installers have written into the Windows registry (PEP 514), as python-discovery reads it."""
    import python_discovery

    words: Sequence[str] = [wanted.text] if wanted else [f"3.{minor}" for minor in range(8, 20)]
    for word in words:
        found = python_discovery.get_interpreter(word, env=environ)
        if found is not None and found.system_executable:
            yield Candidate(Path(found.system_executable), "registry")
