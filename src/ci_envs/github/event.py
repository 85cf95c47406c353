"""What made the workflow run: the tier that asks for, the labels of a pull request, what a change is held against.

The event's file is written by GitHub, but most of what is in it strangers have written: it is read up to a size, and
what is not of the kind it should be is taken for not there. Sources: "Events that trigger workflows" and "Webhook
events and payloads" (docs.github.com).
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Base", "change_bases", "pull_request_labels", "tier_by_event"]

#: GitHub sends no larger payload.
_MAX_BYTES = 25 * 1024 * 1024

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NONE = re.compile(r"0+")

_PULL_REQUESTS = ("pull_request", "pull_request_target", "pull_request_review")


@dataclass(frozen=True, slots=True)
class Base:
    """What the checked-out commit may be compared with."""

    #: Whether it may be: only where exactly this commit is checked out.
    head: str
    revision: str
    #: As people call it.
    name: str
    #: Whether the checked-out commit must be a merge, of ``revision`` and something else.
    of_merge: bool = False


def tier_by_event(environ: Mapping[str, str] = os.environ) -> str:
    """``pull-request``, ``nightly`` for a schedule, ``release`` for a release or a tag, else ``all``."""
    event = environ.get("GITHUB_EVENT_NAME", "")
    if event in _PULL_REQUESTS:
        return "pull-request"
    if event == "schedule":
        return "nightly"
    if event == "release" or environ.get("GITHUB_REF", "").startswith("refs/tags/"):
        return "release"
    return "all"


def pull_request_labels(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The labels that the pull request had when the event came about; none for other events."""
    if environ.get("GITHUB_EVENT_NAME") not in _PULL_REQUESTS:
        return ()
    labels = _at(_payload(environ), "pull_request", "labels")
    names = (_at(label, "name") for label in (labels if isinstance(labels, list) else ()))
    return tuple(name for name in names if isinstance(name, str))


def change_bases(environ: Mapping[str, str] = os.environ) -> tuple[Base, ...]:
    """What the change is held against, the best first; none where the event is about no change.

    Of a pull request GitHub checks out a merge of it with its base: the first parent is what it would change. Where its
    own head is checked out, its base is compared with that: what the base has gained meanwhile counts as changed then.
    """
    event, payload = environ.get("GITHUB_EVENT_NAME", ""), _payload(environ)
    found: list[Base] = []
    if event == "pull_request":
        found.append(Base(environ.get("GITHUB_SHA", ""), "HEAD^1", "the base branch", of_merge=True))
    if event in _PULL_REQUESTS:
        pull = _at(payload, "pull_request")
        found.append(Base(_commit(pull, "head", "sha"), _commit(pull, "base", "sha"), "the base branch"))
    if event == "push":
        found.append(Base(_commit(payload, "after"), _commit(payload, "before"), "the push before"))
    if event == "merge_group":
        group = _at(payload, "merge_group")
        found.append(Base(_commit(group, "head_sha"), _commit(group, "base_sha"), "the head of the queue"))
    return tuple(base for base in found if base.head and base.revision)


def _commit(value: Any, *keys: str) -> str:
    commit = _at(value, *keys)
    return commit if isinstance(commit, str) and _COMMIT.fullmatch(commit) and not _NONE.fullmatch(commit) else ""


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _payload(environ: Mapping[str, str]) -> Any:
    try:
        with Path(environ.get("GITHUB_EVENT_PATH") or os.devnull).open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        return json.loads(data) if 0 < len(data) <= _MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
