"""Images by their name and id: which one a name stands for, and the end of one that nothing names."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from ci_envs.containers.listing import listed
from ci_envs.errors import BrokenError

if TYPE_CHECKING:
    from ci_envs.containers.engine import Engine

__all__ = ["image_id", "listed_images", "name_also", "pulled", "remove_image"]


def image_id(engine: Engine, name: str) -> str:
    """``sha256:<hex>``; empty where the engine has no image of that name."""
    from docker.errors import NotFound

    try:
        return str(engine.client.images.get(name).attrs["Id"])
    except NotFound:
        return ""


def listed_images(engine: Engine) -> list[dict[str, Any]]:
    """All images that the engine lists."""
    return list(listed(engine.client.api.images))


def name_also(engine: Engine, name: str, other: str) -> None:
    """Gives what a name stands for another name, too; nothing where it stands for nothing."""
    from docker.errors import NotFound

    repository, _, tag = other.rpartition(":")
    with contextlib.suppress(NotFound):
        engine.client.api.tag(name, repository, tag, force=True)


def remove_image(engine: Engine, name: str) -> None:
    """Removes what nothing else names or uses: what another image or a container needs, the engine keeps."""
    from docker.errors import APIError

    with contextlib.suppress(APIError):
        engine.client.api.remove_image(name, noprune=False)


def pulled(engine: Engine, reference: str) -> str:
    """The id of an image that a registry has, fetched where the engine has it not.

    :class:`BrokenError` where it cannot be had.
    """
    from docker.errors import DockerException

    known = image_id(engine, reference)
    if known:
        return known
    try:
        return str(engine.client.images.pull(reference).id)
    except DockerException as error:
        raise BrokenError(f"{engine.title} cannot pull {reference}: {error}") from error
