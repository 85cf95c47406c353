"""The folder that ci-envs keeps for itself on this machine, and what it remembers there.

Nothing in it is needed: all of it can be removed at any time, and is made again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from ci_envs.decoding import decode
from ci_envs.errors import BrokenError
from ci_envs.layout import move

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Remembered", "cache_root", "conda_cache", "usable_folder", "uv_cache"]

T = TypeVar("T")


def cache_root(environ: Mapping[str, str]) -> Path:
    """``CI_ENVS_CACHE_DIR``, else the platform's folder for caches of a user. Absolute; it need not exist."""
    named = environ.get("CI_ENVS_CACHE_DIR", "").strip()
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("ci-envs", appauthor=False).absolute()


def uv_cache(environ: Mapping[str, str]) -> tuple[Path, bool]:
    """Where uv keeps what it downloads, and whether that folder is ours alone.

    uv links files out of its cache, so whoever writes to a file of one environment changes the cache, and every
    environment after it (``docs/architecture.md`` says what is done about it). A cache of our own keeps that away
    from the user's other work, and theirs from us. A user who sets ``UV_CACHE_DIR`` has chosen.
    """
    named = environ.get("UV_CACHE_DIR", "").strip()
    if named:
        return Path(named).expanduser().absolute(), False
    return cache_root(environ) / "uv", True


def conda_cache(environ: Mapping[str, str]) -> Path:
    """Where conda's packages and repodata are kept, by whichever front end; ours alone."""
    return cache_root(environ) / "conda"


def usable_folder(path: Path) -> Path:
    """Makes the folder and proves that it can be written to; :class:`BrokenError` where it cannot."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        # os.access answers yes to root on a read-only file system's mode bits; only writing tells.
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BrokenError(f"the disk is full: the cache folder {path} cannot be written to") from error
        raise BrokenError(
            f"the cache folder {path} cannot be written to: {error.strerror or error}",
            hint="set CI_ENVS_CACHE_DIR to a folder that can be",
        ) from error


class _Entry(msgspec.Struct, Generic[T], frozen=True, array_like=True):
    mtime_ns: int
    size: int
    value: T


class _Memory(msgspec.Struct, Generic[T], frozen=True):
    #: What was asked, on what; an answer to another question is no answer.
    question: str
    entries: dict[str, _Entry[T]]


class Remembered(Generic[T]):
    """Answers about files, kept on disk for as long as the file's real path, time and size stay the same.

    A memory that cannot be read, or that answers another question, is an empty one; one that cannot be written
    is not kept. Two writers at once may lose an answer, which is then asked for again.
    """

    def __init__(self, path: Path, kind: type[T], question: str) -> None:
        self._path = path
        self._question = question
        self._kind = kind
        self._entries: dict[str, _Entry[T]] | None = None

    def get(self, file: Path) -> T | None:
        """The answer for a file as it is now; ``None`` where there is none, or no such file."""
        key, stat = _identity(file)
        entry = self._read().get(key) if stat else None
        if entry is None or stat is None or (entry.mtime_ns, entry.size) != (stat.st_mtime_ns, stat.st_size):
            return None
        return entry.value

    def put(self, file: Path, value: T) -> None:
        """Keeps an answer, and drops those about files that are gone."""
        key, stat = _identity(file)
        if stat is None:
            return
        self._entries = None  # another process may have added to it since
        kept = {name: entry for name, entry in self._read().items() if Path(name).exists()}
        kept[key] = _Entry(stat.st_mtime_ns, stat.st_size, value)
        self._entries = kept
        # A path that is not UTF-8 cannot be written as JSON, and a full disk is not this function's to report.
        with contextlib.suppress(OSError, UnicodeEncodeError):
            self._write(msgspec.json.encode(_Memory(self._question, kept)))

    def _read(self) -> dict[str, _Entry[T]]:
        if self._entries is None:
            self._entries = {}
            with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
                memory = decode(self._path.read_bytes(), _Memory[self._kind])  # type: ignore[name-defined]  # made at run time
                if memory.question == self._question:
                    self._entries = memory.entries
        return self._entries

    def _write(self, data: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            move(temporary, self._path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _identity(file: Path) -> tuple[str, os.stat_result | None]:
    real = os.path.realpath(file)
    try:
        return real, os.stat(real)  # noqa: PTH116 - the real path is a string already
    except OSError:
        return real, None
