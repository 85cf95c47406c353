"""Small notes that any number of processes share: one JSON file for each key, written whole or not at all.

What a note means is its reader's: :mod:`ci_envs.attest` keeps what wheels were, :mod:`ci_envs.conda.package_ledger`
what conda packages were.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

from ci_envs.layout import write_atomically

__all__ = ["Notes", "is_digest"]


def is_digest(value: object) -> bool:
    """Whether it is ``sha256:<hex>``."""
    return isinstance(value, str) and re.fullmatch(r"sha256:[0-9a-f]{64}", value) is not None


class Notes:
    """The notes of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> dict[str, object]:
        """The note; empty where there is none, or it cannot be read."""
        try:
            told = json.loads(self._path(key).read_bytes())
        except (OSError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}

    def add(self, key: str, note: dict[str, object]) -> bool:
        """Writes a note where there is none; of processes that do so at once, the first one wins. Whether it was us."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_encoded(note))
            try:
                os.link(part, path)  # fails where the file is there; a rename would replace it
            except FileExistsError:
                return False
            except OSError:  # a file system without hard links
                Path(part).replace(path)
        finally:
            Path(part).unlink(missing_ok=True)
        return True

    def replace(self, key: str, note: dict[str, object]) -> None:
        """Writes a note, whatever was there."""
        write_atomically(self._path(key), _encoded(note))

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"


def _encoded(note: dict[str, object]) -> bytes:
    return json.dumps(note).encode()
