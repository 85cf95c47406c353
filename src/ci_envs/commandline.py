"""A command as configuration spells it -> arguments. Pure; no shell ever reads it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["split"]

# Escaped and quoted parts (POSIX, "Shell Command Language", 2.2): in double quotes "$" keeps its meaning.
_QUOTED = re.compile(r"\\.|'[^']*'|\"(?P<double>(?:\\.|[^\"\\])*)\"", re.DOTALL)
# All that shlex takes for an escape in double quotes; a shell knows more of them.
_ESCAPED = re.compile(r"\\[\\\"]")

# What only a shell understands. "*" and "(" are left out: to pytest's -k and to tools' globs they are plain letters.
_OPERATOR = re.compile(r"(?:(?<!\S)[0-9]+)?(?:>>|<<|>&[0-9]?|[<>])|&&|\|\||[|&;\n]|(?<!\S)#")
_EXPANSION = re.compile(r"\$[A-Za-z_{(]|`")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def split(command: str | Sequence[str], key: str) -> list[str]:
    """The arguments, of which there is at least one. A list is taken as it is; a string is split as a shell would.

    :class:`UsageError` where there is no command, and where the string needs a shell (``a && b``, ``$HOME``,
    ``A=1 b``); ``key`` says which setting it is.
    """
    words = _words(command, key) if isinstance(command, str) else list(command)
    if not words or not words[0]:
        raise UsageError(f"{key} is no command", hint="name a program, or leave the key out")
    return words


def _words(command: str, key: str) -> list[str]:
    command = _QUOTED.sub(lambda part: "" if part[0] == "\\\n" else part[0], command)  # a line goes on in the next
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{key}: {command!r} cannot be split into words: {error}") from error
    found = _needs_shell(command.strip())
    if found:
        shown = "a second line" if found == "\n" else repr(found)
        raise UsageError(
            f"{key}: {shown} needs a shell, and no shell reads commands here",
            hint=f'write the list ["sh", "-c", {command.strip()!r}], or put it into a script',
        )
    return words


def _needs_shell(command: str) -> str:
    """The first thing in it that is not passed on as it is written; empty where there is none."""
    assigned = _ASSIGNMENT.match(command)
    operator = _OPERATOR.search(_QUOTED.sub("_", command))
    expansion = _EXPANSION.search(_QUOTED.sub(lambda part: _ESCAPED.sub("_", part["double"] or "_"), command))
    return next((found[0] for found in (assigned, operator, expansion) if found), "")
