"""Whether a job keeps a cache, and under which key."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ci_envs import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["cache_choice", "cache_key"]

#: Of one word of a key; GitHub takes 512 characters in all.
_MOST_OF_A_WORD = 48

#: Of a digest, how much of it is in a key: 128 bits.
_DIGEST = 32


def cache_choice(asked: str, environ: Mapping[str, str] = os.environ) -> tuple[bool, str]:
    """Whether caches are restored and saved, and the sentence that says why.

    A cache can be written by a run that is trusted less than the one that reads it, so ``auto`` keeps away from
    those that publish or that run with a base branch's rights. A self-hosted runner keeps its own.
    """
    if asked != "auto":
        return asked == "true", f"enable-cache is {asked}"
    event = environ.get("GITHUB_EVENT_NAME", "")
    if environ.get("GITHUB_REF", "").startswith("refs/tags/") or event == "release":
        return False, "auto: off for tags and releases"
    if event in ("pull_request_target", "workflow_run"):
        return False, f"auto: off for {event}"
    if environ.get("RUNNER_ENVIRONMENT") == "self-hosted":
        return False, "auto: off on self-hosted runners, which keep their own cache"
    if environ.get("UV_CACHE_DIR"):
        return False, "auto: off since UV_CACHE_DIR is set, and whoever set it keeps that cache"
    return True, "auto: on"


def cache_key(
    kind: str, *, pattern: str, interpreter: str, lock: str, suffix: str = "", environ: Mapping[str, str] = os.environ
) -> str:
    """``ci-envs-<kind>-<version>-<os>-<arch>-<image>-<pattern>-<interpreter>[-<suffix>]-<lock digest>``.

    ``lock`` is ``sha256:<hex>``. It comes last, at one length: GitHub restores what begins with a key where nothing has
    that key itself, and so no key begins with another. A runner that is not GitHub's has no image.

    https://docs.github.com/en/actions/reference/workflows-and-actions/dependency-caching#cache-key-matching
    """
    machine = (environ.get("RUNNER_OS", ""), environ.get("RUNNER_ARCH", ""), _image(environ))
    words = (kind, __version__, *(word or "unknown" for word in machine), pattern, interpreter)
    named = ["ci-envs", *map(_word, words), *([suffix] if suffix else [])]
    return "-".join([*named, lock.removeprefix("sha256:")[:_DIGEST]])


def _image(environ: Mapping[str, str]) -> str:
    """``ubuntu24.20261115.1``: GitHub's runners say which image they were started from, and which build of it."""
    return ".".join(filter(None, (environ.get("ImageOS", ""), environ.get("ImageVersion", ""))))


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9.+]+", "_", text.lower())[:_MOST_OF_A_WORD]
