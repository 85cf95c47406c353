"""What a pattern works with: one leg's project, configuration, folders and the ways to run a tool."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shlex
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ci_envs import command, environ, indexes, trouble
from ci_envs.errors import BrokenError
from ci_envs.layout import write_atomically
from ci_envs.model.record import Finding
from ci_envs.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ci_envs.command import Outcome
    from ci_envs.layout import Layout
    from ci_envs.locks.reading import ReadLock
    from ci_envs.model.conda import CondaLock
    from ci_envs.model.config import Config, LockMode
    from ci_envs.model.image import ImageFacts
    from ci_envs.model.inventory import Interpreter
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Requirement
    from ci_envs.model.record import Severity
    from ci_envs.project import Project
    from ci_envs.selection import Selection

__all__ = ["LockPolicy", "Work", "network_pauses"]

#: The oldest instant that a zip file can hold (1980-01-01): wheels built here carry no time of today.
#: https://reproducible-builds.org/docs/source-date-epoch/
EPOCH = "315532800"

#: Tries of a command that failed because of the network, after the tool's own retries; the waits between them double.
NETWORK_TRIES = 3
_FIRST_WAIT_SECONDS = 1.0

#: One lock or build command may take this long; a resolver that backtracks for ever is ended.
TOOL_TIMEOUT_SECONDS = 3600.0


# Flags of `run` that `lock` does not know.
_ONLY_FOR_RUN = ("--lock-mode=", "--test-command=", "--expect-gpu=", "--installer=", "--stages=")


@dataclass(frozen=True, slots=True)
class LockPolicy:
    """How a lock is made and trusted (see DESIGN: locked, auto, frozen, update)."""

    mode: LockMode
    #: An ISO 8601 instant: nothing that was uploaded later is taken. Empty: now.
    as_of: str = ""
    offline: bool = False
    #: A lock that is in sync as far as that can be judged is held against a new resolution too, which asks the world.
    solve: bool = False


@dataclass
class Work:
    """One leg's workbench. Not shared between legs."""

    leg: Leg
    project: Project
    config: Config
    layout: Layout
    interpreter: Interpreter
    selection: Selection
    policy: LockPolicy
    #: The caller's variables; what a tool gets of them is decided in ``environ``.
    environ: Mapping[str, str]
    #: The command that runs the leg again.
    reproduce: str = ""
    #: The stage that is running: its log takes what commands say.
    stage: str = "lock"
    #: File descriptors that children hold (see Layout.alone).
    hold: tuple[int, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    #: What the pattern put into the environment beside the lock: pip, as ``python -m venv`` does. Normalised names.
    seeds: frozenset[str] = frozenset()
    #: What scripts of packages that are allowed have made in the environment; relative paths.
    made: frozenset[str] = frozenset()
    #: Locks that were read, with the text that they were read from: judging and using one reads it twice.
    parsed: dict[str, tuple[str, ReadLock]] = field(default_factory=dict)
    conda_locks: dict[str, tuple[str, CondaLock]] = field(default_factory=dict)
    #: Called before a stage changes something: until then, what the last run recorded still holds.
    begins: Callable[[], object] = lambda: None
    #: Is told what a stage that takes its time is at: ``[deps 3/5] RUN pip install ...``.
    progress: Callable[[str], object] = lambda _text: None
    #: What later runs need to know of this one; goes into the record.
    extra: dict[str, Any] = field(default_factory=dict)
    #: Tools that were used, with their versions.
    tools: dict[str, str] = field(default_factory=dict)
    #: Whether an image is built past the builder's own cache, and the file that keeps it as an archive.
    anew: bool = False
    archive: Path | None = None
    #: Whether a generated Dockerfile is written into the project.
    keep_dockerfile: bool = False
    #: What a pattern that builds an image tells of it.
    image: ImageFacts | None = None
    #: The id of the leg whose log and temporary folder are used, where that is another: the lock of what an image
    #: holds is made for the image's leg.
    owner: str = ""

    @property
    def prefix(self) -> Path:
        """Where the environment is to be."""
        return self.layout.prefix(self.leg.id)

    @property
    def installs_project(self) -> bool:
        """Whether the project itself is installed: it is a package, and nobody said no."""
        wanted = self.config.install_project
        return wanted in ("wheel", "editable") or (wanted == "auto" and self.project.is_package)

    @property
    def log(self) -> Path:
        """The log of the running stage."""
        return self.layout.log(self.owner or self.leg.id, self.stage)

    @property
    def temp(self) -> Path:
        """A private TMPDIR, made on first use; what is left in it is a finding."""
        folder = self.layout.temp(self.owner or self.leg.id)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def project_key(self) -> str:
        """A word for the project's folder, for locks that all its legs share."""
        return hashlib.sha256(os.fsencode(self.project.root)).hexdigest()[:16]

    def lock_command(self, *flags: str) -> str:
        """The command that makes or renews this leg's lock, for a message."""
        words = [word for word in shlex.split(self.reproduce)[2:] if not word.startswith(_ONLY_FOR_RUN)]
        return shlex.join(["ci-envs", "lock", *flags, *(words or ["--only", self.leg.id])])

    @property
    def direct(self) -> tuple[Requirement, ...]:
        """The direct dependencies of what the leg installs."""
        return self.selection.direct

    @property
    def tool_environment(self) -> dict[str, str]:
        """What a locking or installing tool sees of the caller's variables."""
        # Python asks for the first; Windows, and what is written for it, for the others.
        return {**self._ambient, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self.temp))}

    @cached_property
    def pip_indexes(self) -> dict[str, str]:
        """pip's extra indexes and links in uv's words, for a lock with hashes that uv installs in pip's place.

        Whatever answers for a name must then have the very file that was locked, so every index may be asked.
        """
        return {**indexes.as_uv(self._index), "UV_INDEX_STRATEGY": "unsafe-best-match"}

    @cached_property
    def no_index(self) -> bool:
        """Whether uv, too, has links alone to look at: pip's ``no-index``, where nobody told uv of an index."""
        told = {"UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"} & self._index.variables.keys()
        return self._index.no_index and not told and not self._index.own & {"default", "extra"}

    @cached_property
    def _ambient(self) -> dict[str, str]:
        """uv is told of pip's index and certificates, and not of pip's extra indexes.

        Nobody gave those to uv; a lock would name them, and another index is another's chance to answer for a name
        (dependency confusion).
        """
        links = self._index.find_links if self.no_index else ()
        narrow = msgspec.structs.replace(self._index, extra_indexes=(), find_links=links)
        index = indexes.as_pip(self._index) | indexes.as_uv(narrow)
        return environ.tool_environment(self.environ, index=index, source_date_epoch=EPOCH)

    @cached_property
    def _index(self) -> indexes.IndexSettings:
        home = self.environ.get("HOME") or self.environ.get("USERPROFILE")
        return indexes.index_settings(
            self.environ, home=Path(home) if home else None, project=self.project.table("tool", "uv")
        )

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Holds a lock against other runs, and against what a killed run left running: children hold it too."""
        with self.layout.alone(name) as held, self.holding(held):
            yield

    @contextlib.contextmanager
    def holding(self, descriptors: tuple[int, ...]) -> Iterator[None]:
        """Has children hold these for a while, too."""
        before = self.hold
        self.hold = (*before, *descriptors)
        try:
            yield
        finally:
            self.hold = before

    def find(self, code: str, severity: Severity, title: str, message: str, *, file: str = "", line: int = 0) -> None:
        """Notes a finding."""
        finding = Finding(code=code, severity=severity, title=title, message=message, file=file, line=line)
        self.findings.append(finding)

    def keep_lock(self, name: str, text: str) -> None:
        """Writes a lock file of the project, whole, and says so; one that has these words already is left alone.

        Lines end as everywhere; that git has checked the file out with other ends (``core.autocrlf``) is no change.
        """
        before = self.project.text(name)
        if before is not None and text == before.replace("\r\n", "\n"):
            return
        write_atomically(self.project.path(name), text.encode())
        self.project.forget(name)
        verb = "made" if before is None else "renewed"
        self.find("LOCK003", "info", f"lock {verb}", f"{name} was {verb}: commit it", file=name)

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        network: bool = True,
        aside: Path | None = None,
        as_logged: Callable[[str], str] | None = None,
    ) -> Outcome:
        """Runs a tool over the project, logged, with its retries; ``env`` is added to the tool environment.

        ``aside`` is where the tool was told to keep pip's log: what it tells of a failure is read, and it is removed.
        ``as_logged`` sees each line and says what the log has in its place.
        Raises :class:`BrokenError` where the network or the disk failed; any other failure is the caller's to read.
        """
        request = command.Command(
            argv=tuple(str(word) for word in argv),
            cwd=cwd or self.project.root,
            env={**self.tool_environment, **(env or {})},
            timeout=TOOL_TIMEOUT_SECONDS,
            log=self.log,
            hold=self.hold,
            as_logged=as_logged,
        )
        pauses = network_pauses()
        while True:
            outcome = _run(request, aside)
            reason = "" if outcome else trouble.world_failed(outcome)
            if not reason:
                return outcome
            pause = next(pauses) if network and trouble.is_passing(outcome) else None
            if pause is None:
                raise BrokenError(reason, hint=f"the log has all of it: {self.layout.shown(self.log)}")
            time.sleep(pause)

    def file_digest(self, relative: str) -> str:
        """SHA-256 of a file of the project, in hexadecimal; empty where it is not there."""
        path = self.project.path(relative)
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def network_pauses() -> Iterator[float | None]:
    """Seconds to wait before each further try of what failed because of the network; ``None`` where that is enough."""
    for number in range(NETWORK_TRIES - 1):
        wait = _FIRST_WAIT_SECONDS * 2**number
        yield wait + random.uniform(0, wait / 2)  # noqa: S311 - jitter, no secret
    yield None


def _run(request: command.Command, aside: Path | None) -> Outcome:
    outcome = command.run(request)
    if aside is None:
        return outcome
    said = aside.read_text(encoding="utf-8", errors="replace") if aside.is_file() and not outcome else ""
    aside.unlink(missing_ok=True)
    if not (told := trouble.from_pip_log(said)):
        return outcome
    redact = Redactor.from_environment(request.env or {})
    return replace(outcome, stderr=f"{outcome.stderr}\n{redact(told)}")
