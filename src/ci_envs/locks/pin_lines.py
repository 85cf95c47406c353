"""The line of a lock file on which a pin stands. Pure."""

from __future__ import annotations

import re

__all__ = ["pin_line"]

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(?:===?|@)")
#: The first key of a package in uv.lock and in pylock.toml, as their tools write it.
_TOML_NAME = re.compile(r'name\s*=\s*["\'](?P<name>[^"\']+)["\']')


def pin_line(text: str, name: str) -> int:
    """The 1-based line of a distribution's pin in a requirements lock, uv.lock or pylock.toml; 0 where it has none.

    ``name`` is normalised. Of several pins of one name (a fork of uv.lock) it is the first.
    """
    from packaging.utils import canonicalize_name  # only a build that failed pays for it

    pattern = _TOML_NAME if re.search(r"^\[\[packages?\]\]", text, re.MULTILINE) else _REQUIREMENT
    for number, line in enumerate(text.splitlines(), 1):
        found = pattern.match(line)
        if found and canonicalize_name(found["name"]) == name:
            return number
    return 0
