"""What the image of a built shell is made of: its variables, links and labels beside its closure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ci_envs import __version__
from ci_envs.containers.legs import platform_of
from ci_envs.containers.revision import revision_of
from ci_envs.nix.image import MOST_LAYERS, ImagePlan
from ci_envs.nix.image_variables import image_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.model.closure import Closure
    from ci_envs.model.record import RunRecord
    from ci_envs.model.shell import Shell
    from ci_envs.order import Order

__all__ = ["ImageOptions", "plan_image"]

# What scripts name by its place (POSIX has `sh` there, and everybody `env`), as far as the shell has it.
_LINKS = {"/bin/sh": "sh", "/usr/bin/env": "env"}


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """What a person may say of an image; an image that the project describes itself knows better."""

    #: The words that always come before those of `docker run`.
    entry: tuple[str, ...] = ()
    #: How many layers there may be in all; 0 for as many as we think good.
    most: int = 0


def plan_image(
    order: Order, record: RunRecord, shell: Shell, closure: Closure, options: ImageOptions
) -> tuple[ImagePlan, tuple[str, ...]]:
    """The plan, and what a person should know of it. The image runs the shell's Python; its shell where it has none."""
    store = os.path.dirname(shell.top)  # noqa: PTH120 - a path of the store, as text
    variables = image_variables(shell, store, _folders(order))
    at = revision_of(order.project_folder, order.environ)
    links = {place: found for place, name in _LINKS.items() if (found := _program(name, shell, store))}
    sh = "/bin/sh" if "/bin/sh" in links else ""
    runs = shell.python if shell.python.startswith(f"{store}/") else sh
    labels = {
        "org.opencontainers.image.created": datetime.fromtimestamp(at.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "org.opencontainers.image.revision": at.commit,
        "org.opencontainers.image.source": at.source,
        "org.opencontainers.image.title": order.leg.id,
        "org.repro-envs.environment": record.environment.digest if record.environment else "",
        "org.repro-envs.lock": record.lock.digest if record.lock else "",
        "org.repro-envs.version": __version__,
    }
    plan = ImagePlan(
        closure=closure,
        arch=platform_of(order.leg).rpartition("/")[2],
        variables=variables.kept,
        entry=options.entry,
        command=(runs,) if runs else (),
        labels={name: value for name, value in labels.items() if value},
        links=links,
        epoch=at.epoch,
        most=options.most or MOST_LAYERS,
    )
    return plan, tuple(_notes(variables.of_the_machine, variables.secret))


def _folders(order: Order) -> list[str]:
    """The folders that are this machine's own."""
    named = (order.environ.get(name, "") for name in ("HOME", "TMPDIR"))
    return [str(order.project_folder), str(order.layout.root), str(order.layout.state), *filter(None, named)]


def _program(name: str, shell: Shell, store: str) -> str:
    """A program that the shell brings; empty where it brings none."""
    folders = (folder for folder in shell.path if folder.startswith(f"{store}/"))
    return next((f"{folder}/{name}" for folder in folders if os.access(f"{folder}/{name}", os.X_OK)), "")


def _notes(of_the_machine: tuple[str, ...], secret: tuple[str, ...]) -> Iterator[str]:
    if of_the_machine:
        yield f"the image does not have what names folders of this machine: {', '.join(of_the_machine)}"
    if secret:
        yield f"the image does not have variables that may be secrets: {', '.join(secret)}"
