"""The container of an environment: started when it is first needed, again after a time limit has ended it.

The image's own user, variables and working directory stay what they are; its entry point is not run.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ci_envs import command
from ci_envs.capture import Capture, Outcome, opened_log
from ci_envs.containers.copying import Owner, files_in, folders, owner_of, pack
from ci_envs.containers.labels import LABEL_RUN, this_run
from ci_envs.containers.live import TIME_LIMIT, ContainerGone, LiveContainer, Request
from ci_envs.containers.starting import Spec, engine_errors
from ci_envs.environments.host import READ_LIMIT
from ci_envs.errors import BrokenError, BuildError, ToolMissing, UsageError
from ci_envs.layout import write_atomically
from ci_envs.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_envs.containers.engine import Engine
    from ci_envs.containers.limits import Limits

__all__ = ["BYTECODE", "DEFAULT_PATH", "TEMP", "Asked", "ProjectFiles", "Session"]

#: What is ours inside: short, since the paths of sockets end at 107 bytes (unix(7)). Nobody else is in there.
_SCRATCH = "/tmp/ci-envs"  # noqa: S108 - see above
TEMP = f"{_SCRATCH}/tmp"  # noqa: S108 - see above
_OUT, _PROJECT, BYTECODE = f"{_SCRATCH}/out", f"{_SCRATCH}/project", f"{_SCRATCH}/bytecode"

#: What runtimes give a container whose image has no PATH.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Many an image says that none is to be written, since it would be in a layer; empty means that nobody said so.
_COMPILED = {"PYTHONPYCACHEPREFIX": BYTECODE, "PYTHONDONTWRITEBYTECODE": ""}

#: Of a file that a command has written for us, in bytes.
_COLLECT_LIMIT = 256 * 1024 * 1024

#: What pytest and Hypothesis keep between runs. Many an image has a folder that its user may not write to, and a test
#: suite that takes warnings for errors would end with theirs.
_TEST_CACHES = (".pytest_cache", ".hypothesis")

#: How often a command is begun anew because its container was ended over another one.
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """The files of a project, and where they are inside."""

    root: Path
    #: Relative to the root, with forward slashes: what is put into the container.
    names: Sequence[str]
    #: A folder of the image that has them: then none of ``names`` is put there.
    inside: str | None = None
    #: What is put there all the same, beside what the image has.
    beside: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a session is asked for beside the image; see :class:`environments.container.ContainerEnvironment`."""

    limits: Limits
    labels: Mapping[str, str]
    project: ProjectFiles | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    workdir: str = ""
    caller: Mapping[str, str] = field(default_factory=dict)
    #: A folder for what interpreters inside have compiled: the next container of the same image begins with it.
    bytecode: Path | None = None


def newest_bytecode(folder: Path | None) -> Path | None:
    """The archive in a folder of ``<number of files>.tar`` that has the most files."""
    if folder is None:
        return None
    return max(
        (path for path in folder.glob("*.tar") if path.stem.isdigit()), key=lambda path: int(path.stem), default=None
    )


class Session:
    """One container at a time. Threads may share it."""

    def __init__(self, engine: Engine, image: str, asked: Asked) -> None:
        self.engine = engine
        self.image = image
        self.asked = asked
        #: The files of the project that are not inside, as ``name (why)``.
        self.left_out: tuple[str, ...] = ()
        self._lock = threading.RLock()
        self._container: LiveContainer | None = None
        #: Whether the files of the project have been asked for, and which container has them.
        self._placed = False
        self._placed_in: LiveContainer | None = None

    @property
    def image_workdir(self) -> str:
        """The working directory that the image names."""
        return str(self._config.get("WorkingDir") or "/")

    @property
    def running(self) -> bool:
        """Whether there is a container."""
        with self._lock:
            return self._container is not None and not self._container.ended

    @property
    def path(self) -> str:
        """PATH inside."""
        return self.added.get("PATH") or self.image_variables.get("PATH") or DEFAULT_PATH

    def settle(self, project: ProjectFiles) -> None:
        """Says where the project's files are; a container that was given others is given these."""
        with self._lock:
            self.asked = replace(self.asked, project=project)
            self._placed, self._placed_in = False, None

    def close(self) -> None:
        """Ends and removes the container; a later command would start another."""
        with self._lock:
            container, self._container = self._container, None
        if container is not None:
            container.remove()

    # --- what it is made from

    @cached_property
    def _config(self) -> Mapping[str, Any]:
        """What the image says of its containers."""
        from docker.errors import ImageNotFound

        with engine_errors(f"{self.engine.title} tells nothing of the image {self.image}"):
            try:
                told: dict[str, Any] = self.engine.client.images.get(self.image).attrs
            except ImageNotFound as error:
                raise BuildError(f"{self.engine.title} has no image {self.image}", hint="build it again") from error
        return told.get("Config") or {}

    @cached_property
    def image_variables(self) -> dict[str, str]:
        """The image's own ENV."""
        return dict(line.partition("=")[::2] for line in self._config.get("Env") or ())

    @cached_property
    def added(self) -> dict[str, str]:
        """What the container's commands see beside the image's own variables."""
        private = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), TEMP) | _COMPILED
        return private | self._path | dict(self.asked.limits.env) | dict(self.asked.variables)

    @property
    def _path(self) -> dict[str, str]:
        """PATH, where it does not have the programs of the environment that is meant."""
        active = self.image_variables.get("VIRTUAL_ENV", "")
        python = self.asked.python if "/" in self.asked.python else f"{active}/bin/python" if active else ""
        path = self.image_variables.get("PATH") or DEFAULT_PATH
        folder = python.rpartition("/")[0]
        return {"PATH": f"{folder}:{path}"} if folder and folder not in path.split(":") else {}

    @cached_property
    def _redact(self) -> Redactor:
        return Redactor.from_environment({**self.asked.caller, **self.image_variables, **self.added})

    # --- the container

    def started(self) -> LiveContainer:
        """The container, which has the files of the project where these have been asked for."""
        with self._lock:
            for _ in range(_ATTEMPTS):
                if self._container is None or self._container.ended:
                    self._container = None
                    self._container = self._start()
                if not self._placed or self._placed_in is self._container:
                    return self._container
                try:
                    self._put_project(self._container)
                except ContainerGone:
                    self._forget(self._container)
        raise BrokenError(f"containers of {self.image} end before they were given the project's files")

    def _start(self) -> LiveContainer:
        spec = Spec(
            image=self.image,
            labels={**self.asked.labels, LABEL_RUN: this_run()},
            env=self.added,
            limits=self.asked.limits,
            path=self.path,
            scratch=_SCRATCH,
        )
        container = self._begun(spec)
        try:
            container.owner = self._owner(container)
            made = ((_SCRATCH, 0o755), (TEMP, 0o1777), (_OUT, 0o755), (BYTECODE, 0o755))
            container.put(folders(made, container.owner))
            self._give_bytecode(container)
        except ContainerGone as error:
            container.remove()
            raise BrokenError(f"a container of {self.image} ended as soon as it was started: {error}") from error
        except BaseException:
            container.remove()
            raise
        return container

    def _give_bytecode(self, container: LiveContainer) -> None:
        kept = newest_bytecode(self.asked.bytecode)
        if kept is not None:
            with kept.open("rb") as archive:
                container.put(archive, _SCRATCH)

    def keep_bytecode(self, count: int) -> None:
        """Keeps what interpreters inside have compiled, ``count`` files: a later container need not compile it again.

        An image brings no bytecode, which would be other bytes each time, and what runs in a container that is thrown
        away is compiled for nothing.
        """
        folder, container = self.asked.bytecode, self._container
        kept = newest_bytecode(folder)
        if folder is None or container is None or count <= (int(kept.stem) if kept else 0):
            return
        found = container.get(BYTECODE)
        if found is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
            try:
                for piece in found[0]:
                    file.write(piece)
                Path(file.name).replace(folder / f"{count}.tar")
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        if kept is not None:
            kept.unlink(missing_ok=True)

    def _begun(self, spec: Spec) -> LiveContainer:
        return LiveContainer(self.engine, spec)

    def _owner(self, container: LiveContainer) -> Owner:
        user = self._config.get("User") or ""
        if user in ("", "0", "root", "0:0", "root:root"):
            return Owner()
        return owner_of(user, container.read("/etc/passwd", READ_LIMIT))

    def _put_project(self, container: LiveContainer) -> None:
        project = self.asked.project
        if project is not None and project.inside is not None:
            made = ((f"{project.inside.rstrip('/')}/{name}", 0o755) for name in _TEST_CACHES)
            container.put(folders(made, container.owner))
        if project is not None and (project.inside is None or project.beside):
            names, target = (project.names, _PROJECT) if project.inside is None else (project.beside, project.inside)
            with tempfile.TemporaryFile() as archive:
                own = project.inside is None
                self.left_out = pack(project.root, names, target, container.owner, archive, own_folder=own)
                archive.seek(0)
                container.put(archive)
        self._placed_in = container

    # --- places

    def place(self, outside: Path) -> str:
        """Where a file or folder of the project is inside. :class:`UsageError` for what is not in there."""
        project = self.asked.project
        if project is None or not outside.is_relative_to(project.root):
            raise UsageError(f"{outside} is no part of the project, and so not in the container")
        self._placed = True
        below = outside.relative_to(project.root).as_posix()
        top = _PROJECT if project.inside is None else project.inside.rstrip("/")
        return top if below == "." else f"{top}/{below}"

    def folder(self, cwd: Path | None) -> str:
        """The folder inside for one outside; without one, where commands run. Empty is the image's own."""
        if cwd is not None:
            return self.place(cwd)
        if self.asked.workdir or self.asked.project is None:
            return self.asked.workdir
        return self.place(self.asked.project.root)

    def outlet(self, outside: Path) -> str:
        """A place that a command may write to. :meth:`collect` brings the file."""
        key = hashlib.sha256(os.fsencode(outside)).hexdigest()[:8]
        return f"{_OUT}/{key}-{re.sub(r'[^A-Za-z0-9._-]', '_', outside.name)}"

    def collect(self, outside: Path) -> bool:
        """Whether a file was written at the outlet; it is at ``outside`` then."""
        with self._lock:
            container = self._container
        if container is None or container.ended:
            return False
        try:
            data = container.read(self.outlet(outside), _COLLECT_LIMIT)
        except ContainerGone:
            return False
        if data is not None:
            write_atomically(outside, data)
        return data is not None

    def read(self, path: str) -> bytes | None:
        """One file inside. :class:`BrokenError` where it has more than 16 MiB."""
        try:
            return self.started().read(path, READ_LIMIT)
        except ContainerGone as error:
            raise BrokenError(f"the container ended before {path} was read: {error}") from error

    def files_of(self, folder: str, suffix: str) -> dict[str, bytes]:
        """The files of a folder inside whose names end so; none where there is no such folder."""
        try:
            told = self.started().get(folder)
            return dict(files_in(told[0], suffix)) if told is not None else {}
        except ContainerGone as error:
            raise BrokenError(f"the container ended before {folder} was read: {error}") from error

    # --- commands

    def run(
        self,
        argv: tuple[str, ...],
        *,
        folder: str,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        log: Path | None = None,
        stdin: str = "",
        raw: bool = False,
        limit: int = command.CAPTURE_LIMIT,
    ) -> Outcome:
        """Runs a command in a folder inside; ``raw`` output comes back with what looks like secrets in it.

        Raises as :func:`command.run` does.
        """
        request = Request(argv, cwd=folder, env=env or {}, stdin=stdin, timeout=timeout)
        for _ in range(_ATTEMPTS):
            command.refuse_when_stopping(f"before running {PurePosixPath(argv[0]).name}")
            container = self.started()
            with opened_log(log, shlex.join(argv), self._redact) as file:
                captures = Capture(file, self._redact, limit), Capture(file, self._redact, limit)
                outcome = self._tried(container, request, captures, raw=raw)
            if outcome is not None:
                return outcome
        raise BrokenError(f"{argv[0]} could not be run to its end: its container was ended {_ATTEMPTS} times")

    def _tried(
        self, container: LiveContainer, request: Request, captures: tuple[Capture, Capture], *, raw: bool
    ) -> Outcome | None:
        """How a command ended; ``None`` where its container was ended over another one, and nothing is left of it."""
        began = time.monotonic()
        what = f"while running {PurePosixPath(request.argv[0]).name}"
        try:
            ended = container.run(request, *captures)
            code, timed_out = ended.returncode, ended.timed_out
        except ContainerGone as gone:
            command.refuse_when_stopping(what)
            if container.ended == TIME_LIMIT or not gone.began:
                self._forget(container)
                return None
            code, timed_out = -9, False
        except (ToolMissing, OSError):
            # A runtime whose container is just ending finds no program, since there are no files any more.
            if not container.ended and container.alive():
                raise
            code, timed_out = -9, False
        command.refuse_when_stopping(what)
        if code == -9 and not timed_out and container.ended == TIME_LIMIT:
            return None
        oom = self._oom(container, code) if code and not timed_out else ""
        if code and not timed_out and not oom and not container.outlives(code):
            self._forget(container)
            raise BrokenError(f"the container of {self.image} ended {what} in it")
        for capture in captures:
            if capture.failed is not None:
                raise capture.failed
        stdout, stderr = (capture.text() for capture in captures)
        return Outcome(
            argv=request.argv,
            returncode=code,
            stdout=stdout if raw else self._redact(stdout),
            stderr=self._redact(stderr),
            seconds=time.monotonic() - began,
            timed_out=timed_out,
            oom=oom,
        )

    def _oom(self, container: LiveContainer, code: int) -> str:
        if not container.ran_out_of_memory(code):
            return ""
        return f"limit {self.asked.limits.memory_text}" if self.asked.limits.memory else "no limit of its own"

    def _forget(self, container: LiveContainer) -> None:
        """One that has ended is not used again."""
        container.remove()
        with self._lock:
            if self._container is container:
                self._container = None
