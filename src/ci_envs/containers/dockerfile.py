"""Every image that a Dockerfile is built on, with its line. Pure.

Bases, images that COPY and mounts take files from, and the frontend that the ``# syntax=`` directive names. Reading
is :mod:`ci_envs.containers.dockerfile_reader`'s, stages are :mod:`ci_envs.containers.dockerfile_stages`'.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ci_envs.containers.dockerfile_reader import Dockerfile, Instruction, Span, read_dockerfile
from ci_envs.containers.dockerfile_stages import Build, Kind, Stage, Stages, Use, read_stages, uses_of
from ci_envs.containers.references import Reference, parse_reference
from ci_envs.errors import UsageError
from ci_envs.nearest import nearest
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = ["SYNTAX_ARG", "BaseImage", "Build", "Dockerfile", "Instruction", "images_of", "read_dockerfile"]

#: The build argument that stands above the directive: https://docs.docker.com/build/buildkit/frontend/
SYNTAX_ARG = "BUILDKIT_SYNTAX"

SCRATCH = "scratch"
_SHOWN = 100
#: Words are not looked for among more.
_MOST_NEAR = 100


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image that a Dockerfile names, at one place."""

    #: 1-based; 0 where it does not stand in the file but in a build argument.
    line: int
    #: As written, variables and quotes included.
    text: str
    #: ``None`` for ``scratch``, and where it has a ``problem``.
    reference: Reference | None
    kind: Kind
    #: The stage that it stands in: its name, else its position from 0; empty for the frontend.
    stage: str = ""
    #: Whether the target cannot be built without it.
    needed: bool = True
    #: What ``FROM --platform`` says; empty where it says nothing.
    platform: str = ""
    #: Why it cannot be told which image is meant.
    problem: str = ""
    #: The variables in it that have no value and became nothing.
    unset: tuple[str, ...] = ()
    #: Where a name without tag and digest may have been meant for a stage: ``; did you mean 'builder'?``.
    near_stage: str = ""
    #: Where in the file it stands; nowhere, where it cannot be replaced.
    spans: tuple[Span, ...] = field(default=(), repr=False, compare=False)

    @property
    def is_variable(self) -> bool:
        """Whether it is made of variables."""
        return "$" in self.text

    @property
    def shown(self) -> str:
        """As the file has it, with what its variables make of it: ``${BASE} (python:3.12)``."""
        written = one_line(self.text, _SHOWN)
        return f"{written} ({self.reference.familiar})" if self.is_variable and self.reference else written

    def pinned(self, digest: str) -> str:
        """What to write in its place: the same, with the digest.

        A name that stands there as it is stays as it is, since Podman's configuration may give it a meaning of its own.
        """
        reference = self.reference
        if reference is None:
            return self.text
        plain = not self.is_variable and self.text == self.text.strip("\"'")
        # A tag is written even where none stood: it says which one the digest is to follow.
        if plain and not reference.digest and not reference.tagless:
            return f"{self.text}@{digest}"
        return reference.with_digest(digest).familiar


def images_of(
    text: str,
    *,
    build_args: Mapping[str, str] | None = None,
    target: str = "",
    platform: str = "linux/amd64",
    build_platform: str = "",
    contexts: Collection[str] = (),
    file: str = "Dockerfile",
) -> tuple[BaseImage, ...]:
    """Every image that the file names, in its order; stages that refer to other stages name none.

    Raises :class:`UsageError`, with the line, where the file cannot be read, where the target is no stage of it, and
    where a base that the target needs is no image's name. ``problem`` says the same of one that it does not need, and
    of what not all engines understand.
    """
    build = Build(build_args or {}, target, platform, build_platform, contexts)
    dockerfile = read_dockerfile(text, file=file)
    stages = read_stages(dockerfile, build)
    # What ONBUILD says is carried out in the stages that go on from the one that says it.
    passed_on = {one.parent.index for one in stages.all if one.parent and one.index in stages.needed}
    found = [*_frontend(dockerfile, build)]
    for stage in stages.all:
        found += _base(stage, stages, dockerfile, build)
        for use in uses_of(stage):
            needed = stage.index in (passed_on if use.on_build else stages.needed)
            found += _from_use(use, stage, stages, dockerfile, build, needed=needed)
    return tuple(found)


def _base(stage: Stage, stages: Stages, dockerfile: Dockerfile, build: Build) -> Iterator[BaseImage]:
    if stage.parent or stage.base.value in build.contexts or (stage.name and stage.name in build.contexts):
        return
    word, needed = stage.word, stage.index in stages.needed
    line = stage.begin.line_of(word.start)
    reference, problem = None, ""
    if stage.base.value != SCRATCH:
        try:
            reference = parse_reference(stage.base.value)
        except UsageError as error:
            problem, hint = _why(stage, error, stages)
            if needed:
                raise UsageError(problem, file=dockerfile.file, line=line, hint=hint) from error
    yield BaseImage(
        line=line,
        text=word.text,
        reference=reference,
        kind="FROM",
        stage=stage.shown,
        needed=needed,
        platform=stage.platform,
        problem=problem,
        unset=stage.base.unset,
        near_stage=_near(reference, stages),
        spans=stage.begin.spans(word.start, word.end),
    )


def _why(stage: Stage, error: UsageError, stages: Stages) -> tuple[str, str]:
    """Why a base is no image's name, and what to do."""
    begin = f"FROM {one_line(stage.word.text, _SHOWN)}"
    if stage.base.unset:
        name = stage.base.unset[0]
        line = stages.declared.get(name, 0)
        known = f"ARG {name} (line {line}) has no default" if line else "no ARG before the first FROM declares it"
        advice = f"write ARG {name}=... before the first FROM, or set docker.build-args.{name}"
        return f"{begin}: {name} has no value: {known}, and no build argument is given", advice
    if stage.base.value.lower() in stages.by_name:
        return f"{begin}: {error.message}", f"FROM {stage.base.value.lower()} means the stage: it is lower case there"
    return f"{begin}: {error.message}", error.hint


def _from_use(
    use: Use, stage: Stage, stages: Stages, dockerfile: Dockerfile, build: Build, *, needed: bool
) -> Iterator[BaseImage]:
    if use.name == SCRATCH or use.name in build.contexts or stages.named(use.name):
        return
    shown = f"{use.kind}={one_line(use.name, _SHOWN)}"
    reference, problem = None, ""
    try:
        reference = _taken(use, shown, stages)
    except UsageError as error:
        problem = error.message
        # Buildah replaces variables here, BuildKit does not: no error, but an image that cannot be told.
        if needed and "$" not in use.name:
            raise UsageError(problem, file=dockerfile.file, line=use.line, hint=error.hint) from error
    yield BaseImage(
        line=use.line,
        text=use.name,
        reference=reference,
        kind=use.kind,
        stage=stage.shown,
        needed=needed,
        problem=problem,
        near_stage=_near(reference, stages),
        spans=use.spans,
    )


def _taken(use: Use, shown: str, stages: Stages) -> Reference:
    if "$" in use.name:
        raise UsageError(f"{shown} has a variable: a stage, FROM {one_line(use.name, _SHOWN)} AS name, may have one")
    if use.name.isdigit() and use.kind != "RUN --mount":
        raise UsageError(f"{shown}: there is no such stage", hint=f"stages are 0 to {len(stages.all) - 1}")
    try:
        return parse_reference(use.name)
    except UsageError as error:
        raise UsageError(f"{shown}: {error.message}", hint=error.hint) from error


def _near(reference: Reference | None, stages: Stages) -> str:
    """A bare word is an image of Docker Hub, or a stage's name with a mistake in it."""
    is_bare = reference is not None and reference.tagless and not reference.digest and "/" not in reference.familiar
    if reference is None or not is_bare or len(stages.by_name) > _MOST_NEAR:
        return ""
    return nearest(reference.repository.removeprefix("library/"), stages.by_name)


def _frontend(dockerfile: Dockerfile, build: Build) -> Iterator[BaseImage]:
    """The image that understands the file, where one is named."""
    named, syntax = build.build_args.get(SYNTAX_ARG, ""), dockerfile.syntax
    line, spans = (syntax.line, (syntax.span,)) if syntax and not named else (0, ())
    text = named.partition(" ")[0] or (syntax.image if syntax else "")
    if not text:
        return
    try:
        reference = parse_reference(text)
    except UsageError as error:
        raise UsageError(f"syntax: {error.message}", file=dockerfile.file, line=line, hint=error.hint) from error
    yield BaseImage(line=line, text=text, reference=reference, kind="syntax", spans=spans)
