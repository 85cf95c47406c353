"""Where things lie: the state folder ``.ci-envs`` of a root, and the one lock that a leg's folder has.

Everything in it can be removed at any time; nothing else of the user's is written but lock files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.errors import BrokenError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Layout", "held", "remove_tree", "write_atomically"]

#: How long another run's lock is waited for.
WAIT_SECONDS = 1800.0
_POLL_SECONDS = 0.02

# https://bford.info/cachedir/: backup programs leave such a folder out.
_CACHEDIR_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This folder was made by ci-envs.\n"


@dataclass(frozen=True, slots=True)
class Layout:
    """The state folder of a root."""

    root: Path
    state: Path

    @classmethod
    def at(cls, root: Path, environ: Mapping[str, str]) -> Layout:
        """``<root>/.ci-envs``, or the folder that ``CI_ENVS_STATE_DIR`` names."""
        named = environ.get("CI_ENVS_STATE_DIR")
        return cls(root=root.resolve(), state=Path(named).resolve() if named else root.resolve() / ".ci-envs")

    def prepare(self) -> None:
        """Makes the folder, which git and backup programs leave alone; :class:`UsageError` where that cannot be."""
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            for name, text in ((".gitignore", "*\n"), ("CACHEDIR.TAG", _CACHEDIR_TAG)):
                if not (self.state / name).exists():
                    write_atomically(self.state / name, text.encode())
        except OSError as error:
            raise UsageError(
                f"cannot write to {self.state}: {error.strerror}",
                hint="make the folder writable, or name another with CI_ENVS_STATE_DIR",
            ) from error

    def prefix(self, leg_id: str) -> Path:
        """The environment itself."""
        return self.state / "envs" / leg_id

    def record(self, leg_id: str) -> Path:
        """The leg's record."""
        return self.state / "records" / f"{leg_id}.json"

    def log(self, leg_id: str, stage: str) -> Path:
        """What the commands of one stage said."""
        return self.state / "logs" / leg_id / f"{stage}.log"

    def junit(self, leg_id: str) -> Path:
        """JUnit XML of the project's tests."""
        return self.state / "logs" / leg_id / "junit.xml"

    def temp(self, leg_id: str) -> Path:
        """The TMPDIR of the leg's commands."""
        return self.state / "tmp" / leg_id

    def bytecode(self, leg_id: str, digest: str) -> Path:
        """Where the interpreters of a leg keep compiled bytecode: outside the environment, by its content.

        A later environment with another digest gets another folder, so stale bytecode cannot be met.
        """
        return self.state / "bytecode" / leg_id / digest.removeprefix("sha256:")[:16]

    def shown(self, path: Path) -> str:
        """A path for a record: relative to the root where it is inside."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[tuple[int, ...]]:
        """Holds the lock of a leg or a project against other runs, and against what a killed run left running.

        Yields the file descriptors that child processes should hold: the lock is free once all of them are closed.
        """
        folder = self.state / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder / f"{name}.lock", f"another run is at work on {name}") as descriptors:
            yield descriptors


@contextlib.contextmanager
def held(path: Path, who: str, wait: float = WAIT_SECONDS) -> Iterator[tuple[int, ...]]:
    """Holds a lock file against other threads and processes; :class:`BrokenError` says ``who`` after ``wait`` seconds.

    On POSIX it is flock(2), which belongs to the open file and not to the process: a child that was given the
    descriptor goes on holding the lock when its parent is killed outright, for as long as it writes.
    """
    if sys.platform == "win32":
        from filelock import FileLock, Timeout

        try:
            with FileLock(path, timeout=wait):
                yield ()
        except Timeout as error:
            raise _waited(path, who, wait) from error
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _take(descriptor, path, who, wait)
        yield (descriptor,)
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, who: str, wait: float) -> None:
    import fcntl

    deadline = time.monotonic() + wait
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise _waited(path, who, wait) from error
        time.sleep(_POLL_SECONDS)


def _waited(path: Path, who: str, wait: float) -> BrokenError:
    return BrokenError(f"{who}; waited {wait / 60:.0f} minutes", hint=f"end it: `fuser {path}` names it")


def write_atomically(path: Path, data: bytes) -> None:
    """The whole file or none of it: written beside its place, then moved there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{id(data):x}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def remove_tree(path: Path) -> None:
    """Removes a folder, made-read-only parts too. A link is removed, never followed."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path, onerror=_unlock_and_retry)


def _unlock_and_retry(function: object, path: str, _error: object) -> None:
    parent = Path(path).parent
    parent.chmod(0o700)
    if not Path(path).is_symlink():
        Path(path).chmod(0o700)
    if callable(function):
        function(path)
