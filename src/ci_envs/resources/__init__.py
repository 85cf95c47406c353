"""Data that is shipped with the package, and the probe that runs inside environments."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["probe_text", "resource"]


def resource(name: str) -> Path:
    """A file that is shipped with the package: ``tools/pip-tools.txt``."""
    return Path(__file__).parent.joinpath(*name.split("/"))


@cache
def probe_text() -> str:
    """The probe's source, for an interpreter that reads it from standard input (a container has no file of ours)."""
    return Path(__file__).with_name("probe.py").read_text(encoding="utf-8")
