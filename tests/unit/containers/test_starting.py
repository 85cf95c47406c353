from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import requests
from docker.errors import APIError, NotFound

from ci_envs.containers.engine import Engine
from ci_envs.containers.starting import discarded

MISSING = NotFound("no such container")


def broken() -> APIError:
    response = requests.Response()
    response.status_code = 500
    return APIError("500 Server Error", response=response, explanation="container not known")


class Containers:
    """What is asked of an engine, which answers with these errors."""

    def __init__(self, *, look: Exception | None = None, remove: Exception | None = None) -> None:
        self.asked: list[str] = []
        self._errors = {"look": look, "remove": remove}

    def inspect_container(self, name: str) -> dict[str, Any]:
        self._answer("look")
        return {"Name": name}

    def remove_container(self, name: str, **how: Any) -> None:
        assert (name, how) == ("ci-envs-1", {"force": True, "v": True})
        self._answer("remove")

    def _answer(self, what: str) -> None:
        self.asked.append(what)
        if error := self._errors[what]:
            raise error

    @property
    def engine(self) -> Engine:
        engine = Engine("podman", "unix:///none.sock")
        engine.__dict__["client"] = SimpleNamespace(api=self)
        return engine


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("look", [None, broken()], ids=["there", "unreadable"])
def test_a_container_is_removed(look: Exception | None, settled: bool) -> None:
    containers = Containers(look=look)
    assert discarded(containers.engine, "ci-envs-1", settled=settled)
    assert containers.asked == ["look", "remove"]


@pytest.mark.parametrize("settled", [True, False])
def test_that_there_is_none_counts_when_the_engine_is_not_making_it(settled: bool) -> None:
    containers = Containers(look=MISSING)
    assert discarded(containers.engine, "ci-envs-1", settled=settled) is settled
    assert containers.asked == ["look"], "one that is being made must not be removed"

    assert discarded(Containers(remove=MISSING).engine, "ci-envs-1", settled=settled) is settled


GONE = ConnectionRefusedError()


@pytest.mark.parametrize(
    "containers",
    [Containers(remove=broken()), Containers(remove=GONE), Containers(look=GONE)],
    ids=["it refuses", "it ends", "it is gone"],
)
def test_what_the_engine_does_not_remove_is_left_to_the_guard(containers: Containers) -> None:
    assert not discarded(containers.engine, "ci-envs-1", settled=True)
