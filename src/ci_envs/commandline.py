"""A command as configuration spells it -> arguments. Pure; no shell ever reads it."""

from __future__ import annotations

import shlex

from ci_envs.errors import UsageError

__all__ = ["split"]

# What only a shell understands. "*" is left out: pytest's -k and globs of tools carry it rightly.
_SHELL = {"|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1"}


def split(command: str | list[str], key: str) -> list[str]:
    """The arguments. A list is taken as it is; a string is split as a POSIX shell would split words.

    :class:`UsageError` where the string needs a shell (``a && b``): ``key`` says which setting it is.
    """
    if isinstance(command, list):
        return command
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{key}: {command!r} cannot be split into words: {error}") from error
    found = next((word for word in words if word in _SHELL), None)
    if found is not None:
        raise UsageError(
            f"{key}: {found!r} needs a shell, and no shell reads commands here",
            hint=f'write the list ["sh", "-c", {command!r}], or put it into a script',
        )
    return words
