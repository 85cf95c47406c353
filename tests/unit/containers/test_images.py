from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import NotFound

from ci_envs.containers.engine import Engine
from ci_envs.containers.images import listed_images


class Changing:
    """A list of images, one of which is removed by somebody while the engine goes through it."""

    def __init__(self, times: int) -> None:
        self.left = times

    def images(self) -> list[dict[str, Any]]:
        if self.left:
            self.left -= 1
            raise NotFound("content digest sha256:00: not found")
        return [{"RepoTags": ["a:1"]}]


def engine_of(api: Changing) -> Engine:
    engine = Engine("docker", "unix:///none.sock")
    engine.__dict__["client"] = SimpleNamespace(api=api)
    return engine


def test_a_list_that_changes_while_it_is_made_is_asked_for_again() -> None:
    assert listed_images(engine_of(Changing(2))) == [{"RepoTags": ["a:1"]}]


def test_one_that_never_settles_is_an_error() -> None:
    with pytest.raises(NotFound):
        listed_images(engine_of(Changing(100)))
