"""A plan inside of a script: a here-document that no text of the plan can end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from ci_envs.model.plan import Plan

__all__ = ["held_plan"]

#: What ends the here-document: a line of JSON begins with another character.
_END = "END_OF_PLAN"


def held_plan(plan: Plan, path: str) -> str:
    """The lines of POSIX sh that write the plan to a file; ``path`` is a word of sh.

    The JSON is one line of ASCII, and nothing in it is expanded, since the delimiter is quoted.
    """
    text = json.dumps(msgspec.to_builtins(plan), separators=(",", ":"))
    return f"cat >{path} <<'{_END}'\n{text}\n{_END}\n"
