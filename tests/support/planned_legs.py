"""Planned legs for tests that need some, without a matrix."""

from __future__ import annotations

from typing import Any

import msgspec

from ci_envs.model.leg import make_leg
from ci_envs.model.plan import PlannedLeg

__all__ = ["planned"]


def planned(pattern: str = "uv", python: str = "3.12", **facts: Any) -> PlannedLeg:
    """A planned leg on a runner that anybody has; ``facts`` replace what it says."""
    of_leg = {name: facts.pop(name) for name in ("os", "arch", "accelerator", "project") if name in facts}
    leg = make_leg(pattern=pattern, python=python, **{"os": "linux", "arch": "x86_64", **of_leg})
    usual: dict[str, Any] = {
        **msgspec.structs.asdict(leg),
        "runs_on": "ubuntu-24.04",
        "timeout_minutes": 60,
        "cache_key": f"ci-envs-{leg.id}-0123456789abcdef",
        "reproduce": f"ci-envs run --only {leg.id}",
    }
    return PlannedLeg(**{**usual, **facts})
