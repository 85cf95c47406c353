"""What killed runs have left on an engine: containers and volumes that were given our labels, and nothing else.

Images are none of it: they go by their names (``labels.image_name``), and a leg's image stays until it is replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ci_envs.containers.labels import LABEL_LEG, LABEL_RUN, LABEL_STATE, is_over
from ci_envs.containers.listing import listed, listed_containers
from ci_envs.errors import BrokenError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci_envs.containers.engine import Engine

__all__ = ["Leftover", "leftovers", "remove_leftovers"]


class Leftover(NamedTuple):
    """One thing on an engine."""

    kind: Literal["container", "volume"]
    id: str
    name: str
    leg: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def leftovers(engine: Engine, state_key: str, leg: str = "") -> tuple[Leftover, ...]:
    """What runs of a state folder (of one leg, or of all) have left; what a living process uses is not left.

    Containers come first: a volume cannot be removed before them.
    """
    wanted = {LABEL_STATE: state_key, **({LABEL_LEG: leg} if leg else {})}
    found = [
        Leftover(kind, identity, name, labels.get(LABEL_LEG, ""))
        for kind, identity, name, labels in _labelled(engine, state_key)
        # Engines understand filters in ways of their own; what is removed is looked at here.
        if wanted.items() <= labels.items() and is_over(labels.get(LABEL_RUN, ""))
    ]
    return tuple(found)


def _labelled(
    engine: Engine, state_key: str
) -> Iterator[tuple[Literal["container", "volume"], str, str, Mapping[str, str]]]:
    label = f"{LABEL_STATE}={state_key}"
    for told in listed_containers(engine, label):
        if not _is_inherited(engine, told.get("ImageID") or ""):
            name = (told.get("Names") or [told["Id"]])[0]
            yield "container", told["Id"], name.lstrip("/"), told.get("Labels") or {}
    api = engine.client.api
    volumes: list[dict[str, Any]] = listed(lambda: api.volumes(filters={"label": label})).get("Volumes") or []
    for told in volumes:
        yield "volume", told["Name"], told["Name"], told.get("Labels") or {}


def _is_inherited(engine: Engine, image: str) -> bool:
    """Whether a container has its labels from its image: somebody has committed a container of ours, and uses it."""
    from docker.errors import APIError

    try:
        return LABEL_STATE in engine.client.images.get(image).labels
    except APIError:
        return False


def remove_leftovers(engine: Engine, state_key: str, leg: str = "") -> list[str]:
    """Removes them; answers with what was there, as ``container ci-envs-1f00``.

    :class:`BrokenError` where the engine does not let go of one, when all others are gone.
    """
    removed: list[str] = []
    kept: list[str] = []
    for found in leftovers(engine, state_key, leg):
        why = _remove(engine, found)
        (kept if why else removed).append(f"{found}{why}")
    if kept:
        raise BrokenError(f"{engine.title} does not remove {'; '.join(kept)}")
    return removed


def _remove(engine: Engine, found: Leftover) -> str:
    """Why it cannot be removed; empty where it is gone."""
    from docker.errors import APIError, NotFound

    try:
        if found.kind == "container":
            engine.client.api.remove_container(found.id, force=True, v=True)
        else:
            engine.client.api.remove_volume(found.id)
    except NotFound:
        return ""  # it went by itself
    except APIError as error:
        # A container that is being removed already is as good as gone.
        return "" if "in progress" in str(error.explanation) else f": {error.explanation}"
    return ""
