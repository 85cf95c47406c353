from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import requests
from docker.errors import APIError, NotFound

from ci_envs.containers import listing
from ci_envs.containers.engine import Engine
from ci_envs.containers.images import listed_images
from ci_envs.containers.listing import listed


def answered(status: int) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    return response


#: What Docker Engine and Podman answer where one thing of the list is removed while they go through it.
REMOVED = (
    NotFound("content digest sha256:00: not found", response=answered(404)),
    APIError(
        "500 Server Error",
        response=answered(500),
        explanation='getting container from store "1bf6": container not known',
    ),
)


class Changing:
    """A list that is answered with an error for a while."""

    def __init__(self, error: APIError, times: int) -> None:
        self.error = error
        self.left = times

    def images(self) -> list[dict[str, Any]]:
        if self.left:
            self.left -= 1
            raise self.error
        return [{"RepoTags": ["a:1"]}]


@pytest.mark.parametrize("error", REMOVED, ids=["docker", "podman"])
def test_a_list_that_changes_while_it_is_made_is_asked_for_again(error: APIError) -> None:
    assert listed(Changing(error, 2).images) == [{"RepoTags": ["a:1"]}]


@pytest.mark.parametrize("error", REMOVED, ids=["docker", "podman"])
def test_one_that_never_settles_is_an_error(error: APIError, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_PAUSES", (0.01,) * len(listing._PAUSES))
    with pytest.raises(APIError):
        listed(Changing(error, 100).images)


def test_another_error_is_told_at_once() -> None:
    changing = Changing(APIError("500 Server Error", response=answered(500), explanation="database is locked"), 1)
    with pytest.raises(APIError):
        listed(changing.images)
    assert changing.left == 0


def test_images_are_listed_that_way() -> None:
    engine = Engine("docker", "unix:///none.sock")
    engine.__dict__["client"] = SimpleNamespace(api=Changing(REMOVED[0], 1))
    assert listed_images(engine) == [{"RepoTags": ["a:1"]}]
