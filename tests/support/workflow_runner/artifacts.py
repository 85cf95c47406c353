"""Artifacts of a run, and what upload-artifact 7.0.1 and download-artifact 8.0.1 do with them.

Sources: actions/upload-artifact (src/shared/search.ts, src/upload/upload-artifact.ts), actions/download-artifact
(src/download-artifact.ts), actions/toolkit (packages/artifact, packages/glob: which files are hidden).
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.workflow_runner.errors import NotKnownError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Artifact", "Artifacts", "StandInError"]

#: How many archives are downloaded at once; what comes after a chunk in which one failed is not downloaded.
PARALLEL_DOWNLOADS = 5

_NOT_IN_NAMES = '":<>|*?\r\n\\/'


class StandInError(Exception):
    """The action fails, with this as its error."""


@dataclass
class Artifact:
    """One archive; ``digest`` is what it was when it was uploaded."""

    name: str
    archive: bytes
    digest: str

    def files(self) -> dict[str, bytes]:
        """What is in it, by relative path."""
        with zipfile.ZipFile(io.BytesIO(self.archive)) as opened:
            return {name: opened.read(name) for name in opened.namelist()}


@dataclass
class Artifacts:
    """What the jobs of one run have uploaded, over all of its attempts. A test may take away, cut or exchange it."""

    kept: dict[str, Artifact] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, name: str, files: Mapping[str, bytes]) -> Artifact:
        """Under this name, whatever was there before."""
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        data = made.getvalue()
        self.kept[name] = Artifact(name, data, hashlib.sha256(data).hexdigest())
        return self.kept[name]

    def upload(self, inputs: Mapping[str, str], workspace: Path) -> tuple[dict[str, str], list[str]]:
        """What ``actions/upload-artifact`` does: its outputs, and its warnings."""
        name = _checked_name(inputs.get("name") or "artifact")
        files = found_files(inputs["path"], workspace, hidden=_flag(inputs, "include-hidden-files"))
        _check_retention(inputs.get("retention-days", ""))
        missing = inputs.get("if-no-files-found") or "warn"
        if missing not in ("warn", "error", "ignore"):
            raise StandInError(f"Unrecognized if-no-files-found input. Provided: {missing}")
        if not files:
            said = f"No files were found with the provided path: {inputs['path']}. No artifacts will be uploaded."
            if missing == "error":
                raise StandInError(said)
            return {}, [said] if missing == "warn" else []
        with self.lock:
            if name in self.kept and not _flag(inputs, "overwrite"):
                raise StandInError(
                    f"(409) Conflict: an artifact with this name already exists on the workflow run: {name}"
                )
            made = self.put(name, {path: file.read_bytes() for path, file in files.items()})
        return {
            "artifact-id": str(len(self.kept)),
            "artifact-digest": made.digest,
            "artifact-url": f"artifact:{name}",
        }, []

    def download(self, inputs: Mapping[str, str], workspace: Path) -> dict[str, str]:
        """What ``actions/download-artifact`` does: its outputs."""
        target = workspace / (inputs.get("path") or ".")
        name, pattern = inputs.get("name", ""), inputs.get("pattern", "")
        with self.lock:
            found = self._named(name) if name else self._matching(pattern)
        straight = bool(name) or len(found) == 1 or _flag(inputs, "merge-multiple")
        for first in range(0, len(found), PARALLEL_DOWNLOADS):
            failed = [
                said
                for one in found[first : first + PARALLEL_DOWNLOADS]
                if (said := _extract(one, target if straight else target / one.name))
            ]
            if failed:
                raise StandInError(f"Unable to download artifact(s): {'; '.join(failed)}")
        return {"download-path": str(target)}

    def _named(self, name: str) -> list[Artifact]:
        if name not in self.kept:
            raise StandInError(f"Unable to download artifact(s): Artifact not found for name: {name}")
        return [self.kept[name]]

    def _matching(self, pattern: str) -> list[Artifact]:
        if any(sign in pattern for sign in "[]{}!()+@"):
            raise NotKnownError(f"the pattern {pattern!r} has more than * and ?")
        # The newest first, as the service lists them.
        return [one for name, one in reversed(self.kept.items()) if fnmatch.fnmatchcase(name, pattern or "*")]


def _flag(inputs: Mapping[str, str], name: str) -> bool:
    text = inputs.get(name) or "false"
    if text.lower() not in ("true", "false"):
        raise StandInError(f'Input does not meet YAML 1.2 "Core Schema" specification: {name}')
    return text.lower() == "true"


def _checked_name(name: str) -> str:
    wrong = [sign for sign in _NOT_IN_NAMES if sign in name]
    if wrong:
        raise StandInError(f"The artifact name is not valid: {name}. Contains the following character: {wrong[0]!r}")
    return name


def _check_retention(text: str) -> None:
    if text and (not text.isdecimal() or int(text) > 90):
        raise StandInError(f"Invalid retention-days: {text}")


def found_files(search: str, workspace: Path, *, hidden: bool = False) -> dict[str, Path]:
    """The files of an artifact by their paths in it: below one folder, a file alone, or below what several share."""
    searched = [workspace / line.strip() for line in search.splitlines() if line.strip()]
    for path in searched:
        if any(sign in str(path) for sign in "*?[!"):
            raise NotKnownError(f"upload-artifact with the glob {path}")
    files = [file for path in searched for file in _below(Path(os.path.normpath(path)), hidden)]
    if not files:
        return {}
    single = len(searched) == 1 and not searched[0].is_dir()
    root = searched[0].parent if single else Path(os.path.commonpath(searched))
    return {file.relative_to(os.path.normpath(root)).as_posix(): file for file in files}


def _below(path: Path, hidden: bool) -> Iterator[Path]:
    """Links are followed, and what is hidden is known by its own name, not by that of a folder above the search."""
    if not path.exists() or (not hidden and path.name.startswith(".")):
        return
    if not path.is_dir():
        yield path
        return
    for child in sorted(path.iterdir()):
        yield from _below(child, hidden)


def _extract(artifact: Artifact, target: Path) -> str:
    """Why it failed; nothing where it did not."""
    if hashlib.sha256(artifact.archive).hexdigest() != artifact.digest:
        return f"Artifact '{artifact.name}' digest validation failed"
    for path, content in artifact.files().items():
        file = target / path
        if not Path(os.path.normpath(file)).is_relative_to(os.path.normpath(target)):
            return f"Malformed extraction path: {path}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return ""
