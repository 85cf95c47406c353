"""Credentials in the addresses of intent files: they are used, and written nowhere. Pure.

conda has two kinds (https://docs.conda.io/projects/conda/en/stable/user-guide/configuration/custom-channels.html):
``https://user:password@host/channel`` and ``https://host/t/<token>/channel``. A variable in their place (``$TOKEN``,
``${USER}``) is no secret, and conda-lock writes it into its lock files: it stays.
"""

from __future__ import annotations

import re

__all__ = ["shown_address", "shown_requirement"]

# Up to the last "@": people forget to write one in a password as "%40".
_USER = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*)://(?P<user>[^\s/'\"<>]+)@")
_TOKEN = re.compile(r"(?P<before>\b(?!file:)[A-Za-z][\w+.-]*://[^\s'\"]*?)/t/(?P<token>[^/\s'\":\[\],]+)")
_VARIABLE = r"\$(?:\w+|\{\w+\})"
_VARIABLES = re.compile(rf"{_VARIABLE}(?::{_VARIABLE})?")


def shown_address(text: str) -> str:
    """A channel, or a match spec that names one, without what is secret in its address."""
    return _TOKEN.sub(_without_token, _USER.sub(_without_user, text))


def shown_requirement(text: str) -> str:
    """A line below ``pip:`` without what is secret in its address; ``git@`` of an ssh address is not."""
    return _USER.sub(_without_user, text)


def _without_user(match: re.Match[str]) -> str:
    kept = _VARIABLES.fullmatch(match["user"]) or (match["scheme"].endswith("ssh") and ":" not in match["user"])
    return match[0] if kept else f"{match['scheme']}://"


def _without_token(match: re.Match[str]) -> str:
    return match[0] if _VARIABLES.fullmatch(match["token"]) else match["before"]
