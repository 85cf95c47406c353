"""Reads why a tool failed: the world (network, disk), the resolver, or a hash. Pure.

The sentences are those of uv 0.11 to 0.13 and of pip 23 to 26, seen by letting a local index misbehave
(``tests/component/test_faults.py`` keeps them true). Only lines in which a tool complains are read for the network's
failures: a resolver's sentence may well be about a package called ``pytest-timeout``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.command import Outcome

__all__ = ["about_pin", "damaged", "from_pip_log", "gone", "hash_mismatch", "is_passing", "reason", "world_failed"]

#: A resolver can fill pages; the log has all of it.
LONGEST_REASON = 600

# Where a tool says what went wrong: lines of uv, git, pip, apt and curl, of a traceback, and of pip's log (below).
_COMPLAINT = re.compile(
    r"\s*(?:error|cause|Caused by|hint|fatal|ERROR|E): ?|\s*[\u00d7\u251c\u2570]\S* "
    r"|(?:[A-Za-z_]\w*\.)*[A-Z]\w+: |Could not fetch URL |curl: \(\d+\) "
)
# What a resolver says of packages, and pip of a request that it makes once more.
_NO_COMPLAINT = re.compile(
    r"\s*(?:cause:|Caused by:|\u2570\S*) Because |WARNING: "
    r"|.*(?:No matching distribution|Could not find a version|Cannot install) "
)

_DISK = re.compile(
    r"No space left on device|Disk quota exceeded|os error 28\b|Errno 28\b|ENOSPC|There is not enough space",
    re.IGNORECASE,
)

# These may go through in a moment.
_PASSING = re.compile(
    r"error sending request|dns error|failed to lookup address|name resolution|Name or service not known"
    r"|Failed to resolve IP|Could not resolve host|Failed to connect to|Failed to establish a new connection"
    r"|Connection (?:refused|reset|broken|aborted|timed out)|connection (?:closed|error)|Network is unreachable"
    r"|No route to host|operation timed out|network timeout|Read timed out|didn't respond within|connection-timeout"
    r"|NewConnectionError|Max retries exceeded|ReadTimeoutError|ConnectTimeoutError|ProtocolError|IncompleteRead"
    r"|incomplete-download|end of file before message length|error decoding response body|failed to decode it"
    r"|HTTP status server error|HTTP error 5\d\d|\b5\d\d Server Error|too many 5\d\d error responses"
    r"|\b429 Too Many|\b429 Client Error|HTTP error 429|tunnel error|ProxyError"
    r"|Unable to connect to|Could not connect to|Temporary failure resolving",
    re.IGNORECASE,
)
# These will not.
_LASTING = re.compile(
    r"certificate verify failed|invalid peer certificate|SSLError|InvalidContentType|too many redirects"
    r"|Exceeded \d+ redirects|redirect loop|Missing `Content-Type` header|unexpected JSON|JSONDecodeError",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\b(?:401|403|407) (?:Unauthorized|Forbidden|Client Error|Proxy)|HTTP error 40[137]|\(40[137] ",
    re.IGNORECASE,
)

_HASH = re.compile(r"Hash mismatch for|DO NOT MATCH THE HASHES|Expected sha256", re.IGNORECASE)
_DAMAGED = re.compile(r"Failed to extract archive|Invalid zip file|Bad CRC|BadZipFile|not a zip file|invalid wheel")

_GONE = (
    re.compile(r"Because (?P<name>\S+) was not found in the (?:package registry|provided package locations)"),
    re.compile(r"Because there is no version of (?P<name>\S+)"),
    re.compile(r"No matching distribution found for (?P<name>\S+)"),
    re.compile(r"Failed to (?:download|fetch|read) `(?P<name>[^`]+)`(?:\n.*){0,4}\(404 "),
    re.compile(r"(?:HTTP error 404 while getting|404 Client Error: Not Found for url:) \S*/(?P<name>[^\s/]+)"),
)

#: A locked package that an installer names: one with another hash, one that cannot be unpacked, built or found.
_PINS = (
    re.compile(r"Hash mismatch for `(?P<name>[\w.-]+?)==[^`]*`"),
    re.compile(r"^\s+(?P<name>[\w.-]+)==\S+(?: --hash\S*)? from \S.*\n\s+Expected sha256", re.MULTILINE),
    re.compile(r"Failed to (?:build|download|download and build|read|fetch|prepare|unzip) `(?P<name>[\w.-]+?)==[^`]*`"),
    re.compile(r"(?:there is no version of|No matching distribution found for) (?P<name>[\w.-]+)=="),
)

# The parts of pip's log that it keeps from its streams when it is quiet, each behind a time of day.
_LOG_TIME = re.compile(r"^\d{4}-\d\d-\d\dT[\d:,]+ {1,3}")
_FETCH = "Could not fetch URL "
_FETCH_OF = re.compile(rf"{_FETCH}\S*/(?P<name>[^\s/]+)/?: ")
#: What pip has found for a name, where that is nothing at all.
_NONE_SEEN = re.compile(r"\s*Given no hashes to check 0 links for project '(?P<name>[^']+)'")
# Who asked for what: "Collecting layer (from basket->-r requirements.in (line 1))".
_COLLECTING = re.compile(r"\s*Collecting \S+.* \(from .*\)$")
_WRONG_TAGS = re.compile(r"\s*Skipping link: none of the wheel's tags \((?P<tags>[^)]*)\) are compatible")
_OTHER_PYTHON = re.compile(r"\s*ERROR: (Ignored the following versions that require a different python version: .*)")
_BUILD_ENDED = re.compile(r"\s*ERROR: .* exited with \d+$")
_BUILD_STEP = re.compile(r"\s*\u00d7 (?P<step>.+ did not run successfully)")
_BUILD_SAID = "The build said: "
_CONFLICT = "The conflict is caused by:"
#: Of a conflict's lines, one for each candidate that was tried.
_CONFLICT_LINES = 6

_FROM = re.compile(r" \(from (?!versions)[^()]*(?:\([^()]*\)[^()]*)*\)")
_EXCEPTION = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w+: ")
# uv draws a tree where it thinks that a person looks.
_UV_ERROR = re.compile(r"error: | +\u00d7 ")
_UV_CAUSE = re.compile(r" +(?:(?:cause|Caused by): |[\u251c\u2570]\u2500\u25b6 )(.*)")

# What uv puts around a reason and says nothing itself.
_FRAME = re.compile(r"No solution found|Failed to build `(?:/|[A-Za-z]:)|The build backend returned an error")

# requests wraps what urllib3 says, and shows pairs of arguments as Python does.
_RETRIES = re.compile(r"Max retries exceeded with url: (?P<path>\S+) \(Caused by \w+\((?P<reason>.*?)\)\)")
_PAIR = re.compile(r"""\((?P<quote>['"])(?P<said>.+?)(?P=quote), \w+\(.*\)\)$""")
_URL = re.compile(r"https?://[^\s)'\"`]+?(?=:?(?:[\s)'\"`]|$))")


def world_failed(outcome: Outcome) -> str:
    """A sentence where it was the network, the index or the disk that failed; empty where it was not."""
    text = outcome.output
    if found := _DISK.search(text):
        return f"the disk is full: {_line_at(text, found)}"
    if _HASH.search(text):
        return ""
    if outcome.timed_out:
        return f"{outcome.argv[0]} was ended after {outcome.seconds:.0f} s"
    said = _complaints(text)
    if denied := _last(_DENIED, said):
        return f"the package index refused us: {denied}"
    if failed := _last(_PASSING, said) or _last(_LASTING, said):
        return f"the package index did not answer as it should: {failed}{_about(failed, said)}"
    return ""


def is_passing(outcome: Outcome) -> bool:
    """Whether the same command may go through in a moment: a refusal or a full disk will not."""
    if outcome.timed_out or _DISK.search(outcome.output):
        return False
    said = _complaints(outcome.output)
    return bool(_last(_PASSING, said)) and not _last(_LASTING, said) and not _last(_DENIED, said)


def hash_mismatch(outcome: Outcome) -> bool:
    """Whether an installer stopped since a file is not the one that the lock names."""
    return bool(_HASH.search(outcome.output))


def damaged(outcome: Outcome) -> bool:
    """Whether a file could not even be unpacked, so that no hash was compared."""
    return bool(_DAMAGED.search(outcome.output))


def gone(outcome: Outcome) -> str:
    """What an installer did not find on the index: a name, a name and version, or a file; empty where all was there.

    Only of use for what is locked, and so was there once: a resolver says the same of what never was.
    """
    found = next((found for pattern in _GONE if (found := pattern.search(outcome.output))), None)
    return found["name"].rstrip(".,") if found else ""


def about_pin(outcome: Outcome) -> str:
    """The name, as the installer has it, of the locked package that could not be installed; empty where it named none.

    Only of use where every package has one pin, as it has in a lock.
    """
    found = next((found for pattern in _PINS if (found := pattern.search(outcome.output))), None)
    return found["name"] if found else ""


def from_pip_log(text: str) -> str:
    """What of a log of pip (``PIP_LOG``) tells the reason of a failure.

    A quiet pip says "No matching distribution" of a page that answers 500 just as of one that is not there; and that
    versions conflict, but not which. Its log has both, and tells which requirement led to a package. With a constraint
    it says that they conflict even of what it has seen no version of.
    """
    kept: list[str] = []
    asked: list[str] = []
    in_conflict, raised = False, ""
    for line in text.splitlines():
        plain = _LOG_TIME.sub("", line)
        if _COLLECTING.match(plain) or _WRONG_TAGS.match(plain) or _NONE_SEEN.match(plain):
            asked.append(plain.strip())
        if plain.startswith(_FETCH) or "Could not find a version that satisfies" in plain:
            kept.append(plain)
        if _BUILD_ENDED.match(plain) and raised:
            kept.append(f"{_BUILD_SAID}{raised}")
        raised = plain.strip() if _EXCEPTION.match(plain.strip()) and "ERROR" not in plain else raised
        in_conflict = (in_conflict or plain.startswith(_CONFLICT)) and bool(plain.strip())
        if in_conflict:
            kept.append(plain)
    return "\n".join(dict.fromkeys([*asked, *kept]))


def reason(outcome: Outcome) -> str:
    """The tool's own sentence in one line, trimmed to its reason: no progress, no traceback, no advice."""
    lines = (outcome.stderr or outcome.stdout).splitlines()
    said = _of_build(lines) or _of_uv(lines) or _of_conflict(lines) or _of_pip(lines) or " ".join(lines[-3:])
    plain = " ".join(_FROM.sub("", said).split()).rstrip(".")
    if len(plain) > LONGEST_REASON:
        plain = f"{plain[: LONGEST_REASON - 3]}..."
    return plain or f"exit code {outcome.returncode}"


def _of_uv(lines: list[str]) -> str:
    """``error: A`` with its ``cause: B`` below is "A: B"; of a build's own output it is the last line."""
    start = next((number for number, line in enumerate(lines) if _UV_ERROR.match(line)), None)
    if start is None:
        return ""
    parts = [_UV_ERROR.sub("", lines[start], count=1)]
    in_output = False
    for line in lines[start + 1 :]:
        plain = line.strip(" \u2502")
        if plain.startswith("hint:"):
            break
        if plain in ("[stdout]", "[stderr]"):
            in_output = True
            parts.append("")
        elif cause := _UV_CAUSE.match(line):
            parts.append(cause[1])
        elif plain:
            parts[-1] = plain if in_output else f"{parts[-1]} {plain}"
    if parts[-1].startswith("Call to ") and (last := next(filter(_EXCEPTION.match, reversed(lines[:start])), "")):
        parts.append(last)  # `uv build` lets a backend speak for itself, and speaks after it
    return ": ".join(filter(None, [*(part for part in parts[:-1] if not _FRAME.match(part)), parts[-1]]))


def _of_conflict(lines: list[str]) -> str:
    if _CONFLICT not in lines:
        return ""
    rows = [line.strip() for line in lines[lines.index(_CONFLICT) + 1 :] if line.strip()]
    more = f"; and {len(rows) - _CONFLICT_LINES} more" if len(rows) > _CONFLICT_LINES else ""
    return f"{_CONFLICT} {'; '.join(rows[:_CONFLICT_LINES])}{more}"


def _of_build(lines: list[str]) -> str:
    """The step of a build that pip has seen fail, and what the build has raised."""
    step = next((found["step"] for line in lines if (found := _BUILD_STEP.match(line))), "")
    said = next((line for line in lines if line.startswith(_BUILD_SAID)), "")
    return f"{step}: {said.removeprefix(_BUILD_SAID)}" if step and said else step


def _of_pip(lines: list[str]) -> str:
    """pip's last error with the lines that belong to it, else the exception that a traceback ends with."""
    errors = [number for number, line in enumerate(lines) if line.startswith("ERROR: ")]
    errors = [n for n in errors if "No matching distribution" not in lines[n]] or errors
    if errors:
        after = lines[errors[-1] + 1 :]
        more = next((number for number, line in enumerate(after) if not line.startswith("    ")), len(after))
        said = " ".join([lines[errors[-1]].removeprefix("ERROR: "), *after[: min(more, 6)]])
        return "; ".join([said, *_why_none(lines)])
    exceptions = [line for line in lines if _EXCEPTION.match(line)]
    return _EXCEPTION.sub("", exceptions[-1], count=1) if exceptions else ""


def _why_none(lines: list[str]) -> Iterator[str]:
    """What pip has left out, and so takes for not there: versions for other Pythons, files for other platforms."""
    if other := next((found[1] for line in lines if (found := _OTHER_PYTHON.match(line))), ""):
        yield f"{other[0].lower()}{other[1:]}"
    if any("(from versions: none)" in line for line in lines):
        tags = [found["tags"] for line in lines if (found := _WRONG_TAGS.match(line))]
        yield from (f"its wheels are for {one}" for one in tags[-1:])


def _complaints(text: str) -> list[str]:
    """The lines that may tell of the network."""
    return list(_complaining(text))


def _complaining(text: str) -> Iterator[str]:
    # Versions that are there and do not go together are no news of the index, whatever a second one says beside it.
    about_versions = "conflicting dependencies" in text
    unseen = {_normalised(found["name"]) for line in text.splitlines() if (found := _NONE_SEEN.match(line))}
    unsolved = "No solution found" in text and not re.search(r"was not found in the|no version of", text)
    for line in text.splitlines():
        if not _COMPLAINT.match(line) or _NO_COMPLAINT.match(line):
            continue
        if unsolved and line.lstrip().startswith("hint:"):
            continue
        if about_versions and line.startswith(_FETCH):
            page = _FETCH_OF.match(line)
            if page is None or _normalised(page["name"]) not in unseen:
                continue
        yield line


def _normalised(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)


def _last(pattern: re.Pattern[str], lines: list[str]) -> str:
    found = _polished(next((line for line in reversed(lines) if pattern.search(line)), ""))
    return found if len(found) <= 300 else f"{found[:297]}..."


def _polished(line: str) -> str:
    """A complaint as a person would say it: without its mark, and without the exceptions it is wrapped in."""
    plain = _COMPLAINT.sub("", line, count=1).strip().removesuffix(" - skipping")
    plain = _FROM.sub("", plain)
    if wrapped := _RETRIES.search(plain):
        plain = f"{wrapped['reason'].strip(chr(34) + chr(39))}, for {wrapped['path']}"
    if pair := _PAIR.match(plain):
        plain = pair["said"]
    return plain.rstrip(".")


def _about(sentence: str, lines: list[str]) -> str:
    """The address that a sentence such as "Connection refused" is about, where it does not name it itself."""
    found = next((found for line in lines if (found := _URL.search(line))), None)
    return f" ({found[0]})" if found and not _URL.search(sentence) else ""


def _line_at(text: str, found: re.Match[str]) -> str:
    line = text[text.rfind("\n", 0, found.start()) + 1 :].partition("\n")[0]
    return _COMPLAINT.sub("", line, count=1).strip()[:300]
