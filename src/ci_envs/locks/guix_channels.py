"""Reads ``channels.scm``: the channels that a project's packages come from, each at a commit. Pure.

The file is Scheme, and guix evaluates it. Here only the form is understood that ``guix describe -f channels`` writes
and the manual has (https://guix.gnu.org/manual/en/html_node/Replicating-Guix.html): a list of channels with literal
fields. guix itself is not asked in its place, since what it answers for a channel without a commit is the commit of
this minute.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from ci_envs.locks.nix_sources import is_revision, public_address
from ci_envs.model.lock import Pin

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Channel", "NotLiteralError", "read_channels", "written_without_commits"]

_COMMENT = re.compile(r'("[^"\\]*")|;[^\n]*')

_BEGIN = re.compile(r"(?:\s*\(use-modules(?:\s+\([\w\s-]+\))+\s*\))*\s*\(\s*list(?=[\s()])")
_CHANNEL = re.compile(r"\s*(?P<form>\(\s*channel)(?=[\s(])")
_FIELD = re.compile(
    r"""\s*\(\s*(?:name\s+'(?P<name>[^\s()"';]+)"""
    r"""|(?P<key>url|branch|commit)\s*"(?P<text>[^"\\]*)\""""
    r"""|introduction\s*(?P<introduction>\(\s*make-channel-introduction\s*"[^"\\]*"\s*"""
    r"""\(\s*openpgp-fingerprint\s*"[^"\\]*"\s*\)\s*\)))\s*\)"""
)
_CLOSE = re.compile(r"\s*\)")
_END = re.compile(r"\s*\Z")


class NotLiteralError(ValueError):
    """The file is something else than a list of channels with literal fields; ``line`` is 1-based."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One channel as it is written."""

    name: str = ""
    #: As guix fetches it.
    url: str = ""
    branch: str = ""
    #: Empty where the tip of the branch is meant.
    commit: str = ""
    #: Whom guix trusts to have signed it, in Scheme.
    introduction: str = ""
    #: 1-based.
    line: int

    @property
    def is_fixed(self) -> bool:
        """Whether it is the same on each day: an abbreviated commit, or a tag, may mean another tomorrow."""
        return is_revision(self.commit)

    @property
    def pin(self) -> Pin:
        """Its normal form."""
        return Pin(name=self.name, version=self.commit, source="input", location=public_address(self.url))


def read_channels(text: str) -> tuple[Channel, ...]:
    """The channels of a file, one at least. :class:`NotLiteralError` where it is not in the form understood here."""
    bare = _COMMENT.sub(lambda found: found[1] or "", text)
    place, channels = _after(_BEGIN, bare, 0, "(list (channel ...) ...)"), []
    while found := _CHANNEL.match(bare, place):
        line, place, fields = bare.count("\n", 0, found.start("form")) + 1, found.end(), dict[str, str]()
        while field := _FIELD.match(bare, place):
            told = {name: value for name, value in field.groupdict().items() if value is not None}
            fields |= {told.pop("key"): told.pop("text")} if "key" in told else told
            place = field.end()
        place = _after(_CLOSE, bare, place, "a field with a literal value")
        if not (fields.get("name") and fields.get("url")):
            raise NotLiteralError("a channel lacks its name or its url", line)
        channels.append(Channel(line=line, **fields))
    _after(_END, bare, _after(_CLOSE, bare, place, "(channel ...)"), "nothing more")
    if not channels:
        raise NotLiteralError("it lists no channel", 1)
    return tuple(channels)


def written_without_commits(channels: Iterable[Channel]) -> str:
    """The channels at the tips of their branches, as a file for ``guix time-machine --channels``."""
    return f"(list {' '.join(map(_at_tip, channels))})\n"


def _at_tip(one: Channel) -> str:
    branch = f' (branch "{one.branch}")' if one.branch else ""
    introduction = f" (introduction {one.introduction})" if one.introduction else ""
    return f'(channel (name \'{one.name}) (url "{one.url}"){branch}{introduction})'


def _after(pattern: re.Pattern[str], text: str, place: int, expected: str) -> int:
    found = pattern.match(text, place)
    if found is None:
        place += len(text[place:]) - len(text[place:].lstrip())
        there = text[place:].partition("\n")[0][:60] or "the end of the file"
        raise NotLiteralError(f"{expected} is expected, and not {there}", text.count("\n", 0, place) + 1)
    return found.end()
