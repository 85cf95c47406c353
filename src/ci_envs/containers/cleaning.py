"""What runs of a state folder have left on engines: containers, volumes and images, and nothing of anybody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.containers.devcontainer_site import images_left
from ci_envs.containers.engine import find_engine
from ci_envs.containers.images import listed_images, remove_image
from ci_envs.containers.labels import image_name, image_repository, state_key
from ci_envs.containers.leftovers import remove_leftovers
from ci_envs.containers.legs import DRAFT, FORMER
from ci_envs.errors import CiEnvsError
from ci_envs.layout import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ci_envs.containers.engine import Engine
    from ci_envs.layout import Layout

__all__ = ["note_engine", "remove_all"]


def note_engine(layout: Layout, engine: Engine) -> None:
    """Notes that something may be left on an engine, before anything is: a killed run has no other memory."""
    path = _path(layout)
    known = _known(path)
    if engine.kind not in known:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, "\n".join(sorted({*known, engine.kind})).encode() + b"\n")


def remove_all(layout: Layout, environ: Mapping[str, str], legs: Sequence[str] = ()) -> list[str]:
    """Removes what the runs of a state folder left, of the named legs or of all; answers with what was there.

    An engine that does not answer is passed over and named.
    """
    removed: list[str] = []
    for kind in _known(_path(layout)):
        try:
            engine = find_engine("podman" if kind == "podman" else "docker", environ)
            removed += _of(engine, layout, legs)
        except CiEnvsError as error:
            removed.append(f"nothing of {kind}, which does not answer: {error}")
    return removed


def _of(engine: Engine, layout: Layout, legs: Sequence[str]) -> Iterator[str]:
    key = state_key(layout)
    for name in images_left(engine, layout, legs):
        remove_image(engine, name)
        yield f"{engine.kind}: image {name}"
    for leg in legs or ("",):
        for what in remove_leftovers(engine, key, leg):
            yield f"{engine.kind}: {what}"
    wanted = {image_name(key, f"{leg}{ending}") for leg in legs for ending in ("", DRAFT, FORMER)}
    # Podman's own filter by repository finds no image that has a tag.
    for image in listed_images(engine):
        for name in image["RepoTags"] or ():
            if name in wanted or (not wanted and name.startswith(f"{image_repository(key)}:")):
                remove_image(engine, name)
                yield f"{engine.kind}: image {name}"


def _path(layout: Layout) -> Path:
    return layout.state / "engines"


def _known(path: Path) -> list[str]:
    try:
        return [kind for kind in path.read_text(encoding="utf-8").split() if kind in ("docker", "podman")]
    except OSError:
        return []
