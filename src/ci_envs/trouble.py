"""Reads why a tool failed: the world (network, disk), the resolver, or a hash. Pure.

The sentences are those of uv 0.11 to 0.13 and of pip 23 to 26, seen by letting a local index misbehave
(``tests/component/test_faults.py`` keeps them true).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci_envs.command import Outcome

__all__ = ["hash_mismatch", "is_passing", "reason", "world_failed"]

_DISK = re.compile(
    r"No space left on device|Disk quota exceeded|os error 28|Errno 28|ENOSPC|There is not enough space",
    re.IGNORECASE,
)

_NETWORK = re.compile(
    r"error sending request|dns error|failed to lookup address|Temporary failure in name resolution"
    r"|Name or service not known|Connection refused|Connection reset|connection closed|Network is unreachable"
    r"|timed? ?out|Failed to establish a new connection|NewConnectionError|Max retries exceeded"
    r"|ReadTimeoutError|ConnectTimeoutError|ProtocolError|IncompleteRead|IncompleteDownload"
    r"|end of file before message length reached|error decoding response body"
    r"|HTTP status server error|HTTP error 5\d\d|5\d\d Server Error|\b50[0234] [A-Z]"
    r"|429 Too Many Requests|HTTP error 429|too many redirects|redirect loop|tunnel error|ProxyError"
    r"|certificate verify failed|invalid peer certificate|SSLError",
    re.IGNORECASE,
)

_DENIED = re.compile(
    r"\b(401|403) (Unauthorized|Forbidden|Client Error)|HTTP error 40[13]|lack of valid authentication",
    re.IGNORECASE,
)

_HASH = re.compile(
    r"Hash mismatch for|THESE PACKAGES DO NOT MATCH THE HASHES|Expected sha256|hash-checking mode", re.IGNORECASE
)

# What frames a resolver's sentence and says nothing itself.
_NOISE = re.compile(
    r"^(\s*$|WARNING:|DEPRECATION|Looking in |Using Python|Resolved |Collecting |  (Using|Downloading|Obtaining)"
    r"|\[notice\]|hint: Pre-rel|Traceback|  File )"
)


def world_failed(outcome: Outcome) -> str:
    """A sentence where it was the network, the index or the disk that failed; empty where it was not."""
    text = outcome.output
    if _DISK.search(text):
        return "the disk is full: " + _line(_DISK, text)
    if _HASH.search(text):
        return ""
    if outcome.timed_out:
        return f"{outcome.argv[0]} was ended after {outcome.seconds:.0f} s"
    if _DENIED.search(text):
        return "the package index refused us: " + _line(_DENIED, text)
    if _NETWORK.search(text):
        return "the package index did not answer as it should: " + _line(_NETWORK, text)
    return ""


def is_passing(outcome: Outcome) -> bool:
    """Whether the same command may go through in a moment: a refusal or a full disk will not."""
    text = outcome.output
    return not outcome.timed_out and not _DISK.search(text) and not _DENIED.search(text) and bool(_NETWORK.search(text))


def hash_mismatch(outcome: Outcome) -> bool:
    """Whether an installer stopped since a file is not the one that the lock names."""
    return bool(_HASH.search(outcome.output))


def reason(outcome: Outcome, *, lines: int = 12) -> str:
    """The tool's own sentence, trimmed to its reason: the last paragraph of errors, without progress lines."""
    said = [line.rstrip() for line in (outcome.stderr or outcome.stdout).splitlines() if not _NOISE.match(line)]
    start = next((i for i, line in enumerate(said) if re.match(r"\s*(error|ERROR)", line)), None)
    kept = said[start:] if start is not None else said[-lines:]
    advice = next((i for i, line in enumerate(kept) if line.startswith("hint:")), len(kept))
    kept = kept[: max(advice, 1)]
    return "\n".join(line for line in kept[:lines]).strip() or f"exit code {outcome.returncode}"


def _line(pattern: re.Pattern[str], text: str) -> str:
    found = next((line.strip() for line in reversed(text.splitlines()) if pattern.search(line)), "")
    return found if len(found) <= 300 else f"{found[:297]}..."
