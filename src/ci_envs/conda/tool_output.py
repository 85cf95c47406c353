"""What conda, mamba and micromamba say of a failure. Pure.

conda with ``--json`` answers with its exception (conda/exceptions.py); mamba writes to standard error what it logs
(libmamba/src/core/package_fetcher.cpp and transaction.cpp). Neither could be run where this was written: the sentences
are those of their sources (conda 26.7, libmamba 2.8), and what cannot be read is told as it was said.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.command import Outcome

__all__ = ["Failure", "read_failure"]

_MAMBA_HASH = re.compile(
    r"File not valid: (?P<what>\S+)(?: sum)? doesn't match expectation \"?(?P<file>[^\"\n]+?)\"?\s*\n"
    r"\s*Expected: (?P<expected>\S+)\s*\n\s*Actual: (?P<actual>\S+)"
)
_MAMBA_DOWNLOAD = re.compile(r"Failed to download package from (?P<url>\S+) \(status (?P<status>\d+)\)")
_MAMBA_EXTRACT = re.compile(r"Error when extracting package: (?P<said>[^\n]*)")
_HTTP_STATUS = re.compile(r"HTTP (?P<status>\d{3})\b")
_LOG_LEVEL = re.compile(r"^(?:critical|error|warning)\s+libmamba\s+|^(?:critical|error)\s*:?\s+", re.IGNORECASE)

_DAMAGED = ("SafetyError", "CondaVerificationError", "InvalidArchiveError", "CorruptedEnvironmentError")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a tool stopped."""

    kind: Literal["hash", "download", "offline", "damaged", "padding", "disk", "other"]
    #: The tool's own sentence.
    said: str
    #: The package that it is about: its address, or the name of its file; empty where it does not say.
    about: str = ""
    #: ``sha256:<hex>`` or ``md5:<hex>``.
    expected: str = ""
    actual: str = ""


def read_failure(outcome: Outcome) -> Failure:
    """The reason, the most telling one where there are several."""
    found = [*_of_conda(outcome.stdout), *_of_mamba(outcome.output)]
    order = ("disk", "hash", "damaged", "download", "offline", "padding", "other")
    return min(found, key=lambda failure: order.index(failure.kind), default=Failure("other", _last_words(outcome)))


def _of_conda(text: str) -> Iterator[Failure]:
    start = text.find("{")
    try:
        told = json.loads(text[start:]) if start >= 0 else {}
    except ValueError:
        return
    waiting: list[Any] = [told]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, dict):
            continue
        waiting += one.get("errors") or ()
        name, said = str(one.get("exception_name") or ""), str(one.get("message") or one.get("error") or "")
        if name and not one.get("errors"):
            yield _conda_exception(name, said, one)


def _conda_exception(name: str, said: str, told: dict[str, Any]) -> Failure:
    about = str(told.get("url") or "")
    if name == "ChecksumMismatchError":
        kind = str(told.get("checksum_type") or "sha256")
        expected, actual = (f"{kind}:{told.get(key, '')}" for key in ("expected_checksum", "actual_checksum"))
        return Failure("hash", said, about, expected, actual)
    if name == "CondaHTTPError":
        status = _HTTP_STATUS.search(said)
        return Failure("download", f"status {status['status']}: {said}" if status else said, about)
    if name == "NoSpaceLeftError":
        return Failure("disk", said)
    if name == "OfflineError":
        return Failure("offline", said, about)
    if name == "PaddingError":
        return Failure("padding", said)
    return Failure("damaged" if name in _DAMAGED else "other", said, about)


def _of_mamba(text: str) -> Iterator[Failure]:
    for found in _MAMBA_HASH.finditer(text):
        kind = "md5" if "md5" in found["what"].lower() else "sha256"
        name = re.split(r"[/\\]", found["file"])[-1]
        yield Failure("hash", found[0], name, f"{kind}:{found['expected']}", f"{kind}:{found['actual']}")
    for found in _MAMBA_DOWNLOAD.finditer(text):
        yield Failure("download", f"status {found['status']}", found["url"])
    for found in _MAMBA_EXTRACT.finditer(text):
        yield Failure("damaged", found["said"])
    if "No space left on device" in text:
        yield Failure("disk", "No space left on device")


def _last_words(outcome: Outcome) -> str:
    lines = [_LOG_LEVEL.sub("", line).strip() for line in outcome.output.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {outcome.returncode}"
