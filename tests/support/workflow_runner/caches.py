"""The cache of a repository, and what ``actions/cache/restore`` and ``actions/cache/save`` 6.1.0 do with it.

A cache is found by its key and by the paths that it was saved from. Runners keep their folders at one path in every
job; here each job has its own, so that paths are compared, and restored, relative to those folders.
"""

from __future__ import annotations

import io
import tarfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.workflow_runner.artifacts import StandInError
from tests.support.workflow_runner.errors import NotKnownError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Caches"]


@dataclass
class Caches:
    """``kept`` is (key, paths) -> a tar archive; a test may change it. One may be handed from walk to walk."""

    kept: dict[tuple[str, str], bytes] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def restore(self, inputs: Mapping[str, str], folders: Mapping[str, Path]) -> dict[str, str]:
        """Its outputs; ``cache-hit`` is not set where nothing was found (actions/cache#1466)."""
        key, paths = _key(inputs), _paths(inputs, folders)
        found = self.kept.get((key, "\n".join(paths)))
        if found is None:
            return {"cache-primary-key": key}
        with tarfile.open(fileobj=io.BytesIO(found)) as archive:
            for member in archive.getmembers():
                folder, _, member.name = member.name.partition("/")
                if member.islnk():
                    member.linkname = member.linkname.partition("/")[2]
                archive.extract(member, folders[folder], filter="fully_trusted")
        return {"cache-primary-key": key, "cache-matched-key": key, "cache-hit": "true"}

    def save(self, inputs: Mapping[str, str], folders: Mapping[str, Path]) -> list[str]:
        """Its warnings: saving never fails a job, and a key that is there is not written again."""
        key, paths = _key(inputs), _paths(inputs, folders)
        there = [path for path in paths if _real(path, folders).exists()]
        if not there:
            return ["Path Validation Error: Path(s) specified in the action for caching do(es) not exist"]
        with self.lock:
            if (key, "\n".join(paths)) in self.kept:
                return [
                    f"Failed to save: Unable to reserve cache with key {key}, another job may be creating this cache."
                ]
            made = io.BytesIO()
            with tarfile.open(fileobj=made, mode="w") as archive:
                for path in there:
                    archive.add(_real(path, folders), path)
            self.kept[key, "\n".join(paths)] = made.getvalue()
        return []


def _key(inputs: Mapping[str, str]) -> str:
    key = inputs["key"]
    if len(key) > 512:
        raise StandInError(f"Key Validation Error: {key} cannot be larger than 512 characters.")
    if "," in key:
        raise StandInError(f"Key Validation Error: {key} cannot contain commas.")
    return key


def _paths(inputs: Mapping[str, str], folders: Mapping[str, Path]) -> list[str]:
    named = [line.strip() for line in inputs["path"].splitlines() if line.strip()]
    return [_relative(Path(path), folders) for path in named]


def _relative(path: Path, folders: Mapping[str, Path]) -> str:
    """``temp/ci-envs-cache``: the job's folder by its name, and the rest."""
    absolute = folders["workspace"] / path
    for name, folder in folders.items():
        if absolute.is_relative_to(folder):
            return f"{name}/{absolute.relative_to(folder).as_posix()}"
    raise NotKnownError(f"a cache of {path}, which is in no folder of the job")


def _real(path: str, folders: Mapping[str, Path]) -> Path:
    name, _, rest = path.partition("/")
    return folders[name] / rest
