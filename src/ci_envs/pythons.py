"""Pythons that uv manages: downloaded where the configuration allows it (``uv: {python-downloads: true}``)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci_envs import command, environ, indexes, trouble
from ci_envs.errors import BrokenError
from ci_envs.tools import uv_program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["download_python"]

_TIMEOUT_SECONDS = 900.0


# What uv says where its own files forbid downloads, and where there is none.
_NOT_HERE = re.compile(r"downloads are not allowed|No download found for request", re.IGNORECASE)


def download_python(version: str, caller: Mapping[str, str], log: Path) -> None:
    """Has uv install a Python where uv keeps its own.

    Nothing is done where the user tells uv never to download one, or uv knows none: there is no such Python here.
    :class:`BrokenError` where the download fails.
    """
    if caller.get("UV_PYTHON_DOWNLOADS", "").lower() in ("never", "false"):
        return
    index = indexes.as_uv(indexes.index_settings(caller))
    outcome = command.run(
        command.Command(
            argv=(str(uv_program(caller)), "python", "install", "--no-bin", version),
            env=environ.tool_environment(caller, index=index),
            timeout=_TIMEOUT_SECONDS,
            log=log,
        )
    )
    if not outcome and not _NOT_HERE.search(outcome.output):
        why = trouble.world_failed(outcome) or trouble.reason(outcome)
        raise BrokenError(f"uv could not download Python {version}: {why}")
