"""Data that is shipped with the package, and the programs that run inside environments."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["probe_text", "resource", "shared_objects_text"]


def resource(name: str) -> Path:
    """A file that is shipped with the package: ``tools/pip-tools.txt``."""
    return Path(__file__).parent.joinpath(*name.split("/"))


@cache
def probe_text() -> str:
    """The probe's source, for an interpreter that reads it from standard input (a container has no file of ours)."""
    return Path(__file__).with_name("probe.py").read_text(encoding="utf-8")


@cache
def shared_objects_text() -> str:
    """The source of what reads the shared objects of an environment, for an interpreter as above."""
    return Path(__file__).with_name("shared_objects.py").read_text(encoding="utf-8")
