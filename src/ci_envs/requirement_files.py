"""Requirement files as people write them for pip, read as data.

The format is https://pip.pypa.io/en/stable/reference/requirements-file-format/; each requirement is parsed by
``packaging``. ``-r`` and ``-c`` are followed inside the project and nowhere else. Options are noticed and kept apart:
they are for the tool that is given the file. Credentials in addresses are dropped here, once.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Parsed
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from ci_envs.errors import UsageError
from ci_envs.model.lock import Requirement
from ci_envs.nearest import nearest
from ci_envs.plain import one_line
from ci_envs.redact import Redactor, without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.project import Project

__all__ = ["Option", "Reference", "RequirementsFile", "parse_requirement", "read_requirements"]

#: Files that include files that include files; a chain of more is nobody's intent.
MAX_DEPTH = 50

_COMMENT = re.compile(r"(?:^|\s)#.*")
_ARCHIVE = (".whl", ".tar.gz", ".zip", ".tar.bz2")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://|file:", re.IGNORECASE)
_EXTRAS = re.compile(r"(?P<path>[^\[\]]*)(?:\[(?P<extras>[^\[\]]*)\])?")

_LONG = {
    "-c": "--constraint",
    "-e": "--editable",
    "-f": "--find-links",
    "-i": "--index-url",
    "-r": "--requirement",
}
_WITH_VALUE = frozenset(
    (
        *_LONG.values(),
        *("--pypi-url", "--extra-index-url", "--no-binary", "--only-binary", "--trusted-host", "--use-feature"),
        *("--hash", "--config-settings", "--config-setting", "--global-option", "--install-option"),
    )
)
_FLAGS = frozenset(("--no-index", "--pre", "--prefer-binary", "--require-hashes", "--no-deps"))


@dataclass(frozen=True, slots=True)
class Option:
    """An option for the installer, by its long name; ``value`` is empty for a flag and carries no credentials."""

    name: str
    value: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Reference:
    """A folder of the project or an address, without a name: only a build would tell what it is called."""

    #: Relative to the project with forward slashes (``.`` is the project itself), or an address without credentials.
    target: str
    editable: bool
    file: str
    line: int
    extras: tuple[str, ...] = ()


@dataclass(slots=True)
class RequirementsFile:
    """What a requirement file says, with everything that it includes."""

    requirements: list[Requirement] = field(default_factory=list)
    constraints: list[Requirement] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    options: list[Option] = field(default_factory=list)
    #: Every file that was read, in order, relative to the project.
    files: list[str] = field(default_factory=list)


def read_requirements(project: Project, file: str, *, group: str = "") -> RequirementsFile:
    """Reads a file and those it includes. :class:`UsageError` with file and line for what is no requirement."""
    if not project.exists(file):
        raise UsageError("there is no such file in the project", file=file)
    reader = _Reader(project, group)
    reader.read(file, as_constraints=False, depth=0)
    return reader.result


def parse_requirement(project: Project, text: str, *, file: str, line: int = 0, group: str = "") -> Requirement:
    """One requirement as PEP 508 spells it; an address of a local file must be inside the project."""
    try:
        parsed = Parsed(text)
    except (InvalidRequirement, RecursionError) as error:
        raise _nonsense(text, file, line, str(error)) from error
    if parsed.url:
        _check_url(project, parsed.url, file, line)
        text = text.replace(parsed.url, without_credentials(parsed.url))
    return Requirement(text=text.strip(), name=canonicalize_name(parsed.name), file=file, line=line, group=group)


class _Reader:
    def __init__(self, project: Project, group: str) -> None:
        self.result = RequirementsFile()
        self.project = project
        self.group = group
        self._seen: set[tuple[str, bool]] = set()

    def read(self, file: str, *, as_constraints: bool, depth: int) -> None:
        """One file; nothing where it was read before, which is also the end of a circle."""
        if (file, as_constraints) in self._seen:
            return
        self._seen.add((file, as_constraints))
        self.result.files.append(file)
        for number, line in _logical_lines(self.project.text(file) or ""):
            _Line(self, file, number, as_constraints, depth).read(line)


@dataclass(slots=True)
class _Line:
    """One logical line: where it stands, and what its parts mean there."""

    reader: _Reader
    file: str
    number: int
    as_constraints: bool
    depth: int

    def read(self, line: str) -> None:
        if line.startswith("-"):
            self._options(line)
            return
        # What follows belongs to this one requirement: hashes and build settings, which are the installer's.
        text = re.split(r"\s-", line, maxsplit=1)[0].strip()
        try:
            Parsed(text)
        except (InvalidRequirement, RecursionError) as error:
            self._unnamed(text, editable=False, reason=str(error))
        else:
            self._keep(text)

    def _keep(self, text: str) -> None:
        kept = parse_requirement(self.reader.project, text, file=self.file, line=self.number, group=self.reader.group)
        result = self.reader.result
        (result.constraints if self.as_constraints else result.requirements).append(kept)

    def _options(self, line: str) -> None:
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise _nonsense(line, self.file, self.number, str(error)) from error
        while words:
            word = words.pop(0)
            name, has_value, value = _split_option(word)
            if name in _WITH_VALUE:
                if not has_value:
                    if not words:
                        raise self._error(f"{name} lacks its value")
                    value = words.pop(0)
                self._option(name, value)
                if name == "--editable" and words and not words[0].startswith("-"):
                    return  # an environment marker
            elif name in _FLAGS:
                self.reader.result.options.append(Option(name, "", self.file, self.number))
            else:
                near = nearest(name, (*_WITH_VALUE, *_FLAGS))
                raise self._error(f"there is no option {one_line(name, 40)!r} in requirement files{near}")

    def _option(self, name: str, value: str) -> None:
        if name == "--requirement" or (name == "--constraint" and not _is_url(value)):
            self._include(value, as_constraints=self.as_constraints or name == "--constraint")
        elif name == "--editable":
            self._unnamed(value, editable=True, reason="")
        else:
            self.reader.result.options.append(Option(name, without_credentials(value), self.file, self.number))

    def _include(self, target: str, *, as_constraints: bool) -> None:
        if _is_url(target):
            raise self._error(
                "an included file must be in the project", "download it into the project and include that"
            )
        if self.depth >= MAX_DEPTH:
            raise self._error(f"is the {MAX_DEPTH}th file in a chain of includes")
        included = self._inside(target)
        if not self.reader.project.exists(included):
            raise self._error(f"there is no file {one_line(target, 80)!r} to include")
        self.reader.read(included, as_constraints=as_constraints, depth=self.depth + 1)

    def _unnamed(self, text: str, *, editable: bool, reason: str) -> None:
        """A path or an address: a requirement where its name can be read from it, else a reference."""
        target = re.split(r"\s;", text, maxsplit=1)[0].strip()
        if _is_url(target) and not re.search(r"\s", target):
            _check_url(self.reader.project, target, self.file, self.number)
            self._named_or_reference(without_credentials(target), target, (), editable)
            return
        match = _EXTRAS.fullmatch(target)
        if match is None or _URL.search(target) or not (editable or _looks_like_path(target)):
            raise _nonsense(text, self.file, self.number, reason)
        path = self._inside(match["path"])
        if not _is_there(self.reader.project, path):
            raise self._error(f"{one_line(target, 80)!r} is neither a requirement nor a path that is there")
        extras = tuple(extra.strip() for extra in (match["extras"] or "").split(",") if extra.strip())
        self._named_or_reference(path, path, extras, editable)

    def _named_or_reference(self, shown: str, target: str, extras: tuple[str, ...], editable: bool) -> None:
        result = self.reader.result
        name = _name_in(target)
        if not name:
            result.references.append(Reference(shown, editable, self.file, self.number, extras))
            return
        text = f"{name} @ {shown}"
        kept = Requirement(text=text, name=name, file=self.file, line=self.number, group=self.reader.group)
        (result.constraints if self.as_constraints else result.requirements).append(kept)

    def _inside(self, target: str) -> str:
        """A path that is meant relative to this file, made relative to the project."""
        relative = posixpath.normpath(posixpath.join(posixpath.dirname(self.file), target))
        try:
            self.reader.project.path(relative)
        except (OSError, RuntimeError, UsageError, ValueError) as error:
            raise self._error(f"{one_line(target, 80)!r} lies outside the project", _OUTSIDE_HINT) from error
        return relative

    def _error(self, message: str, hint: str = "") -> UsageError:
        return UsageError(message, file=self.file, line=self.number, hint=hint)


_OUTSIDE_HINT = "files of a project must be inside its folder, links included"


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with continuations joined and comments dropped, and the number of the first of each."""
    start, parts = 0, ""
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        start = start or number
        is_comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not is_comment:
            parts += line[:-1]
            continue
        # Comments go last, as in pip: one that stands inside a continued line ends it.
        joined = _COMMENT.sub("", f"{parts} {line}" if is_comment else parts + line).strip()
        if joined:
            yield start, joined
        start, parts = 0, ""


def _split_option(word: str) -> tuple[str, bool, str]:
    """The long name, whether a value is attached, and the value: ``-rdev.in``, ``--hash=...``, ``-e``."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, bool(equals), value
    if word[:2] in _LONG:
        return _LONG[word[:2]], len(word) > 2, word[2:].removeprefix("=")
    return word, False, ""


def _is_url(target: str) -> bool:
    return _URL.match(target) is not None


def _looks_like_path(target: str) -> bool:
    return target.startswith(".") or "/" in target or target.endswith(_ARCHIVE)


def _is_there(project: Project, path: str) -> bool:
    try:
        return project.path(path).exists()
    except OSError:  # a name that is too long for the file system
        return False


def _check_url(project: Project, url: str, file: str, line: int) -> None:
    """Refuses an address of this machine's own files that leads out of the project."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _nonsense(url, file, line, str(error)) from error
    if parts.scheme.rpartition("+")[2] not in {"file", ""}:
        return
    path = unquote(parts.path)
    try:
        inside = parts.netloc in {"", "localhost"} and (project.root / path).resolve().is_relative_to(project.root)
    except (OSError, RuntimeError, ValueError):
        inside = False
    if not inside:
        shown = one_line(Redactor()(url), 80)
        raise UsageError(f"{shown!r} lies outside the project", file=file, line=line, hint=_OUTSIDE_HINT)


def _name_in(target: str) -> str:
    """The normalised name in ``...#egg=name`` or in an archive's file name; empty where there is none."""
    address, _, fragment = target.partition("#")
    for part in fragment.split("&"):
        key, _, value = part.partition("=")
        if key == "egg":
            try:
                return canonicalize_name(Parsed(unquote(value)).name)
            except (InvalidRequirement, RecursionError):
                return ""
    file = unquote(posixpath.basename(address))
    try:
        if file.endswith(".whl"):
            return parse_wheel_filename(file)[0]
        return parse_sdist_filename(file)[0] if file.endswith((".tar.gz", ".zip")) else ""
    except ValueError:  # the names' own errors are of this kind
        return ""


def _nonsense(text: str, file: str, line: int, reason: str) -> UsageError:
    shown = one_line(Redactor()(text), 80)
    first = (reason.strip().splitlines() or ["it has no name"])[0]
    return UsageError(f"{shown!r} is not a requirement: {one_line(Redactor()(first), 160)}", file=file, line=line)
