"""How the value of an input is read: a reader takes its name and its text, and gives a value or says what it takes.

A text comes from a workflow's author, who may have put anything into it by an expression. What is let through is one
line (or a list of words), and of the kind that the input is for.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from ci_envs.errors import UsageError
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    Reader = Callable[[str, str], Any]

__all__ = ["CHOICES", "read_value", "spelt"]

_BOOLEANS = ("true", "false")

#: By the name of an input, as a variable has it: all that it takes. Descriptions of inputs name every one of these.
CHOICES: dict[str, tuple[str, ...]] = {
    "enable_cache": ("auto", *_BOOLEANS),
    "expect_gpu": ("auto", *_BOOLEANS),
    "lock_mode": ("locked", "auto", "frozen", "update"),
    # https://docs.github.com/en/actions/reference/workflows-and-actions/contexts#needs-context
    "plan_result": ("success", "failure", "cancelled", "skipped"),
    "strategy": ("all", "pairwise", "ends"),
    "tier": ("auto", "pull-request", "nightly", "release", "all"),
}

#: ``true`` or ``false`` and nothing else, as the inputs of GitHub's own actions have it.
_FLAGS = frozenset(
    ("activate_environment", "add_problem_matchers", "cache_environment", "changed_only", "check", "test")
)

_LINES = {
    "test_command": "put several commands into a script, and give the command that runs it",
    "python_version": "one step makes one environment: list versions in the job's strategy.matrix",
    "pattern": "one step makes one environment: list patterns in the job's strategy.matrix",
}

#: What no line may hold: control characters, and what some readers take for the end of a line.
_NOT_IN_A_LINE = frozenset(("Cc", "Zl", "Zp"))


def read_value(name: str, text: str, kind: str = "") -> Any:
    """The value of an input that was given; :class:`UsageError` names the input and what it takes.

    ``kind`` is how it is read, where two actions have an input of one name: else it is the name.
    """
    if name in _FLAGS:
        return _chosen(name, text, _BOOLEANS) == "true"
    if name in CHOICES:
        return _chosen(name, text, CHOICES[name])
    return _READERS.get(kind or name, _line)(name, text)


def spelt(name: str) -> str:
    """An input's name as a workflow has it, in quotes."""
    return repr(name.replace("_", "-"))


def _line(name: str, text: str) -> str:
    if "\n" in text:
        raise UsageError(f"input {spelt(name)} has more than one line", hint=_LINES.get(name, "give one value"))
    if any(letter != "\t" and unicodedata.category(letter) in _NOT_IN_A_LINE for letter in text):
        raise UsageError(
            f"input {spelt(name)} is {one_line(text, 60)!r}, with a control character in it",
            hint="give one line of text",
        )
    return text


def _chosen(name: str, text: str, choices: tuple[str, ...]) -> str:
    if _line(name, text) not in choices:
        raise _refused(name, text, f"it takes one of: {', '.join(choices)}")
    return text


def _word(grammar: str, hint: str) -> Reader:
    def read(name: str, text: str) -> str:
        if not re.fullmatch(grammar, _line(name, text), re.ASCII):
            raise _refused(name, text, hint)
        return text

    return read


def _words(grammar: str, hint: str, separator: str = r"[\s,]+") -> Reader:
    def read(name: str, text: str) -> tuple[str, ...]:
        words = tuple(word for part in re.split(separator, text) if (word := part.strip()))
        for word in words:
            _word(grammar, hint)(name, word)
        return words

    return read


def _number(low: int, high: int) -> Reader:
    def read(name: str, text: str) -> int:
        # GitHub writes a number as JavaScript does; none of ours has a fraction.
        if not re.fullmatch(r"\d{1,6}", _line(name, text), re.ASCII) or not low <= int(text) <= high:
            raise _refused(name, text, f"it takes a number from {low} to {high}")
        return int(text)

    return read


def _refused(name: str, text: str, hint: str) -> UsageError:
    return UsageError(f"input {spelt(name)} is {one_line(text, 60)!r}", hint=hint)


_PART_OF_A_NAME = "a letter, a digit or '_', then letters, digits, '.', '_' and '-', at most 64"

_READERS: dict[str, Reader] = {
    # A whole name: such a part, the number of a shard and the id of a leg.
    "artifact": _word(r"\w[\w.-]{0,199}", "letters, digits, '.', '_' and '-', at most 200"),
    "artifact_name": _word(r"\w[\w.-]{0,63}", _PART_OF_A_NAME),
    "cache_suffix": _word(r"\w[\w.-]{0,63}", _PART_OF_A_NAME),
    # Names as PEP 735 and PEP 685 have them.
    "groups": _words(r"[a-zA-Z0-9][\w.-]*", "names of dependency groups or extras"),
    "labels": _words(r".{1,100}", "labels of at most 100 letters, one a line", r"\n"),
    "leg": _word(r"[a-z0-9_][a-z0-9_.-]{0,99}", "a leg's id, as `ci-envs plan` lists it"),
    "matrix_filter": _words(
        r"!?[a-z0-9_.*?\[\]-]{1,100}", "globs on leg ids, for example uv-* or !*-windows-*", r"\s+"
    ),
    "max_legs": _number(1, 256),
    "pattern": _word(r"[a-z][a-z0-9-]*", "uv, venv, conda, ... or auto"),
    "python_version": _word(r"(pypy)?\d+\.\d+t?", "for example 3.12, 3.13t or pypy3.10"),
    # 90 is the most of a public repository, 400 of a private one.
    "retention_days": _number(0, 400),
    # 256 shards, counted from 0.
    "shard": _number(0, 255),
    "timeout_minutes": _number(0, 7200),
}
