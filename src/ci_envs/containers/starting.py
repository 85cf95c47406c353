"""Starts a container that ends with us.

Its main process reads a standard input that this process holds. When that is gone, however it was ended, the engine
closes it, the main process ends, and with it the container and all that runs in it; the engine then removes it.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ci_envs import command
from ci_envs.containers.streams import Connection
from ci_envs.errors import BrokenError, BuildError, ToolMissing
from ci_envs.resources import resource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ci_envs.containers.engine import Engine
    from ci_envs.containers.limits import Limits

__all__ = ["Spec", "Started", "discarded", "engine_errors", "explained", "guarded", "release", "started"]

#: How long a guard may take to end that was told to.
_GUARD_SECONDS = 20.0

#: What may be the main process: each waits for the end of its input and does nothing else.
_USUAL = ("/bin/cat",)
_MAINS = (
    ("cat",),
    ("python3", "-I", "-S", "-c", "import sys; sys.stdin.buffer.read()"),
    ("python", "-I", "-S", "-c", "import sys; sys.stdin.buffer.read()"),
    ("sh", "-c", "read _"),
)
_FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin")


@dataclass(frozen=True, slots=True)
class Spec:
    """What a container is made from."""

    image: str
    labels: Mapping[str, str]
    #: Added to the image's own variables.
    env: Mapping[str, str]
    limits: Limits
    #: PATH inside.
    path: str
    #: A folder inside that is ours.
    scratch: str


@contextlib.contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """What the SDK raises, as an error of ours; ``what`` could not be done."""
    from docker.errors import APIError, DockerException

    try:
        yield
    except APIError as error:
        raise BuildError(f"{what}: {explained(error)}") from error
    except (DockerException, OSError) as error:
        raise BrokenError(f"{what}: the engine does not answer: {error}") from error


def explained(error: Any) -> str:
    """The engine's own words, in one line."""
    return " ".join(str(error.explanation or error).split())


class Started(NamedTuple):
    """A container that runs."""

    stdin: Connection
    guard: command.Background | None
    id: str


def started(engine: Engine, spec: Spec) -> Started:
    """Makes and starts a container, which :func:`command.stop_all` ends.

    :class:`BuildError` where the engine does not start it, :class:`BrokenError` where the engine is gone.
    """
    command.refuse_when_stopping("before the next container")
    spec.limits.make_folders()
    name = f"ci-envs-{secrets.token_hex(6)}"
    guard = guarded(engine, name)
    stdin, settled = None, False
    try:
        with engine_errors(f"{engine.title} does not start a container of {spec.image}"):
            identity = _made(engine, spec, name)
            settled = True
            stdin = Connection(engine.client.api.attach_socket(identity, params={"stdin": 1, "stream": 1}))
            engine.client.api.start(identity)
        command.ends_with_us(stdin.end)
    except BaseException as error:
        done = discarded(engine, name, settled=settled or isinstance(error, BuildError))
        if stdin is not None:
            stdin.close()
        release(guard, done=done)
        raise
    return Started(stdin, guard, identity)


def _made(engine: Engine, spec: Spec, name: str) -> str:
    """A container that was not started yet, whose main process can be: under an init, nobody would tell why not."""
    identity = _created(engine, spec, name, _USUAL)
    if _has(engine, identity, _USUAL[0]):
        return identity
    folders = dict.fromkeys([*spec.path.split(":"), *_FOLDERS])
    found = [(f"{folder}/{main[0]}", *main[1:]) for main in _MAINS for folder in folders if folder.startswith("/")]
    usable = next((main for main in found if _has(engine, identity, main[0])), None)
    discarded(engine, name, settled=True)
    if usable is None:
        raise BuildError(f"there is no cat, Python or sh in {spec.image}, so that nothing can be run in it")
    return _created(engine, spec, name, usable)


def _has(engine: Engine, identity: str, path: str) -> bool:
    from docker.errors import APIError

    try:
        pieces, _ = engine.client.api.get_archive(identity, path)
    except APIError:
        return False
    pieces.close()
    return True


def discarded(engine: Engine, name: str, *, settled: bool) -> bool:
    """Whether there is no such container any more.

    ``settled``: whether the engine has answered whoever asked for it. If not, it may be at it still: that there is none
    says nothing then, and it must not be told to remove one that it has not made (``container_guard.py`` says why).
    """
    from docker.errors import NotFound

    try:
        if _is_known(engine, name):
            engine.client.api.remove_container(name, force=True, v=True)
            return True
    except NotFound:
        pass
    except Exception:  # noqa: BLE001 - there is an error on its way already, and the guard sees to the rest
        return False
    return settled


def _is_known(engine: Engine, name: str) -> bool:
    from docker.errors import APIError, NotFound

    try:
        engine.client.api.inspect_container(name)
    except NotFound:
        return False
    except APIError:
        pass  # something of that name cannot be looked at
    return True


def _created(engine: Engine, spec: Spec, name: str, main: Sequence[str]) -> str:
    """A container that was not started yet. Its image's own entry point and health check are not run."""
    from docker.errors import APIError

    api = engine.client.api
    for with_init in (True, False):
        # An init process waits for those whose parent has ended.
        host = api.create_host_config(auto_remove=True, init=with_init, **spec.limits.host_config(engine))
        try:
            made = api.create_container(
                spec.image,
                command=[],
                entrypoint=list(main),
                stdin_open=True,
                name=name,
                labels=dict(spec.labels),
                environment=dict(spec.env),
                host_config=host,
                healthcheck={"test": ["NONE"]},
            )
        except APIError as error:
            # Podman takes an init from the machine, where there may be none.
            if not with_init or "init" not in explained(error):
                raise
        else:
            return str(made["Id"])
    raise AssertionError  # the second time it was made, or an error was raised


def guarded(engine: Engine, name: str) -> command.Background | None:
    """Whoever removes a container that we were killed over; only a socket can be handed on so simply."""
    if not engine.socket:
        return None
    script = str(resource("container_guard.py"))
    words = (sys.executable, "-I", "-S", script, engine.socket, name)
    with contextlib.suppress(ToolMissing, OSError):
        return command.start(command.Command(words, env={}), outlives_us=True)
    return None


def release(guard: command.Background | None, *, done: bool) -> None:
    """Lets the guard go where the container is gone, and else has it remove the container."""
    if guard is None:
        return
    if not done:
        guard.leave()
        return
    guard.tell("done\n")
    if not guard.wait(_GUARD_SECONDS):
        guard.end()
