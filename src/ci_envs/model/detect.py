"""Which patterns a project describes, and by what."""

from __future__ import annotations

import msgspec

__all__ = ["Detected", "Detection", "Evidence", "TestPlan"]


class Evidence(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A file of the project, and the key in it, that says a pattern is meant."""

    #: Relative to the project, with forward slashes.
    file: str
    #: ``tool.uv``, ``build-system``, ``[testenv]``; empty where the file's presence says it all.
    key: str = ""


class Detected(msgspec.Struct, frozen=True, kw_only=True):
    """One pattern that the project describes."""

    pattern: str
    evidence: tuple[Evidence, ...]
    #: Whether ``auto`` would take this one, and the sentence that says why (or why not).
    chosen: bool = False
    why: str = ""


class Detection(msgspec.Struct, frozen=True, kw_only=True):
    """All patterns that the project describes, the chosen one first."""

    patterns: tuple[Detected, ...] = ()


class TestPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How the project's tests are run, found in its files: the groups to install and the command."""

    __test__ = False  # pytest must not collect it

    #: Names of dependency groups, extras, or requirement files' stems that hold the tests' needs.
    groups: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
