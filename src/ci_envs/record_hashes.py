"""How a RECORD writes the hash of a file. Pure."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci_envs.model.content import Entry, Row

__all__ = ["agrees", "recorded_digest"]


def recorded_digest(sha256: str) -> str:
    """A SHA-256 as RECORD writes it: URL-safe base 64 without padding."""
    return base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")


def agrees(entry: Entry, row: Row) -> bool:
    """Whether a file is what a row says; no where the row has no SHA-256."""
    sized = not row.size or row.size == str(entry.size)
    return sized and row.algorithm == "sha256" and row.digest == recorded_digest(entry.sha256)
