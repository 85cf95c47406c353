"""Which lock files a Dockerfile installs from: what it brings into the image, and what its commands name. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, NamedTuple

from ci_envs.containers.dockerfile_reader import Dockerfile, Instruction, read_dockerfile
from ci_envs.containers.dockerfile_stages import Build, Stage, Stages, argument_pairs, mounts_of, read_stages
from ci_envs.containers.dockerfile_words import BLANKS, WordError, expand

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = ["LockUse", "LocksUsed", "locks_used"]

#: Names of files that say what is to be installed, by their last part; matched in lower case.
_NAMES = (
    *("*requirements*.txt", "*requirements*.in", "constraints*.txt"),
    *("uv.lock", "poetry.lock", "pdm.lock", "pipfile.lock", "pixi.lock"),
    *("pylock.toml", "pylock.*.toml"),
    *("*conda-lock.yml", "*conda-lock.yaml", "conda-*.lock", "*environment*.yml", "*environment*.yaml"),
)
#: Folders whose text files say so.
_FOLDERS = frozenset(("locks", "requirements"))

_WORD = re.compile(r"[^\s'\"=;&|()<>,`\[\]]+")
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://|git@", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

_LONGEST_NAME = 1000

How = Literal["COPY", "ADD", "RUN --mount", "RUN"]


class LockUse(NamedTuple):
    """A file that is named."""

    #: As it is named: ``requirements.txt``, ``locks/*.txt``, ``/tmp/requirements.txt``.
    name: str
    line: int
    #: By ``RUN`` alone it is named by its place in the image.
    how: How


@dataclass(frozen=True, slots=True)
class LocksUsed:
    """What the stages that the target needs name."""

    files: tuple[LockUse, ...] = ()
    #: The line that brings all of the build's context; 0 where none does.
    everything: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The last parts of the files' names, each once, in their order."""
        return tuple(dict.fromkeys(use.name.rstrip("/").rpartition("/")[2] for use in self.files))


def locks_used(
    text: str,
    *,
    build_args: Mapping[str, str] | None = None,
    target: str = "",
    platform: str = "linux/amd64",
    contexts: Collection[str] = (),
    file: str = "Dockerfile",
) -> LocksUsed:
    """Lock files and requirement files that the needed stages copy, mount or name. Raises :class:`UsageError`."""
    build = Build(build_args or {}, target, platform, contexts=contexts)
    dockerfile = read_dockerfile(text, file=file)
    stages = read_stages(dockerfile, build)
    found: dict[LockUse, None] = {}
    everything = 0
    for stage in stages.all:
        if stage.index not in stages.needed:
            continue
        for use in _uses(stage, stages, dockerfile, build):
            if _is_all(use):
                everything = everything or use.line
            elif _is_lock(use):
                found[use] = None
    return LocksUsed(tuple(found), everything)


def _is_all(use: LockUse) -> bool:
    return use.how != "RUN" and use.name.rstrip("/") in ("", ".", "*", "./*")


def _is_lock(use: LockUse) -> bool:
    folder, _, last = use.name.rstrip("/").rpartition("/")
    if last in _FOLDERS:
        return use.how != "RUN"  # where it is an ordinary word
    in_folder = folder.rpartition("/")[2] in _FOLDERS and last.endswith((".txt", ".in", "*"))
    return in_folder or any(fnmatchcase(last.lower(), pattern) for pattern in _NAMES)


def _uses(stage: Stage, stages: Stages, dockerfile: Dockerfile, build: Build) -> Iterator[LockUse]:
    """What a stage brings and names, its variables replaced as far as they are known."""
    values: dict[str, str] = {}
    for instruction in stage.instructions:
        if instruction.on_build:
            continue
        match instruction.name:
            case "ARG" | "ENV":
                values |= _set(instruction, values, stages, dockerfile, build)
            case "COPY" | "ADD":
                yield from _copied(instruction, values, dockerfile)
            case "RUN":
                yield from _mounted(instruction, values, dockerfile)
                yield from _named(instruction, values)
            case _:
                pass


def _set(
    instruction: Instruction, values: Mapping[str, str], stages: Stages, dockerfile: Dockerfile, build: Build
) -> dict[str, str]:
    found = {}
    for name, value, _ in argument_pairs(instruction, dockerfile.escape):
        if instruction.name == "ARG" and name in build.build_args:
            found[name] = build.build_args[name]
        elif value is not None:
            found[name] = _expanded(value, values, dockerfile)
        elif name in stages.values:
            found[name] = stages.values[name]
    return found


def _expanded(text: str, values: Mapping[str, str], dockerfile: Dockerfile) -> str:
    try:
        value = expand(text, values.get, escape=dockerfile.escape).value
    except WordError:
        return text
    # Values may be made of values; none of these is a file's name.
    return value if len(value) <= _LONGEST_NAME else text


def _copied(instruction: Instruction, values: Mapping[str, str], dockerfile: Dockerfile) -> Iterator[LockUse]:
    if any(flag.text.startswith("--from=") for flag in instruction.flags):
        return
    how: How = "COPY" if instruction.name == "COPY" else "ADD"
    array = instruction.array()
    words = instruction.words() if array is None else []
    sources = [(word.text, instruction.line_of(word.start)) for word in words[:-1]]
    sources += [(text, instruction.first) for text in (array or [])[:-1]]
    for text, line in sources:
        name = _expanded(text, values, dockerfile)
        if not text.startswith("<<") and not _REMOTE.match(name):
            yield LockUse(name.removeprefix("/"), line, how)


def _mounted(instruction: Instruction, values: Mapping[str, str], dockerfile: Dockerfile) -> Iterator[LockUse]:
    for mount, flag in mounts_of(instruction):
        if mount.get("type", "bind") == "bind" and not mount.get("from"):
            source = mount.get("source", mount.get("src", ""))
            name = _expanded(source, values, dockerfile).removeprefix("/")
            yield LockUse(name, instruction.line_of(flag.start), "RUN --mount")


def _named(instruction: Instruction, values: Mapping[str, str]) -> Iterator[LockUse]:
    """Words of the command, and of the scripts in its heredocs."""
    for word in _WORD.finditer(instruction.line, instruction.start):
        yield LockUse(_known(word[0], values), instruction.line_of(word.start()), "RUN")
    for heredoc in instruction.heredocs:
        for number, line in enumerate(heredoc.content.split("\n"), heredoc.line):
            if not line.lstrip().startswith("#"):
                yield from (LockUse(_known(word, values), number, "RUN") for word in _words(line))


def _words(line: str) -> list[str]:
    return [word for part in BLANKS.split(line) for word in _WORD.findall(part)]


def _known(word: str, values: Mapping[str, str]) -> str:
    """``-rrequirements.txt`` is an option of pip with its value."""
    replaced = _VARIABLE.sub(lambda found: values.get(found[1] or found[2], found[0]), word)
    return re.sub(r"^-[rc](?=\S)", "", replaced)
