"""What a detector may ask of a project. A sick file is noted and taken for absent: the other evidence still counts."""

from __future__ import annotations

import enum
import fnmatch
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ci_envs.errors import UsageError
from ci_envs.model.detect import Evidence, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.project import Project

__all__ = ["Clue", "Scan", "Tier"]


class Tier(enum.IntEnum):
    """How much a piece of evidence says; the lowest number says the most."""

    #: A tool wrote down exact versions.
    LOCK = 0
    #: A person wrote down what is wanted.
    INTENT = 1
    #: Says something beside other evidence, and nothing on its own.
    HINT = 2


class Clue(NamedTuple):
    """One piece of evidence and its weight."""

    tier: Tier
    evidence: Evidence


class Scan:
    """One look at a project: its names are listed once, its files are read once and only where a detector asks."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._problems: dict[str, Problem] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was in the way, one for each file."""
        return tuple(self._problems.values())

    def note(self, problem: Problem) -> None:
        """Keeps the first problem of a file."""
        self._problems.setdefault(problem.file, problem)

    def files(self, *names: str, tier: Tier = Tier.INTENT) -> Iterator[Clue]:
        """A clue for each of the names that is a regular file of the project."""
        for name in names:
            if self._has(name):
                yield Clue(tier, Evidence(file=name))

    def matching(self, *patterns: str, tier: Tier = Tier.INTENT) -> Iterator[Clue]:
        """A clue for each file that matches; ``*`` stops at a slash."""
        for pattern in patterns:
            for clue in self.files(*self._glob(pattern), tier=tier):
                if self._sayable(clue.evidence.file):
                    yield clue

    def folder(self, name: str) -> bool:
        """Whether it is a folder inside the project."""
        try:
            return name in self._names and self.project.path(name).is_dir()
        except (OSError, RuntimeError, UsageError):
            return False

    def tables(self, *keys: str, tier: Tier = Tier.INTENT) -> Iterator[Clue]:
        """A clue for each of the dotted keys that is a table in ``pyproject.toml``, an empty one too."""
        for key in keys:
            if self.table(*key.split(".")) is not None:
                yield Clue(tier, Evidence(file="pyproject.toml", key=key))

    def sections(self, file: str, *names: str, tier: Tier = Tier.INTENT) -> Iterator[Clue]:
        """A clue for the first of the names that is a section of an INI file."""
        if found := [name for name in names if name in self._sections(file)]:
            yield Clue(tier, Evidence(file=file, key=f"[{found[0]}]"))

    def backend(self, *prefixes: str) -> Iterator[Clue]:
        """A hint where the build backend begins with one of the prefixes: how it is packed, not how it is worked on."""
        backend = (self.table("build-system") or {}).get("build-backend")
        if isinstance(backend, str) and backend.startswith(prefixes):
            yield Clue(Tier.HINT, Evidence(file="pyproject.toml", key="build-system.build-backend"))

    def table(self, *keys: str) -> dict[str, Any] | None:
        """A nested table of ``pyproject.toml``; ``None`` where it is not there."""
        value: Any = self.toml("pyproject.toml")
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, dict) else None

    def toml(self, file: str) -> dict[str, Any]:
        """A TOML file's table; empty where there is none or it cannot be read."""
        if not self._has(file):
            return {}
        try:
            return self.project.toml(file)
        except UsageError as error:
            self._note_error(error, file)
            return {}

    def text(self, file: str) -> str:
        """A file's text; empty where there is none or it cannot be read."""
        try:
            return self.project.text(file) or ""
        except UsageError as error:
            self._note_error(error, file)
            return ""

    def _sections(self, file: str) -> list[str]:
        from ci_envs.ini import parse_ini  # most projects have no such file

        if not self._has(file):
            return []
        try:
            return parse_ini(self.text(file), file).sections()
        except UsageError as error:
            self._note_error(error, file)
            return []

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.project.names())

    def _glob(self, pattern: str) -> list[str]:
        """Names that match, the plainest first: ``requirements.in`` before ``requirements-dev.in``."""
        folder, _, last = pattern.rpartition("/")
        if folder.endswith("/*"):
            above = folder.removesuffix("/*")
            return [f"{above}/{name}/{last}" for name in self.project.names(above)]
        names = fnmatch.filter(self.project.names(folder) if folder else self._names, last)
        return [f"{folder}/{name}" if folder else name for name in sorted(names, key=lambda name: (len(name), name))]

    def _has(self, name: str) -> bool:
        # Most names that are asked for are not there: one listing of the folder spares their look-ups.
        if name.partition("/")[0] not in self._names:
            return False
        try:
            if self.project.exists(name):
                return True
            self._look_at_link(name)
        except RuntimeError:  # how pathlib says, before Python 3.13, that links go round in a circle
            self.note(Problem(message="is a link to itself", file=name))
        return False

    def _look_at_link(self, name: str) -> None:
        joined = self.project.root / name
        if not joined.is_symlink():
            return  # a folder, or something stranger: not what the name promises, and nobody's mistake
        try:
            path = self.project.path(name)
        except UsageError as error:
            self._note_error(error, name)
            return
        if not path.exists():
            self.note(Problem(message="is a link to nothing", file=name))

    def _note_error(self, error: UsageError, file: str) -> None:
        self.note(Problem(message=error.message, file=error.file or file, line=error.line, hint=error.hint))

    def _sayable(self, name: str) -> bool:
        """Whether a name can be written into JSON: one whose bytes are no UTF-8 cannot."""
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = name.encode("utf-8", "backslashreplace").decode()
            self.note(Problem(message="has a name that is not UTF-8", file=shown, hint="rename the file"))
            return False
        return True
