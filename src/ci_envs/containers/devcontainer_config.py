"""devcontainer.json: where it lies, and what it says of the image.

The file (https://containers.dev/implementors/json_reference/) is JSON with comments and trailing commas. The tool that
brings a container up reads it leniently and takes half a command where a quote is missing, so it is read strictly here,
and what was read is what the tool is given.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

import msgspec

from ci_envs.errors import BrokenError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_envs.project import Project

__all__ = ["Devcontainer", "find_configuration", "is_configuration", "parse_configuration", "read_configuration"]

# https://containers.dev/implementors/spec/#devcontainerjson: the first two are taken before any other.
_FIRST = (".devcontainer/devcontainer.json", ".devcontainer.json")
_FOLDERS = ".devcontainer/*/devcontainer.json"

#: The reader takes 6 microseconds for a character; no person writes a longer one.
_LONGEST = 256 * 1024


class Devcontainer(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration. Paths are relative to the project, with forward slashes."""

    path: str
    #: As it was read, with nothing put in for its variables.
    table: dict[str, Any]

    @property
    def folder(self) -> str:
        """Where it lies; empty for the project itself."""
        return posixpath.dirname(self.path)

    @property
    def lock_path(self) -> str:
        """The lock of its features: beside it, hidden where it is (``devcontainer upgrade`` has the same rule)."""
        hidden = "." if posixpath.basename(self.path).startswith(".") else ""
        return posixpath.join(self.folder, f"{hidden}devcontainer-lock.json")

    @property
    def image(self) -> str:
        """The image that it names; empty where it names a Dockerfile."""
        return "" if self.dockerfile else self._text("image")

    @property
    def dockerfile(self) -> str:
        """The Dockerfile that it names, if it does."""
        named = self.build.get("dockerfile", "")
        return self._inside(named, "build.dockerfile") if named else ""

    @property
    def context(self) -> str:
        """The folder that the build of its Dockerfile sees."""
        named = self.build.get("context", "")
        return self._inside(named, "build.context") if named else posixpath.dirname(self.dockerfile) or "."

    @property
    def target(self) -> str:
        """The stage that is built; empty for the last one."""
        return str(self.build.get("target") or "")

    @property
    def build_args(self) -> dict[str, str]:
        """Its build arguments, without those whose value is another on each machine (``${localEnv:...}``)."""
        given = self.build.get("args") or {}
        return {str(name): str(value) for name, value in given.items() if "${" not in str(value)}

    @property
    def features(self) -> dict[str, Any]:
        """Its features with their options, in the order in which they stand."""
        return dict(self.table.get("features") or {})

    @property
    def build(self) -> dict[str, Any]:
        """What it says of the build; the older names ``dockerFile`` and ``context`` stand beside it."""
        told = dict(self.table.get("build") or {})
        old = {"dockerfile": self.table.get("dockerFile"), "context": self.table.get("context")}
        return {**{name: value for name, value in old.items() if value}, **told}

    def line_of(self, text: str, word: str) -> int:
        """The 1-based line of the file's text at which a word stands; 0 where it does not."""
        return next((number for number, line in enumerate(text.splitlines(), 1) if word in line), 0)

    def _text(self, key: str) -> str:
        return str(self.table.get(key) or "")

    def _inside(self, named: object, key: str) -> str:
        """A path of the configuration, which is relative to its own folder."""
        path = posixpath.normpath(posixpath.join(self.folder, str(named)))
        if "${" in str(named):
            raise UsageError(f"{key} is {named!r}, which is another on each machine", file=self.path)
        if path.startswith(("../", "/")) or path == "..":
            raise UsageError(f"{key} is {named!r}, which lies outside of the project", file=self.path)
        return path


def is_configuration(name: str) -> bool:
    """Whether a path names a devcontainer.json, by the name that the specification asks for."""
    return posixpath.basename(name) in ("devcontainer.json", ".devcontainer.json")


def find_configuration(project: Project, asked: str = "") -> str:
    """The path of the project's configuration: the one that is asked for, else the first of the specification's places.

    Raises :class:`UsageError` where there is none, and where there are several with none before the others.
    """
    if asked:
        if project.exists(asked):
            return asked
        raise UsageError(f"docker.file says {asked!r}, and there is no such file", file=asked)
    for name in _FIRST:
        if project.exists(name):
            return name
    found = project.glob(_FOLDERS)
    if len(found) > 1:
        raise UsageError(
            f"there are {len(found)} dev containers here: {', '.join(found)}",
            hint=f"say which one in ci-envs.yml or in the matrix: docker: {{file: {found[0]}}}",
        )
    if not found:
        raise UsageError("there is no devcontainer.json", hint=f"it may lie at {', '.join((*_FIRST, _FOLDERS))}")
    return found[0]


def read_configuration(project: Project, path: str) -> Devcontainer:
    """Reads one. Raises :class:`UsageError` with the line, :class:`BrokenError` for what cannot be built yet."""
    text = project.text(path)
    if text is None:
        raise UsageError("there is no such file", file=path)
    return parse_configuration(text, path)


def parse_configuration(text: str, path: str) -> Devcontainer:
    """The same from its text."""
    read = Devcontainer(path=path, table=_table(text, path))
    if "dockerComposeFile" in read.table:
        raise BrokenError(
            "it is brought up with Docker Compose, whose images this version of ci-envs cannot lock",
            hint="describe the service that holds the project with image or build",
            file=path,
            line=read.line_of(text, "dockerComposeFile"),
        )
    _refuse_shapes(read, text)
    if not read.image and not read.dockerfile:
        raise UsageError("it names neither an image nor a Dockerfile", file=path, hint='write "image" or "build"')
    if "${" in read.image:
        raise UsageError(
            f"its image is {read.image!r}, which is another on each machine: it cannot be locked",
            file=path,
            line=read.line_of(text, '"image"'),
        )
    return read


def _table(text: str, path: str) -> dict[str, Any]:
    import json5

    if len(text) > _LONGEST:
        raise UsageError(f"has {len(text)} characters; {_LONGEST} are the most that is read", file=path)
    try:
        found = json5.loads(text, allow_duplicate_keys=False)
    except (ValueError, RecursionError) as error:
        message, line = _reason(error)
        raise UsageError(f"is not JSON with comments: {message}", file=path, line=line) from error
    if not isinstance(found, dict):
        raise UsageError("must be an object: {...}", file=path)
    return {str(key): value for key, value in found.items()}


def _reason(error: Exception) -> tuple[str, int]:
    """What the reader says, and the line: ``<string>:5 Unexpected "x" at column 13``."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply", 0
    said = str(error)
    place, _, rest = said.removeprefix("<string>:").partition(" ")
    return (rest, int(place)) if said.startswith("<string>:") and place.isdecimal() else (said, 0)


#: What a key that is looked at must be.
_SHAPES: Mapping[str, tuple[type, str]] = {
    "image": (str, "a text"),
    "dockerFile": (str, "a text"),
    "context": (str, "a text"),
    "build": (dict, "an object"),
    "features": (dict, "an object"),
    "runArgs": (list, "a list"),
    "mounts": (list, "a list"),
    "containerEnv": (dict, "an object"),
    "remoteEnv": (dict, "an object"),
    "remoteUser": (str, "a text"),
}
_BUILD_SHAPES: Mapping[str, tuple[type, str]] = {
    "dockerfile": (str, "a text"),
    "context": (str, "a text"),
    "target": (str, "a text"),
    "args": (dict, "an object"),
    "options": (list, "a list"),
}


def _refuse_shapes(read: Devcontainer, text: str) -> None:
    told = read.table.get("build")
    places = [("", read.table, _SHAPES), ("build.", told if isinstance(told, dict) else {}, _BUILD_SHAPES)]
    for prefix, table, shapes in places:
        for key, (kind, words) in shapes.items():
            if key in table and not isinstance(table[key], kind):
                line = read.line_of(text, f'"{key}"')
                raise UsageError(f"{prefix}{key} must be {words}", file=read.path, line=line)
