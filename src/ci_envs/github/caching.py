"""Whether a job keeps a cache."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["cache_choice"]


def cache_choice(asked: str, environ: Mapping[str, str] = os.environ) -> tuple[bool, str]:
    """Whether the package cache is restored and saved, and the sentence that says why.

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
