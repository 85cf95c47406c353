"""A project: the folder with a person's environment files, read carefully.

Its files are untrusted. They are read inside the folder only (a link that leads out is refused), up to a size, and
as UTF-8; a parser's complaint becomes an error that names the file and the line.
"""

from __future__ import annotations

import tomllib
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from ci_envs.errors import UsageError

__all__ = ["Project"]

#: No intent or lock file that a person keeps is larger; a larger one is refused before it is read.
MAX_FILE_BYTES = 50 * 1024 * 1024


class Project:
    """One project folder. Paths given and returned are relative to it, with forward slashes."""

    def __init__(self, root: Path, name: str = ".") -> None:
        #: Absolute, with links resolved.
        self.root = root.resolve()
        #: As the leg names it.
        self.name = name
        self._texts: dict[str, str | None] = {}
        self._tables: dict[str, dict[str, Any]] = {}

    def path(self, relative: str) -> Path:
        """The absolute path of a file in the project; :class:`UsageError` where it would lie outside."""
        pure = PurePosixPath(relative)
        joined = self.root.joinpath(*pure.parts)
        try:
            inside = not pure.is_absolute() and joined.resolve().is_relative_to(self.root)
        except (RuntimeError, ValueError) as error:  # a loop of links, before Python 3.13; a NUL
            raise UsageError(f"{relative!r} leads nowhere: {error}", file=relative) from error
        if not inside:
            raise UsageError(
                f"{relative!r} lies outside the project",
                file=relative,
                hint="files of a project must be inside its folder, links included",
            )
        return joined

    def exists(self, relative: str) -> bool:
        """Whether it is a regular file inside the project."""
        try:
            return self.path(relative).is_file()
        except (OSError, UsageError):
            return False

    def text(self, relative: str) -> str | None:
        """The file's text, or ``None`` where there is no such file. A leading byte order mark is dropped."""
        if relative not in self._texts:
            self._texts[relative] = self._read(relative)
        return self._texts[relative]

    def forget(self, relative: str) -> None:
        """Reads the file anew next time: a tool has written it."""
        self._texts.pop(relative, None)
        self._tables.pop(relative, None)

    def toml(self, relative: str) -> dict[str, Any]:
        """The file's TOML, or an empty table where there is no such file."""
        if relative not in self._tables:
            text = self.text(relative)
            try:
                self._tables[relative] = tomllib.loads(text) if text else {}
            except (tomllib.TOMLDecodeError, RecursionError) as error:
                raise UsageError(f"is not valid TOML: {error}", file=relative) from error
        return self._tables[relative]

    @cached_property
    def pyproject(self) -> dict[str, Any]:
        """``pyproject.toml``, or an empty table."""
        return self.toml("pyproject.toml")

    def table(self, *keys: str) -> dict[str, Any]:
        """A nested table of ``pyproject.toml``: ``table("tool", "uv")``; empty where it is not there."""
        value: Any = self.pyproject
        for key in keys:
            value = value.get(key, {}) if isinstance(value, dict) else {}
        return value if isinstance(value, dict) else {}

    def names(self, folder: str = "") -> list[str]:
        """The sorted names in a folder of the project; empty where it is not there."""
        try:
            return sorted(entry.name for entry in (self.path(folder) if folder else self.root).iterdir())
        except (OSError, UsageError):
            return []

    def glob(self, pattern: str) -> list[str]:
        """Regular files that match, sorted; the pattern must not hold ``**``."""
        found = (path.relative_to(self.root).as_posix() for path in self.root.glob(pattern))
        return sorted(name for name in found if self.exists(name))

    @property
    def is_package(self) -> bool:
        """Whether it can be installed: it says how it is built, or uv is told that it is a package."""
        package = self.table("tool", "uv").get("package")
        if isinstance(package, bool):
            return package
        return "build-system" in self.pyproject or self.exists("setup.py") or self.exists("setup.cfg")

    def _read(self, relative: str) -> str | None:
        if not self.exists(relative):
            if self.path(relative).is_symlink() and self.path(relative).exists():
                raise UsageError("is not a regular file", file=relative)
            return None
        path = self.path(relative)
        try:
            size = path.stat().st_size
            if size > MAX_FILE_BYTES:
                raise UsageError(f"has {size} bytes; {MAX_FILE_BYTES} are the most that is read", file=relative)
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(f"cannot be read: {error.strerror}", file=relative) from error
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise UsageError("is not UTF-8", file=relative, line=line, hint="save it as UTF-8") from error
