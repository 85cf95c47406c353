"""What the outputs of an action say of a record."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ci_envs.environments.scheme import Scheme
from ci_envs.github.runner import workspace_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_envs.model.record import RunRecord

__all__ = ["leg_outputs"]


def leg_outputs(
    record: RunRecord, root: Path, record_path: Path, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What ``action.yml`` and ``actions/leg`` say of one leg, each a part of it; empty where it did not get that far.

    ``environment-path`` and ``python-path`` are absolute, ``lock-file`` and ``record`` relative to the repository.
    """
    lock, environment = record.lock, record.environment
    prefix = root.resolve() / environment.path if environment and environment.path else None
    return {
        "status": record.status,
        "pattern": record.leg.pattern,
        "environment-path": str(prefix or ""),
        "python-path": str(_python(prefix, record.leg.os)) if prefix else "",
        "python-version": environment.python if environment else "",
        "lock-file": workspace_path(root / record.leg.project / lock.path, environ) if lock else "",
        "lock-digest": lock.digest if lock else "",
        "environment-digest": environment.digest if environment else "",
        "image": record.image.name if record.image else "",
        "image-digest": record.image.digest if record.image else "",
        "record": workspace_path(record_path, environ),
        "reproduce-command": record.reproduce,
    }


def _python(prefix: Path, os_name: str) -> Path:
    return Scheme.of(prefix, platform="win32" if os_name == "windows" else "linux").python
