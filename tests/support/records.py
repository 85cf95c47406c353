"""Records for tests that need some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ci_envs.model.inventory import Distribution
from ci_envs.model.leg import make_leg
from ci_envs.model.lock import Pin
from ci_envs.model.record import EnvironmentFacts, LockFacts, RunRecord, Stage, TestCounts

if TYPE_CHECKING:
    from ci_envs.model.record import StageName, Status

__all__ = ["ended", "record"]


def record(
    *,
    pattern: str = "uv",
    python: str = "3.12",
    project: str = ".",
    resolution: Any = "highest",
    status: Status = "passed",
    packages: dict[str, str] | None = None,
    **facts: Any,
) -> RunRecord:
    """A leg that went well, with these packages locked and installed; ``facts`` replace what it says."""
    leg = make_leg(pattern=pattern, python=python, os="linux", arch="x86_64", project=project, resolution=resolution)
    installed = packages if packages is not None else {"numpy": "2.1.0"}
    pins = tuple(
        Pin(name=name, version=version, hashes=(f"sha256:{name}{version}",)) for name, version in installed.items()
    )
    usual: dict[str, Any] = {
        "stages": tuple(
            Stage(name=name, status="passed", seconds=1.5) for name in ("detect", "lock", "build", "check", "test")
        ),
        "lock": LockFacts(path="uv.lock", format="uv.lock", sha256="ab", digest="sha256:" + "1" * 64, pins=pins),
        "environment": EnvironmentFacts(
            path=f".ci-envs/envs/{leg.id}", python=f"{python}.4", digest="sha256:" + "2" * 64
        ),
        "inventory": tuple(Distribution(name=name, version=version) for name, version in installed.items()),
        "tests": TestCounts(passed=3),
        "tools": {"uv": "0.13.8"},
        "written": "2026-01-02T03:04:05+00:00",
        "reproduce": f"ci-envs run --only {leg.id}",
    }
    return RunRecord(leg=leg, status=status, **{**usual, **facts})


def ended(
    name: StageName, status: Status = "failed", *, reason: str = "because", exit_code: int = 0, **facts: Any
) -> RunRecord:
    """A leg that ended at a stage."""
    stage = Stage(name=name, status=status, reason=reason, seconds=0.5, exit_code=exit_code)
    return record(status=status, reason=f"{name}: {reason}", stages=(stage,), **facts)
