"""The lock of an image: what is installed inside, and the digests of the images that it is built on."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from ci_envs.containers.base_findings import base_findings, secret_findings
from ci_envs.containers.base_images import base_for, is_conda, tools_base
from ci_envs.containers.bases import local_digest, resolve_image
from ci_envs.containers.docker_lock import (
    NAME,
    DockerLock,
    LockedImage,
    merged,
    pins,
    read_docker_lock,
    staleness,
    write_docker_lock,
)
from ci_envs.containers.dockerfile import BaseImage, images_of
from ci_envs.containers.inner import inner_leg, inner_pattern, inner_work
from ci_envs.containers.legs import build_args_of, engine_for, platform_of
from ci_envs.containers.references import parse_reference
from ci_envs.containers.written_locks import lock_of_dockerfile
from ci_envs.errors import BrokenError, BuildError, LockError
from ci_envs.locks.insync import Stale
from ci_envs.model.lock import Lock
from ci_envs.patterns.requirement_locks import refuse_changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ci_envs.containers.base_images import BaseImage as KnownBase
    from ci_envs.containers.bases import Resolved
    from ci_envs.containers.engine import Engine
    from ci_envs.model.leg import Leg
    from ci_envs.patterns import Pattern
    from ci_envs.work import Work

__all__ = [
    "images_for",
    "images_in",
    "known_bases",
    "lock_generated",
    "lock_images",
    "lock_written",
    "locked_images",
    "refuse_other_local",
    "together",
]


def lock_generated(leg: Leg, work: Work) -> Lock:
    """The lock that the same leg has outside of an image, and ``docker.lock`` for the base."""
    pattern = inner_pattern(leg, work.project, work.config)
    inner = _lock_of(pattern, inner_leg(leg, pattern.name), inner_work(work, pattern))
    bases = known_bases(leg, work, inner)
    lock_images(leg, work, images_for(bases), {_key(base): base.digest for base in bases if base.digest}, "")
    return together(work, inner, images_for(bases))


def _lock_of(pattern: Pattern, leg: Leg, work: Work) -> Lock:
    """The pattern's own; nix may be in the image alone."""
    if pattern.name != "nix":
        return pattern.lock(leg, work)
    from ci_envs.containers.nix_image import lock_inside

    return lock_inside(leg, work)


def lock_written(leg: Leg, work: Work, file: str) -> Lock:
    """``docker.lock`` for every image that the Dockerfile names, and the locks that it installs from."""
    images = images_in(leg, work, file)
    lock_images(leg, work, images, {}, file)
    lock = locked_images(work) if work.project.exists(NAME) else None
    work.findings += base_findings(images, lock, file=file)
    work.findings += secret_findings(
        work.project.text(file) or "", build_args=build_args_of(leg, work.config.docker), file=file
    )
    inner = lock_of_dockerfile(leg, work, file)
    if inner is None:
        inner = Lock(path=file, format="docker", sha256=work.file_digest(file), covers=("image",))
    return together(work, inner, images, file)


def images_in(leg: Leg, work: Work, file: str) -> tuple[BaseImage, ...]:
    """The images that the project's Dockerfile names, as the leg builds it."""
    docker = work.config.docker
    return images_of(
        work.project.text(file) or "",
        build_args=build_args_of(leg, docker),
        target=docker.target,
        platform=platform_of(leg),
        file=file,
    )


def known_bases(leg: Leg, work: Work, inner: Lock) -> tuple[KnownBase, ...]:
    """What a generated Dockerfile is built on: its base and, for conda, what puts the packages together."""
    base = base_for(leg, work.config, inner)
    beside = tools_base(base) if is_conda(inner) else None
    return (base, beside) if beside else (base,)


def images_for(bases: Iterable[KnownBase]) -> tuple[BaseImage, ...]:
    """The same, as a Dockerfile would name them."""
    return tuple(
        BaseImage(line=0, text=base.image, reference=parse_reference(base.image), kind="FROM") for base in bases
    )


def locked_images(work: Work) -> DockerLock:
    """What ``docker.lock`` says; nothing where there is none."""
    text = work.project.text(NAME)
    return read_docker_lock(text) if text is not None else DockerLock()


def together(work: Work, inner: Lock, images: Sequence[BaseImage], file: str = "Dockerfile") -> Lock:
    """One lock of both. It covers what the inner one does: no lock names the packages of a distribution."""
    more = (NAME,) if work.project.exists(NAME) else ()
    digest = hashlib.sha256(f"{inner.sha256} {work.file_digest(NAME)}".encode())
    return msgspec.structs.replace(
        inner,
        more=(*inner.more, *more),
        sha256=digest.hexdigest(),
        pins=(*inner.pins, *pins(locked_images(work), images, file=file)),
    )


def _key(base: KnownBase) -> str:
    return parse_reference(base.image).key


def lock_images(leg: Leg, work: Work, images: Sequence[BaseImage], known: Mapping[str, str], file: str) -> None:
    """Sees to it that ``docker.lock`` has every image that carries no digest of its own, as the policy asks.

    ``known`` are digests that serve where no registry can be asked; ``file`` names the images.
    """
    mode = work.policy.mode
    stale = _stale(work, images)
    if stale and mode in ("locked", "frozen"):
        line = next((one.line for one in images if one.reference and one.reference.key == stale[0].name), 0)
        raise LockError(
            "; ".join(one.message for one in stale),
            file=file if line else NAME,
            line=line,
            hint=f"renew it with: {work.lock_command()}",
        )
    wanted = [one for one in images if one.needed and one.reference and not one.reference.digest]
    if not wanted or not (stale or mode == "update" or work.policy.solve):
        return
    engine = engine_for(leg, work.config.docker, work.environ)
    names = {one.name for one in stale}
    asked = [one for one in wanted if one.reference and (mode == "update" or not stale or one.reference.key in names)]
    found = [_resolved(engine, work, one, known, file) for one in dict.fromkeys(asked)]
    if work.policy.solve and mode == "locked":
        current = {one.key: one.digest for one in found}
        work.findings += [one for one in base_findings(images, locked_images(work), current, file=file) if one.line]
        refuse_changes(work, NAME, list(_moved(locked_images(work), found)))
        return
    with work.alone(f"project-{work.project_key}"):
        _write(work, found)


def _platforms(work: Work) -> tuple[str, ...]:
    """The leg's own, and those that are configured."""
    return tuple(dict.fromkeys((platform_of(work.leg), *work.config.docker.platforms)))


def _stale(work: Work, images: Sequence[BaseImage]) -> list[Stale]:
    lock = locked_images(work)
    return [
        Stale(code="missing", message=one.message, name=one.key, file=NAME)
        for platform in _platforms(work)
        for one in staleness(lock, images, platform=platform)
        if one.kind != "unused"
    ]


def refuse_other_local(engine: Engine, images: Iterable[BaseImage], work: Work) -> None:
    """:class:`BuildError` where an image that is in no registry is not, on this engine, the one that was locked.

    BuildKit finds no such image by its digest, so that it is built on by its name.
    """
    locked = locked_images(work).by_key()
    for image in images:
        entry = locked.get(image.reference.key) if image.reference and image.needed else None
        if image.reference is None or entry is None or not entry.local or image.reference.digest:
            continue
        here = local_digest(engine, image.reference, work.environ)
        if here != entry.digest:
            has = f"is {here} here" if here else "is not here"
            raise BuildError(
                f"{image.shown} was locked as {entry.digest}, and {has}; no registry has it",
                file=NAME,
                hint=f"bring that image, or lock the one that is here: {work.lock_command('--upgrade')}",
            )


def _resolved(engine: Engine, work: Work, image: BaseImage, known: Mapping[str, str], file: str) -> LockedImage:
    """The digest of today; the one that is known where no registry can be asked."""
    reference = image.reference
    assert reference is not None  # noqa: S101 - the caller has left others out
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    new = LockedImage(image=reference.name, tag=reference.tag, when=now, digest="")
    fallback = known.get(reference.key, "")
    try:
        answer = [_asked(engine, image, platform, work, file) for platform in _platforms(work)][-1]
    except BrokenError as error:
        if not fallback:
            raise
        message = f"{error}; the digest that this version of ci-envs knows was taken"
        work.find("IMG009", "warning", "registry was not asked", message, file=NAME)
        return msgspec.structs.replace(new, digest=fallback)
    return msgspec.structs.replace(new, digest=answer.digest, platforms=answer.platforms, local=answer.local)


def _asked(engine: Engine, image: BaseImage, platform: str, work: Work, file: str) -> Resolved:
    """Errors say where the image is named."""
    if work.policy.offline:
        raise BrokenError(f"{image.shown} cannot be looked up offline", hint="lock it where there is a network")
    return resolve_image(engine, image, platform, work.environ, file=file)


def _moved(lock: DockerLock, found: Iterable[LockedImage]) -> Iterable[Stale]:
    """The tags that stand for another image today."""
    entries = lock.by_key()
    for new in found:
        old = entries.get(new.key)
        if old is not None and old.digest != new.digest:
            message = f"{new.image}:{new.tag} was {old.digest} when it was locked ({old.when}), and is {new.digest} now"
            yield Stale(code="unsatisfied", message=message, name=new.key, file=NAME)


def _write(work: Work, found: Sequence[LockedImage]) -> None:
    work.begins()
    work.project.forget(NAME)  # another leg may have written it meanwhile
    work.keep_lock(NAME, write_docker_lock(merged(locked_images(work), found)))
