"""The stages of a Dockerfile: what each goes on from, what it takes from others, which of them a target needs. Pure.

The rules are BuildKit's: variables in FROM are those of the ARGs before the first FROM and the automatic platform
ARGs; a stage is found by its name in lower case; what the target does not need is not built.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from ci_envs.containers.dockerfile_words import Expanded, Word, WordError, expand, split_words
from ci_envs.errors import UsageError
from ci_envs.nearest import nearest
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ci_envs.containers.dockerfile_reader import Dockerfile, Instruction, Span

__all__ = ["Build", "Kind", "Stage", "Stages", "Use", "argument_pairs", "mounts_of", "read_stages", "uses_of"]

Kind = Literal["FROM", "COPY --from", "ADD --from", "RUN --mount", "syntax"]

#: Of all values of ARGs together: each may be made of those before it.
_MAX_VALUES = 4 * 1024 * 1024
_FROM_WORDS = 3
_INDEX_DIGITS = 6
_SHOWN = 100


class Build(NamedTuple):
    """How the file is built, as far as that decides which images it names."""

    build_args: Mapping[str, str] = {}
    #: The stage to build; the last one where it is empty.
    target: str = ""
    #: What the image is for: ``linux/amd64``, ``linux/arm/v7``.
    platform: str = "linux/amd64"
    #: What it is built on; where it is empty, the same.
    build_platform: str = ""
    #: Names that ``--build-context`` gives: they are no images.
    contexts: Collection[str] = ()


class Use(NamedTuple):
    """What a stage takes from elsewhere: the image or the stage that a COPY or a mount names."""

    name: str
    kind: Kind
    line: int
    #: Nowhere, where quotes or escapes tear the name apart.
    spans: tuple[Span, ...]
    #: Whether it is the stages that go on from this one that take it.
    on_build: bool


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """FROM and what follows it up to the next."""

    index: int
    #: In lower case; empty where it has none.
    name: str
    begin: Instruction
    #: Of FROM: the image as it stands there, what that means, and the platform.
    word: Word
    base: Expanded
    platform: str
    instructions: tuple[Instruction, ...]
    #: The earlier stage that this one goes on from.
    parent: Stage | None = None

    @property
    def shown(self) -> str:
        """Its name, else its position from 0."""
        return self.name or str(self.index)


@dataclass(frozen=True, slots=True)
class Stages:
    """All stages of a file, and those that the target needs."""

    all: tuple[Stage, ...]
    #: The last stage of each name.
    by_name: Mapping[str, Stage]
    #: The variables that FROM may use, and the line on which each ARG before the first FROM stands.
    values: Mapping[str, str]
    declared: Mapping[str, int]
    needed: frozenset[int]

    def named(self, name: str) -> Stage | None:
        """The stage that ``--from`` means: a position from 0, or a name in any case."""
        return _named(name, self.all, self.by_name)


def read_stages(dockerfile: Dockerfile, build: Build) -> Stages:
    """Raises :class:`UsageError`, with the line, for what is no stage, and where the target is none."""
    begins = [at for at, one in enumerate(dockerfile.instructions) if one.name == "FROM" and not one.on_build]
    if not begins:
        raise UsageError("has no FROM", file=dockerfile.file, hint="FROM and an image begin a Dockerfile")
    values, declared = _values(dockerfile.instructions[: begins[0]], dockerfile, build)
    stages: list[Stage] = []
    by_name: dict[str, Stage] = {}
    for begin, end in zip(begins, [*begins[1:], len(dockerfile.instructions)], strict=True):
        stage = _stage(dockerfile.instructions[begin:end], len(stages), by_name, values, dockerfile)
        stages.append(stage)
        if stage.name:
            by_name[stage.name] = stage
    needed = _closure(_target(stages, by_name, dockerfile, build), stages, by_name)
    return Stages(tuple(stages), by_name, values, declared, frozenset(needed))


def _stage(
    instructions: tuple[Instruction, ...],
    index: int,
    before: Mapping[str, Stage],
    values: Mapping[str, str],
    dockerfile: Dockerfile,
) -> Stage:
    begin = instructions[0]
    words = begin.words()
    if len(words) not in (1, _FROM_WORDS) or (len(words) == _FROM_WORDS and words[1].text.lower() != "as"):
        hint = "FROM image, or FROM image AS name"
        hint += "; a comment needs a line of its own" if any(word.text.startswith("#") for word in words) else ""
        raise _error("FROM has too few or too many words", begin, dockerfile, hint)
    name = words[2].text.lower() if len(words) == _FROM_WORDS else ""
    if name and not _is_stage_name(name):
        shown = repr(one_line(words[2].text, _SHOWN))
        hint = "a letter begins it; letters, digits, '-', '_' and '.' follow"
        raise _error(f"{shown} is no name of a stage", begin, dockerfile, hint)
    base = _expanded(words[0].text, values, begin, dockerfile)
    platform = next((flag.text.partition("=")[2] for flag in begin.flags if flag.text.startswith("--platform=")), "")
    return Stage(
        index=index,
        name=name,
        begin=begin,
        word=words[0],
        base=base,
        platform=_expanded(platform, values, begin, dockerfile).value,
        instructions=instructions[1:],
        # The name is looked up as it is written, and names of stages are kept in lower case.
        parent=before.get(base.value),
    )


def _is_stage_name(name: str) -> bool:
    return name.isascii() and name[0].isalpha() and all(char.isalnum() or char in "-_." for char in name)


# Variables


def _values(
    instructions: tuple[Instruction, ...], dockerfile: Dockerfile, build: Build
) -> tuple[dict[str, str], dict[str, int]]:
    values = {name: build.build_args.get(name, value) for name, value in _automatic(dockerfile, build).items()}
    declared: dict[str, int] = {}
    total = 0
    for instruction in instructions:
        if instruction.name != "ARG" or instruction.on_build:
            shown = one_line(instruction.name, 20)
            raise _error(f"{shown} stands before the first FROM", instruction, dockerfile, "only ARG may stand there")
        for name, default, _ in _arguments(instruction, dockerfile):
            declared[name] = instruction.first
            if name in build.build_args:
                values[name] = build.build_args[name]
            elif default is not None:
                values[name] = _expanded(default, values, instruction, dockerfile).value
            total += len(values.get(name, ""))
            if total > _MAX_VALUES:
                raise _error("the values of ARGs are too long together", instruction, dockerfile, "shorten them")
    return values, declared


def _arguments(instruction: Instruction, dockerfile: Dockerfile) -> list[tuple[str, str | None, Word]]:
    pairs = argument_pairs(instruction, dockerfile.escape)
    if not pairs or not all(name for name, _, _ in pairs):
        raise _error("ARG names nothing", instruction, dockerfile, "ARG NAME, or ARG NAME=default")
    return pairs


def argument_pairs(instruction: Instruction, escape: str) -> list[tuple[str, str | None, Word]]:
    """The names and values, not yet expanded, of ARG or ENV; ``None`` for an ARG without one.

    ``ENV NAME some value`` is the old form of one pair.
    """
    words = split_words(instruction.line, instruction.start, escape)
    if instruction.name == "ENV" and words and "=" not in words[0].text:
        return [(words[0].text, instruction.line[words[0].end :].strip(), words[0])]
    pairs = [(word.text.partition("="), word) for word in words]
    return [(name, value if equals else None, word) for (name, equals, value), word in pairs]


def _automatic(dockerfile: Dockerfile, build: Build) -> dict[str, str]:
    """https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope."""
    found: dict[str, str] = {}
    for kind, platform in (("TARGET", build.platform), ("BUILD", build.build_platform or build.platform)):
        system, _, rest = platform.partition("/")
        arch, _, variant = rest.partition("/")
        parts = {"PLATFORM": platform, "OS": system, "OSVERSION": "", "ARCH": arch, "VARIANT": variant}
        found |= {f"{kind}{part}": value for part, value in parts.items()}
    last = next(one for one in reversed(dockerfile.instructions) if one.name == "FROM" and not one.on_build).words()
    found["TARGETSTAGE"] = build.target or (last[2].text.lower() if len(last) == _FROM_WORDS else "default")
    return found


def _expanded(text: str, values: Mapping[str, str], instruction: Instruction, dockerfile: Dockerfile) -> Expanded:
    try:
        return expand(text, values.get, escape=dockerfile.escape)
    except WordError as error:
        raise _error(f"{instruction.name} {one_line(text, _SHOWN)}: {error}", instruction, dockerfile) from error


# Which of them are needed


def _target(stages: list[Stage], by_name: Mapping[str, Stage], dockerfile: Dockerfile, build: Build) -> Stage:
    if not build.target:
        return stages[-1]
    # Buildah takes a position, too.
    if (found := _named(build.target, stages, by_name)) is not None:
        return found
    raise UsageError(
        f"has no stage {one_line(build.target, _SHOWN)!r}{nearest(build.target, by_name)}",
        file=dockerfile.file,
        hint=f"its stages are {', '.join(by_name)}" if by_name else "name the stage: FROM image AS name",
    )


def _named(name: str, stages: Sequence[Stage], by_name: Mapping[str, Stage]) -> Stage | None:
    if name.isascii() and name.isdigit():
        index = int(name) if len(name) <= _INDEX_DIGITS else len(stages)
        return stages[index] if index < len(stages) else None
    return by_name.get(name.lower())


def _closure(target: Stage, stages: list[Stage], by_name: Mapping[str, Stage]) -> set[int]:
    """The target and every stage that it takes from, by position."""
    found: set[int] = set()
    left = [target]
    while left:
        stage = left.pop()
        if stage.index in found:
            continue
        found.add(stage.index)
        taken = [use.name for use in uses_of(stage) if not use.on_build]
        if stage.parent:
            left.append(stage.parent)
            taken += [use.name for use in uses_of(stage.parent) if use.on_build]
        left += [one for name in taken if (one := _named(name, stages, by_name)) is not None]
    return found


# What they take


def uses_of(stage: Stage) -> Iterator[Use]:
    """Every ``COPY --from`` and every mount with ``from``, in the file's order."""
    for instruction in stage.instructions:
        if instruction.name in ("COPY", "ADD"):
            flags = [flag for flag in instruction.flags if flag.text.removeprefix("--from=") not in ("", flag.text)]
            kind: Kind = "COPY --from" if instruction.name == "COPY" else "ADD --from"
            yield from (_use(flag.text.partition("=")[2], flag, kind, instruction) for flag in flags)
        elif instruction.name == "RUN":
            mounts = ((mount.get("from", ""), flag) for mount, flag in mounts_of(instruction))
            yield from (_use(name, flag, "RUN --mount", instruction) for name, flag in mounts if name)


def mounts_of(instruction: Instruction) -> list[tuple[dict[str, str], Word]]:
    """The ``--mount`` flags of a RUN, each as its keys and values; a key without a value has an empty one."""
    flags = [flag for flag in instruction.flags if flag.text.startswith("--mount=")]
    return [(_mount(flag.text.partition("=")[2]), flag) for flag in flags]


def _mount(text: str) -> dict[str, str]:
    try:
        fields = next(csv.reader([text]), [])
    except csv.Error:
        fields = text.split(",")
    pairs = (one.partition("=") for one in fields)
    return {key.strip().lower(): value for key, _, value in pairs}


def _use(name: str, flag: Word, kind: Kind, instruction: Instruction) -> Use:
    raw, written = instruction.line[flag.start : flag.end], f"from={name}"
    line = instruction.line_of(flag.start)
    if raw.count(written) != 1:
        return Use(name, kind, line, (), instruction.on_build)
    start = flag.start + raw.index(written) + len("from=")
    return Use(name, kind, line, instruction.spans(start, start + len(name)), instruction.on_build)


def _error(message: str, instruction: Instruction, dockerfile: Dockerfile, hint: str = "") -> UsageError:
    return UsageError(message, file=dockerfile.file, line=instruction.first, hint=hint)
