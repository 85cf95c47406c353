"""What can be wrong with a workflow, apart from a job that fails."""

from __future__ import annotations

__all__ = ["NotKnownError", "RefusedError"]


class NotKnownError(AssertionError):
    """The workflow uses something that this runner does not know: a test that went on would prove nothing."""


class RefusedError(Exception):
    """GitHub would not start this run, or this job of it, and says why."""
