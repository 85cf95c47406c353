"""Pythons that uv manages: downloaded where the configuration allows it (``uv: {python-downloads: true}``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs import command, environ, indexes, trouble
from ci_envs.errors import BrokenError
from ci_envs.tools import uv_program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["download_python"]

_TIMEOUT_SECONDS = 900.0


def download_python(version: str, caller: Mapping[str, str], log: Path) -> None:
    """Has uv install a Python where uv keeps its own; :class:`BrokenError` where that fails."""
    index = indexes.as_uv(indexes.index_settings(caller))
    outcome = command.run(
        command.Command(
            argv=(str(uv_program(caller)), "python", "install", "--no-bin", version),
            env=environ.tool_environment(caller, index=index),
            timeout=_TIMEOUT_SECONDS,
            log=log,
        )
    )
    if not outcome:
        why = trouble.world_failed(outcome) or trouble.reason(outcome, lines=1)
        raise BrokenError(f"uv could not download Python {version}: {why}")
