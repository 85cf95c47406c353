"""Which patterns a project describes, and by what; how its tests are run, and by what."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Detected", "Detection", "Evidence", "Problem", "TestCommand", "TestPlan"]


class Evidence(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A file of the project, and the key in it, that says a pattern is meant."""

    #: Relative to the project, with forward slashes.
    file: str
    #: ``tool.uv``, ``build-system``, ``[testenv]``; empty where the file's presence says it all.
    key: str = ""

    def __str__(self) -> str:
        return f"{self.file} ({self.key})" if self.key else self.file


class Detected(msgspec.Struct, frozen=True, kw_only=True):
    """One pattern that the project describes."""

    pattern: str
    evidence: tuple[Evidence, ...]
    #: Whether ``auto`` would take this one, and the sentence that says why (or why not).
    chosen: bool = False
    why: str = ""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A file that could not be read for what it says, or that says what it cannot mean."""

    message: str
    #: Relative to the project, and its 1-based line (0: unknown).
    file: str
    line: int = 0
    hint: str = ""


class Detection(msgspec.Struct, frozen=True, kw_only=True):
    """All patterns that the project describes, the chosen one first."""

    patterns: tuple[Detected, ...] = ()
    #: What was in the way of reading the rest.
    problems: tuple[Problem, ...] = ()

    @property
    def chosen(self) -> Detected | None:
        """The pattern that ``auto`` takes; ``None`` where nothing was found."""
        return next((found for found in self.patterns if found.chosen), None)


class TestPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the project's tests need beside the project itself, found in its files."""

    __test__ = False  # pytest must not collect it

    #: Names of dependency groups, as written: ``[dependency-groups]``, Poetry's groups, PDM's and uv's dev groups.
    groups: tuple[str, ...] = ()
    #: Names of extras, as written.
    extras: tuple[str, ...] = ()
    #: Requirement files, relative to the project; of ``x.in`` and ``x.txt`` the first.
    files: tuple[str, ...] = ()
    #: For those of ``files`` that have one beside them, the compiled file: ``{"dev.in": "dev.txt"}``.
    locks: dict[str, str] = {}
    #: Requirements that stand in tox's configuration, as PEP 508 spells them.
    inline: tuple[str, ...] = ()
    #: Lines of tox's configuration that only tox can read (factors, substitutions): they are not in ``inline``.
    unread: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    #: The sentence that says why these and no others.
    why: str = ""


class TestCommand(msgspec.Struct, frozen=True, kw_only=True):
    """How the project's tests are run, found in its files."""

    __test__ = False  # pytest must not collect it

    #: A program of the environment comes first: ``python`` is its own interpreter.
    argv: tuple[str, ...]
    runner: Literal["pytest", "unittest"]
    evidence: tuple[Evidence, ...] = ()
    why: str = ""
    #: Whether a person wrote these words: then they are run as they stand.
    as_written: bool = False
