"""Where things lie: the state folder ``.ci-envs`` of a root, and the one lock that a leg's folder has.

Everything in it can be removed at any time; nothing else of the user's is written but lock files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.errors import BrokenError, InterruptedRun, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "Layout",
    "discard_part",
    "disk_is_full",
    "has_no_room",
    "held",
    "is_link",
    "move",
    "remove_tree",
    "write_atomically",
]

#: How long another run's lock is waited for.
WAIT_SECONDS = 1800.0
_POLL_SECONDS = 0.02

#: Tries of a move that Windows refuses, and the seconds between two of them: two seconds in all.
_MOVES = 40
_MOVE_SECONDS = 0.05

#: Bytes. A tool that met a full disk has often removed what it could not finish.
_NEXT_TO_NOTHING = 256 * 1024

# https://bford.info/cachedir/: backup programs leave such a folder out.
_FOLDERS = ("envs", "records", "logs", "tmp", "locks", "bytecode")

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
        """Makes the folder, which git and backup programs leave alone.

        Raises :class:`UsageError` where it cannot be had, :class:`BrokenError` where the disk is full.
        """
        self._refuse_unfit()
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            if not (self.state / ".gitignore").exists():
                write_atomically(self.state / ".gitignore", b"*\n")
            # Each time: only writing tells whether the folder can be written to.
            write_atomically(self.state / "CACHEDIR.TAG", _CACHEDIR_TAG.encode())
        except OSError as error:
            if disk_is_full(error):
                raise BrokenError(f"the disk is full: {self.state} cannot be written to") from error
            raise UsageError(
                f"cannot write to {self.state}: {error.strerror}",
                hint="make the folder writable, or name another with CI_ENVS_STATE_DIR",
            ) from error

    def _refuse_unfit(self) -> None:
        """No environment can lie in such a folder, or none should."""
        hint = "name another folder with CI_ENVS_STATE_DIR"
        # A repository can hold a link; what we write must not end up wherever it leads.
        for folder in (self.state, *(self.state / name for name in _FOLDERS)):
            if is_link(folder):
                raise UsageError(f"{self.shown(folder)} is a link", hint=f"remove it, or {hint}")
        name = str(self.state)
        if os.pathsep in name:  # `python -m venv` refuses it too
            raise UsageError(f"{name!r} holds {os.pathsep!r}, which separates folders on PATH", hint=hint)
        if "\n" in name or "\r" in name:
            raise UsageError(f"{name!r} has a line end, so the first line of a script could not name it", hint=hint)
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"{name!r} is not UTF-8", hint=hint) from error

    def prefix(self, leg_id: str) -> Path:
        """The environment itself."""
        return self.state / "envs" / leg_id

    def aside(self, leg_id: str) -> Path:
        """Where the old environment stands while a new one is built: a name that no leg can have."""
        return self.state / "envs" / f".{leg_id}.old"

    def image(self, leg_id: str) -> Path:
        """What is known of the image that a leg has in a prefix's place."""
        return self.state / "envs" / f"{leg_id}.json"

    def layers(self, leg_id: str) -> Path:
        """The layers of that image: the builder sends those alone that are not there."""
        return self.state / "envs" / f"{leg_id}.layers"

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
        """The TMPDIR of the leg's commands.

        Its name is short: sockets are made in it (``multiprocessing``), and their paths end at 107 bytes (unix(7)).
        """
        return self.state / "tmp" / hashlib.sha256(leg_id.encode()).hexdigest()[:8]

    def bytecode(self, leg_id: str, digest: str) -> Path:
        """Where the interpreters of a leg keep compiled bytecode: outside the environment, by its content.

        A later environment with another digest gets another folder, so stale bytecode cannot be met.
        """
        return self.state / "bytecode" / leg_id / digest.removeprefix("sha256:")[:16]

    def shown(self, path: Path) -> str:
        """A path for a record: relative to the root where it is inside."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()

    @contextlib.contextmanager
    def alone(self, name: str, wait: float = WAIT_SECONDS) -> Iterator[tuple[int, ...]]:
        """Holds the lock of a leg or a project against other runs, and against what a killed run left running.

        Yields the file descriptors that child processes should hold: the lock is free once all of them are closed.
        """
        folder = self.state / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder / f"{name}.lock", f"another run is at work on {name}", wait) as descriptors:
            yield descriptors


@contextlib.contextmanager
def held(path: Path, who: str, wait: float = WAIT_SECONDS) -> Iterator[tuple[int, ...]]:
    """Holds a lock file against other threads and processes.

    On POSIX it is flock(2), which belongs to the open file and not to the process: a child that was given the
    descriptor goes on holding the lock when its parent is killed outright, for as long as it writes.

    Raises :class:`BrokenError` that says ``who`` after ``wait`` seconds, :class:`InterruptedRun` where the run is
    interrupted meanwhile.
    """
    if sys.platform == "win32":
        with _held_by_name(path, who, wait):
            yield ()
        return
    descriptor = _take(path, who, time.monotonic() + wait, wait)
    try:
        yield (descriptor,)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _held_by_name(path: Path, who: str, wait: float) -> Iterator[None]:
    """The lock of a system without flock(2), which no child can hold; waited for in short pieces, as there."""
    from filelock import FileLock, Timeout

    lock, deadline = FileLock(path), time.monotonic() + wait
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            _refuse_to_wait_longer(path, who, deadline, wait)
            time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()


def _take(path: Path, who: str, deadline: float, wait: float) -> int:
    """An open file that holds the lock, and that is still the one which the path names."""
    while True:
        descriptor = _open(path)
        try:
            while not _locked(descriptor):
                _refuse_to_wait_longer(path, who, deadline, wait)
                time.sleep(_POLL_SECONDS)
            if _is_at(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # it was removed or moved while its lock was waited for


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        path.unlink(missing_ok=True)  # a link, which none of ours is
    return os.open(path, flags, 0o666)


def _locked(descriptor: int) -> bool:
    if sys.platform == "win32":
        raise NotImplementedError("Windows has no flock(2): see _held_by_name")
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _refuse_to_wait_longer(path: Path, who: str, deadline: float, wait: float) -> None:
    from ci_envs import command

    if command.stopping():
        raise InterruptedRun(f"stopped while it waited: {who}")
    if time.monotonic() > deadline:
        raise _waited(path, who, wait)


def _waited(path: Path, who: str, wait: float) -> BrokenError:
    hint = f"end it: it has {path} open" if sys.platform == "win32" else f"end it: `fuser {path}` names it"
    return BrokenError(f"{who}; waited {wait:.0f} s", hint=hint)


def write_atomically(path: Path, data: bytes) -> None:
    """The whole file or none of it: written beside its place, then moved there.

    The file beside it has one name, and a lock that keeps two writers apart: what a killed writer left is used up by
    the next one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path)
    with _alone_at(part):
        try:
            with part.open("wb") as file:
                file.write(data)
            move(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def move(source: Path, target: Path, *, tries: int = _MOVES if sys.platform == "win32" else 1) -> None:
    """Renames a file or folder, over a file that is there.

    On Windows neither may be open anywhere, which a virus scanner, an indexer or a reader of ours has them for an
    instant: a refusal is met by some more tries, as pip meets it.
    """
    for _ in range(tries - 1):
        with contextlib.suppress(PermissionError):
            source.replace(target)
            return
        time.sleep(_MOVE_SECONDS)
    source.replace(target)


def is_link(path: Path) -> bool:
    """Whether a path is a link; a junction of Windows' is one, too, which pathlib knows from Python 3.12 on."""
    return path.is_symlink() or bool(getattr(path, "is_junction", bool)())


def discard_part(path: Path) -> None:
    """Removes what a killed writer of a file left beside it."""
    part = _part(path)
    if part.is_symlink() or part.exists():
        with _alone_at(part):
            part.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    # Windows has no lock of its own that goes with the file when it is moved.
    own = f".{os.getpid()}.{time.monotonic_ns():x}" if sys.platform == "win32" else ""
    return path.with_name(f".{path.name}{own}.part")


def _alone_at(part: Path) -> contextlib.AbstractContextManager[object]:
    return contextlib.nullcontext() if sys.platform == "win32" else held(part, f"another run writes {part}")


def disk_is_full(error: OSError) -> bool:
    """Whether it was the disk, or the user's share of it, that had no room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def has_no_room(folder: Path) -> bool:
    """Whether the disk of a folder can take no more files, or next to nothing in them."""
    if sys.platform == "win32":
        return shutil.disk_usage(folder).free < _NEXT_TO_NOTHING
    found = os.statvfs(folder)
    # Some file systems make inodes as they need them, and count none.
    return found.f_bavail * found.f_frsize < _NEXT_TO_NOTHING or (found.f_files > 0 and found.f_favail == 0)


def remove_tree(path: Path) -> None:
    """Removes a folder, made-read-only parts too, and what another process adds to it meanwhile.

    A link is removed, never followed.
    """
    if is_link(path) or path.is_file():
        path.unlink(missing_ok=True)
    for last in (False, False, True):
        if not path.exists():
            return
        try:
            shutil.rmtree(path)
        except OSError:
            if last:
                raise
            _make_removable(path)


def _make_removable(top: Path, *, files_too: bool = sys.platform == "win32") -> None:
    """Gives us back the folders of a tree that something has closed, and on Windows files that are read-only.

    There a file decides itself whether it may be removed; elsewhere its folder does.
    """
    for folder, folders, files in os.walk(top):
        for name in ("", *folders, *(files if files_too else ())):
            path = os.path.join(folder, name)  # noqa: PTH118 - a walk
            with contextlib.suppress(OSError):
                mode = os.lstat(path).st_mode
                if stat.S_ISDIR(mode) or (files_too and stat.S_ISREG(mode)):
                    os.chmod(path, stat.S_IRWXU)  # noqa: PTH101 - a walk
