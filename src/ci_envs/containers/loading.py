"""Has an engine take an image in from an archive, and says what goes wrong between us and an engine."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ci_envs.containers.build_failures import engine_failure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci_envs.containers.engine import Engine

__all__ = ["engine_trouble", "load_archive"]


def load_archive(engine: Engine, archive: Path) -> None:
    """Hands the archive over and reads the answer to its end, where errors are."""
    with engine_trouble(engine), archive.open("rb") as stream:
        for told in engine.client.api.load_image(stream):  # type: ignore[no-untyped-call]  # its stubs have no types here
            if error := told.get("error"):
                raise engine_failure(str(error), engine.title)


@contextlib.contextmanager
def engine_trouble(engine: Engine) -> Iterator[None]:
    """What goes wrong between us and the engine, in a sentence; an engine that is silent for too long among it.

    Behind the head of an answer the SDK reads by urllib3 itself, whose errors then come as they are.
    """
    import docker
    import urllib3

    failures = (docker.errors.DockerException, docker.errors.StreamParseError, urllib3.exceptions.HTTPError, OSError)
    try:
        yield
    except failures as error:
        said = str(error)
        silent = f"it was silent for {engine.client.api.timeout} s" if "timed out" in said.lower() else ""
        raise engine_failure(silent or said, engine.title) from error
