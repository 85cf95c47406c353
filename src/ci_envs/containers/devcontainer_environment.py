"""A dev container that was brought up: the container of the devcontainer tool, used as any other environment is.

Commands run as the tool's own do: as ``remoteUser``, with the variables that it found, in the workspace.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ci_envs import command
from ci_envs.containers.live import TIME_LIMIT, LiveContainer
from ci_envs.containers.session import Session
from ci_envs.containers.starting import Started, engine_errors
from ci_envs.containers.streams import Connection
from ci_envs.environments.container import ContainerEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from ci_envs.containers.engine import Engine
    from ci_envs.containers.live import Request
    from ci_envs.containers.session import Asked, ProjectFiles
    from ci_envs.containers.starting import Spec

__all__ = ["DevcontainerEnvironment", "Seat"]

#: Waits as long as we hold its input. The tool's main process ends by this signal, and the container with it.
_WATCH = ("/bin/sh", "-c", "cat >/dev/null; kill -TERM 1")

#: Of the shell that was asked, and not of those that come.
_OF_THE_SHELL = frozenset(("PWD", "OLDPWD", "SHLVL", "_"))


@dataclass(frozen=True, slots=True)
class Seat:
    """What the tool told of the container that it has brought up."""

    id: str
    image: str
    #: ``remoteUser``, and the folder of the workspace inside.
    user: str
    folder: str
    #: All variables of a command inside.
    variables: Mapping[str, str]


class DevcontainerEnvironment(ContainerEnvironment):
    """One container for all its life: a command that meets its time limit has it started again, not made anew."""

    def __init__(self, engine: Engine, seat: Seat, asked: Asked, end: Callable[[], None]) -> None:
        """``end`` is called when it is left, after the container is gone."""
        super().__init__(engine, seat.image, limits=asked.limits, labels={})
        self._session = _Session(engine, seat, asked)
        self._end = end

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes the container, and whatever else was made for it."""
        super().__exit__(kind, error, trace)
        self._end()

    def settle(self, project: ProjectFiles) -> None:
        """Nothing: the workspace is where the tool has mounted it, with all that its commands have made in it."""


class _Session(Session):
    """The same container each time that one is needed."""

    def __init__(self, engine: Engine, seat: Seat, asked: Asked) -> None:
        super().__init__(engine, seat.image, asked)
        self._seat = seat

    @cached_property
    def _config(self) -> Mapping[str, Any]:
        """What the tool has found out in the place of what an image says."""
        kept = {name: value for name, value in self._seat.variables.items() if name not in _OF_THE_SHELL}
        return {"User": self._seat.user, "Env": [f"{name}={value}" for name, value in kept.items()]}

    def _begun(self, spec: Spec) -> LiveContainer:
        return _Attached(self.engine, spec, self._seat, {**self.image_variables, **spec.env})


class _Attached(LiveContainer):
    """A container that somebody else has made. It is started where it does not run."""

    def __init__(self, engine: Engine, spec: Spec, seat: Seat, variables: Mapping[str, str]) -> None:
        super().__init__(engine, spec, _watched(engine, seat))
        self.user = seat.user
        self._variables = variables

    def _connected(self, argv: list[str], request: Request, *, has_input: bool) -> tuple[str, Connection]:
        seen = replace(request, env={**self._variables, **request.env})
        return super()._connected(argv, seen, has_input=has_input)

    def remove(self) -> None:
        """Ends it. After a time limit it stays, stopped, with all that its lifecycle commands have made in it."""
        if self.ended != TIME_LIMIT:
            super().remove()
            return
        command.no_longer_ours(self._stdin.end)
        with contextlib.suppress(Exception):  # it may have ended by itself
            self._api.kill(self.id)
        self._stdin.close()


def _watched(engine: Engine, seat: Seat) -> Started:
    """Has the container end when we do, and :func:`command.stop_all` end it."""
    api = engine.client.api
    with engine_errors(f"{engine.title} does not start the dev container"):
        api.start(seat.id)  # of no effect where it runs
        made = api.exec_create(seat.id, list(_WATCH), stdin=True, user="0")
        stdin = Connection(api.exec_start(made["Id"], detach=False, tty=False, stream=False, socket=True))
    command.ends_with_us(stdin.end)
    return Started(stdin, None, seat.id)
