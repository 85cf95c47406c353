"""Lists of what an engine has, while others come and go."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["listed"]

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
