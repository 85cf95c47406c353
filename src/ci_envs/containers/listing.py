"""Lists of what an engine has, while others come and go."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from docker import APIClient

    from ci_envs.containers.engine import Engine

__all__ = ["listed", "listed_containers"]

#: Seconds before the next try. Podman takes more than two for one removal where much else is going on.
_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)

T = TypeVar("T")


def listed(ask: Callable[[], T]) -> T:
    """What a question for a list is answered with.

    Engines look at one thing after the other, and answer with an error where one of them is removed meanwhile: Docker
    Engine with 404, Podman with 500 and ``getting container from store "...": container not known``.
    """
    from docker.errors import APIError

    for pause in _PAUSES:
        try:
            return ask()
        except APIError as error:
            if error.status_code != 404 and "not known" not in str(error.explanation):
                raise
            time.sleep(pause)
    return ask()


def listed_containers(engine: Engine, label: str) -> list[dict[str, Any]]:
    """All containers that carry a label (``name=value``): of each its ``Id``, ``Names``, ``ImageID`` and ``Labels``.

    In whatever state they are, those of Podman included whose files are gone while their name is still in its books:
    one of them is left where Podman was killed, or was told to remove what it was making.
    """
    api = engine.client.api
    filters = {"label": [label]}
    if engine.kind == "podman":
        return listed(lambda: _containers_of_podman(api, filters))
    return list(listed(lambda: api.containers(all=True, filters=filters)))


def _containers_of_podman(api: APIClient, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
    """By Podman's own interface: in Docker's, one such container is an error in the place of the list.

    https://docs.podman.io/en/latest/_static/api.html#tag/containers/operation/ContainerListLibpod
    """
    import requests
    from docker.errors import create_api_error_from_http_exception

    query = {"all": "true", "filters": json.dumps(filters)}
    answer = api.get(f"{api.base_url}/v4.0.0/libpod/containers/json", params=query, timeout=api.timeout)
    try:
        answer.raise_for_status()
    except requests.HTTPError as error:
        create_api_error_from_http_exception(error)
    told: list[dict[str, Any]] = answer.json()
    return told
