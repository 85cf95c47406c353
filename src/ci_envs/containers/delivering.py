"""Hands an image in an archive to an engine, and by it to a registry. The engine's logins and certificates are used."""

from __future__ import annotations

import contextlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_envs import command
from ci_envs.containers.images import image_id, remove_image
from ci_envs.containers.loading import engine_trouble, load_archive
from ci_envs.containers.references import parse_reference
from ci_envs.containers.registry_failures import judge
from ci_envs.errors import BrokenError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci_envs.containers.engine import Engine
    from ci_envs.containers.references import Reference

__all__ = ["ArchivedImage", "load", "push", "target_name"]

_DIGEST = re.compile(r"(?<=digest: )sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image that an engine can load."""

    archive: Path
    #: What the archive calls it; empty where it does not.
    name: str
    #: ``sha256:<hex>`` of its manifest, where the archive has one, of its configuration, and of its layers as tars.
    manifest: str
    config: str
    layers: tuple[str, ...]


def target_name(text: str) -> Reference:
    """The name that an image is to get. :class:`UsageError` for what is none, and where a digest is in it."""
    reference = parse_reference(text)
    if reference.digest:
        raise UsageError(f"{text!r} holds a digest, and an image's digest is its own", hint="name it with a tag alone")
    return reference


def load(engine: Engine, image: ArchivedImage, reference: Reference, spare: str) -> str:
    """Has an engine take the image in, under this name alone; answers with what it calls it by, ``sha256:<hex>``.

    What had the name loses it, as with `docker tag`; what the archive calls the image stands for what it did before.
    ``spare`` is a repository of ours for the time in between. Raises :class:`BrokenError` where the engine does not
    take the image, or takes something else for it.
    """
    command.refuse_when_stopping("before the image was loaded")
    named = parse_reference(image.name) if image.name else reference
    lent = contextlib.nullcontext() if named == reference else _lent(engine, named, spare)
    with engine_trouble(engine), lent:
        load_archive(engine, image.archive)
        found = next(filter(None, (_found(engine, image, one) for one in (named.familiar, image.config))), "")
        if not found:
            raise BrokenError(f"{engine.title} has taken in something else than the image {image.config}")
        engine.client.api.tag(found, *_parted(reference), force=True)
        return image_id(engine, reference.familiar)


def push(engine: Engine, image: ArchivedImage, reference: Reference, spare: str) -> str:
    """Has an engine bring the image to the registry of its name; answers with the digest that it has there.

    That is the archive's manifest, but for engines that keep none and write another when they push. The engine keeps
    nothing of it, and what it had under that name. Raises :class:`BrokenError` where the registry does not take it.
    """
    with engine_trouble(engine), _lent(engine, reference, spare):
        load(engine, image, reference, spare)
        command.refuse_when_stopping("before the image was pushed")
        return _pushed(engine, reference)


def _found(engine: Engine, image: ArchivedImage, name: str) -> str:
    """The id of what has a name, where that is the image; else empty.

    containerd's store makes a manifest for an archive that has none: there the layers tell what it is.
    """
    from docker.errors import NotFound

    try:
        told = engine.client.images.get(name).attrs
    except NotFound:
        return ""
    made = not image.manifest and tuple((told.get("RootFS") or {}).get("Layers") or ()) == image.layers
    return str(told["Id"]) if made or told["Id"] in (image.manifest, image.config) else ""


def _pushed(engine: Engine, reference: Reference) -> str:
    repository, tag = _parted(reference)
    digest = ""
    for told in engine.client.api.push(repository, tag=tag, stream=True, decode=True):
        if error := told.get("error"):
            raise _refused(engine, reference, str(error))
        # Docker and Podman both say `1.0: digest: sha256:... size: 713`.
        if found := _DIGEST.search(str(told.get("status", ""))):
            digest = found[0]
    if not digest:
        raise BrokenError(
            f"{engine.title} does not tell which digest {reference.familiar} has in {reference.registry}",
            hint="look it up there: the push itself has not failed",
        )
    return digest


def _refused(engine: Engine, reference: Reference, said: str) -> BrokenError:
    failure = judge(said, reference, engine=engine.kind)
    hints = {
        "login": f"`{engine.kind} login {reference.registry}` on this machine, and look whether you may write there",
        "gone": f"look whether {reference.registry} has {reference.repository}: some make none by a push",
        "limit": "wait a while",
        "passing": "try again",
    }
    return BrokenError(
        f"{reference.registry} did not take {reference.familiar}: {failure.said}",
        hint=hints.get(failure.why, failure.error().hint),
    )


@contextlib.contextmanager
def _lent(engine: Engine, reference: Reference, spare: str) -> Iterator[None]:
    """Has a name stand for something else for a while; afterwards it stands for what it did before, or for nothing."""
    name, tag = reference.familiar, f"aside-{secrets.token_hex(4)}"
    # What has a name of ours was left by a run that was killed.
    before = not name.startswith(f"{spare}:") and image_id(engine, name)
    if before:
        engine.client.api.tag(name, spare, tag)
    try:
        yield
    finally:
        if before:
            engine.client.api.tag(f"{spare}:{tag}", *_parted(reference), force=True)
            remove_image(engine, f"{spare}:{tag}")
        else:
            remove_image(engine, name)


def _parted(reference: Reference) -> tuple[str, str]:
    repository, _, tag = reference.familiar.rpartition(":")
    return repository, tag
