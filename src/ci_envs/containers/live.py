"""One container while it lives: it is given commands and files, and ended."""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ci_envs import command
from ci_envs.capture import Capture
from ci_envs.containers.copying import Owner, one_file, text_file
from ci_envs.containers.not_started import not_started, unrunnable
from ci_envs.containers.starting import explained, release, started
from ci_envs.containers.streams import Connection, Pump
from ci_envs.errors import BrokenError, CiEnvsError, UsageError
from ci_envs.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO

    from ci_envs.containers.engine import Engine
    from ci_envs.containers.starting import Spec, Started

__all__ = ["TIME_LIMIT", "ContainerGone", "Ended", "LiveContainer", "Request"]

#: How often a command is asked for whose stream says nothing, in seconds; and at first, where it is about to end.
_ASK_SECONDS = 1.0
_FIRST_ASK_SECONDS = 0.005

#: How long the end of a container is waited for.
_END_SECONDS = 20.0

#: How much later than the end of a command an engine may tell of the end of its container, which came before it. Docker
#: waits for up to 2 s in between: for the streams, in ProcessEvent of its daemon/monitor.go.
_LATE_SECONDS = 3.0

#: How long an engine may take to begin a command that it has taken.
_BEGIN_SECONDS = 60.0

#: 128 + N is what runtimes answer where signal N ended a process; those above are real-time signals, which none does.
_LAST_SIGNAL = 31
#: In a container it is Linux' number, also where ci-envs runs on a system that knows no such signal.
_SIGKILL = 9

TIME_LIMIT = "a time limit"

#: How long a question of ours to the container may take.
_ASIDE_SECONDS = 20.0

#: Bits of Go's FileMode, as the engine tells them: https://pkg.go.dev/io/fs#FileMode.
_IS_FOLDER, _IS_LINK = 1 << 31, 1 << 27
_MOST_LINKS = 10

#: What the kernel says of a path that leads nowhere, in an answer that is no "not found".
_NO_SUCH_FILE = re.compile(r"too many (?:links|levels)|not a directory|file name too long")

#: The kernel's counters for the container's control group, of version 2 and of version 1.
_OOM_FILES = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
_OOM_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


class ContainerGone(Exception):  # noqa: N818 - reads as the sentence it is
    """The container has ended while a command ran in it, or before that began."""

    def __init__(self, why: str, *, began: bool = False) -> None:
        super().__init__(why)
        self.began = began


class _NotStarted(Exception):  # noqa: N818 - as above
    """The engine has refused to start a command."""


@dataclass(frozen=True, slots=True)
class Request:
    """One command; what is empty is the container's own."""

    argv: tuple[str, ...]
    cwd: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: str = ""
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended; ``returncode`` as the OS of this machine would give it."""

    returncode: int
    timed_out: bool = False


class LiveContainer:
    """A container that runs. Threads may share it."""

    #: Whom commands run as; empty for the container's own user.
    user = ""

    def __init__(self, engine: Engine, spec: Spec, begun: Started | None = None) -> None:
        """Starts it, unless it was begun already; raises as :func:`starting.started` does."""
        self._stdin, self._guard, self.id = begun or started(engine, spec)
        #: Why we have ended it.
        self.ended = ""
        self._engine = engine
        self._api = engine.client.api
        #: Whose files are that we put there.
        self.owner = Owner()
        self._scratch = spec.scratch
        self._began = time.time()
        self._lock = threading.Lock()
        #: What was last heard of processes that the kernel has ended for want of memory.
        self._oom_told, self._oom_kills = False, 0
        self._removed = False

    def run(self, request: Request, stdout: Capture, stderr: Capture) -> Ended:
        """Runs a command to its end, or to its time limit, which ends the container with all that runs in it.

        Raises :class:`ContainerGone` where the container ends meanwhile, :class:`ToolMissing` where the program is not
        there, :class:`FileNotFoundError` where the folder is not.
        """
        if any("\0" in word for word in request.argv):
            raise UsageError(f"an argument of {request.argv[0]!r} holds a NUL character, which no process can be given")
        argv, stdin = self._with_input(request)
        try:
            identity, connection = self._connected(argv, request, has_input=stdin is not None)
        except _NotStarted as error:
            raise (unrunnable(request.argv[0], str(error)) or BrokenError(str(error))) from error
        pump = Pump(connection, stdout, stderr, stdin)
        try:
            told = self._waited(identity, pump, request.timeout)
        except BaseException:
            self.kill("interrupted")
            raise
        finally:
            pump.close()
        if told is None:
            return Ended(-9, timed_out=True)
        code = int(told.get("ExitCode") or 0)
        problem = not_started(request.argv[0], code, stdout.text(), stderr.text(), began=bool(told.get("Pid")))
        if problem is not None:
            raise problem
        return Ended(128 - code if 128 < code <= 128 + _LAST_SIGNAL else code)

    def _with_input(self, request: Request) -> tuple[list[str], bytes | None]:
        """The words of a command, and what goes through the connection: its end cannot be told through each of them.

        There the input is a file, which a shell opens and removes; it reads no word of the command.
        """
        if not request.stdin:
            return list(request.argv), None
        text = request.stdin.encode("utf-8", "surrogateescape")
        if self._engine.half_closes:
            return list(request.argv), text
        path = f"{self._scratch}/input-{secrets.token_hex(6)}"
        self.put(text_file(path, text, self.owner))
        return ["sh", "-c", 'exec <"$0"; rm -f "$0"; exec "$@"', path, *request.argv], None

    def _connected(self, argv: list[str], request: Request, *, has_input: bool) -> tuple[str, Connection]:
        from docker.errors import APIError

        with self._asking("run a command"):
            made = self._api.exec_create(
                self.id,
                argv,
                stdin=has_input,
                environment=dict(request.env),
                workdir=request.cwd or None,
                user=self.user,
            )
            identity = str(made["Id"])
            try:
                started = self._api.exec_start(identity, detach=False, tty=False, stream=False, socket=True)
            except APIError as error:
                if self.alive():
                    raise _NotStarted(explained(error)) from error
                raise
            return identity, Connection(started)

    def _waited(self, identity: str, pump: Pump, timeout: float | None) -> dict[str, Any] | None:
        """What the engine tells of a command that has ended; ``None`` where its time limit has ended it."""
        deadline = time.monotonic() + timeout if timeout is not None else float("inf")
        pause, begins_by = _FIRST_ASK_SECONDS, time.monotonic() + _BEGIN_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            at_end = pump.ended.wait(min(_ASK_SECONDS, left))
            with self._asking("tell how a command ended", began=True):
                told: dict[str, Any] = self._api.exec_inspect(identity)
            # One that the engine has yet to begin does not run either.
            begun = at_end or told.get("Pid") or told.get("ExitCode")
            if begun and not told.get("Running"):
                # What it left behind may hold its streams.
                pump.ended.wait(command.DRAIN_SECONDS)
                return told
            if not (begun or told.get("Running")) and time.monotonic() > begins_by:
                raise BrokenError(f"{self._engine.title} has not begun a command within {_BEGIN_SECONDS:.0f} s")
            if at_end:  # it has closed its streams and goes on, or the engine does not know yet
                time.sleep(min(pause, left))
                pause = min(2 * pause, _ASK_SECONDS / 4)
        self.kill(TIME_LIMIT)
        return None

    @contextlib.contextmanager
    def _asking(self, what: str, *, began: bool = False) -> Iterator[None]:
        from docker.errors import APIError

        try:
            yield
        except APIError as error:
            if not self.alive():
                raise ContainerGone(explained(error), began=began) from error
            raise BrokenError(f"{self._engine.title} does not {what}: {explained(error)}") from error
        except OSError as error:
            raise BrokenError(f"{self._engine.title} does not answer any more: {error}") from error

    def put(self, archive: bytes | IO[bytes], at: str = "/") -> None:
        """Unpacks an archive; its files may belong to anybody."""
        with self._asking("take files"):
            self._api.put_archive(self.id, at, archive)

    def get(self, path: str) -> tuple[Iterator[bytes], Mapping[str, Any]] | None:
        """A file or folder as an archive, with what the engine tells of it; ``None`` where there is none."""
        from docker.errors import APIError, NotFound

        with self._asking("give files"):
            try:
                pieces, told = self._api.get_archive(self.id, path)
            except APIError as error:
                absent = isinstance(error, NotFound) or _NO_SUCH_FILE.search(explained(error))
                if absent and self.alive():
                    return None
                raise
        return pieces, told

    def read(self, path: str, limit: int) -> bytes | None:
        """One file; links are followed. :class:`BrokenError` where it has more than ``limit`` bytes."""
        for _ in range(_MOST_LINKS):
            found = self.get(path)
            if found is None:
                return None
            pieces, told = found
            mode, target = int(told.get("mode") or 0), str(told.get("linkTarget") or "")
            with contextlib.closing(pieces):  # type: ignore[type-var]  # a generator of the SDK's
                data = None if mode & _IS_FOLDER else one_file(pieces, path, limit)
            # Podman gives what a link leads to, Docker the link.
            if data is not None or not mode & _IS_LINK or target in ("", path):
                return data
            path = target
        return None

    def alive(self) -> bool:
        """Whether it runs. :class:`BrokenError` where the engine does not answer."""
        from docker.errors import APIError

        try:
            told = self._engine.client.containers.get(self.id).attrs
        except APIError:
            return False  # Podman stumbles over what is being removed
        except OSError as error:
            raise BrokenError(f"{self._engine.title} does not answer any more: {error}") from error
        self._oom_told = bool(told["State"].get("OOMKilled"))
        return bool(told["State"].get("Running"))

    def ran_out_of_memory(self, returncode: int) -> bool:
        """Whether the kernel has ended a process in it for want of memory since this was last asked.

        ``returncode`` is how a command ended. The engine notes it of the container alone, and Podman not before its
        end; the control group counts.
        """
        if not self.alive():
            return self._engine.kind == "docker" and self._has_event("oom")
        if returncode != -_SIGKILL and self._engine.kind == "docker" and not self._oom_told:
            return False
        told = self._oom_counted()
        if told is None:
            return returncode == -_SIGKILL and self._oom_told
        count = sum(map(int, _OOM_KILLS.findall(told)))
        with self._lock:
            more, self._oom_kills = count > self._oom_kills, max(count, self._oom_kills)
        return more

    def _oom_counted(self) -> str | None:
        """What the kernel's counters say; ``None`` where no command runs in it."""
        stdout, stderr = (Capture(None, Redactor(), 64 * 1024) for _ in range(2))
        try:
            ended = self.run(Request(("cat", *_OOM_FILES), timeout=_ASIDE_SECONDS), stdout, stderr)
        except (CiEnvsError, OSError, ContainerGone):
            return None
        return stdout.text() if ended.returncode != -_SIGKILL else None

    def outlives(self, returncode: int) -> bool:
        """Whether it goes on after a command in it that ended so.

        Where a container ends, the kernel kills all that runs in it before its first process is gone, and the engine
        tells of each end by itself. A container whose first process ends can run no other any more.
        """
        deadline = time.monotonic() + _LATE_SECONDS
        while self.alive():
            if returncode != -_SIGKILL or self._oom_counted() is not None or time.monotonic() > deadline:
                return True
            time.sleep(_FIRST_ASK_SECONDS)
        return False

    def _has_event(self, action: str) -> bool:
        """Whether the engine remembers this of the container, which may be gone."""
        since, until = int(self._began), int(time.time()) + 1
        with contextlib.suppress(Exception):
            told = self._api.events(since=since, until=until, filters={"container": [self.id]}, decode=True)
            return any(event.get("Action") == action for event in told)
        return False

    def kill(self, why: str) -> None:
        """Ends it at once, with everything that runs in it."""
        self.ended = self.ended or why
        self.remove()

    def remove(self) -> None:
        """Ends it and removes it with its nameless volumes; returns when it is gone."""
        with self._lock:
            self.ended = self.ended or "removed"
            if self._removed:
                return
            self._removed = True
        command.no_longer_ours(self._stdin.end)
        with contextlib.suppress(Exception):  # it may be gone, and the engine too
            self._api.remove_container(self.id, force=True, v=True)
        self._stdin.close()
        release(self._guard, done=self._is_gone())

    def _is_gone(self) -> bool:
        from docker.errors import APIError, NotFound

        deadline = time.monotonic() + _END_SECONDS
        while time.monotonic() < deadline:
            try:
                self._engine.client.containers.get(self.id)
            except NotFound:
                return True
            except APIError:
                pass  # Podman, while it removes it
            except OSError:
                return False
            time.sleep(0.02)
        return False
