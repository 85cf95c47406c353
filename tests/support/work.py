"""One leg's workbench and order, for tests that run a stage on their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.environments import an_inventory

from ci_envs.content import HashCache
from ci_envs.layout import Layout
from ci_envs.model.config import Config
from ci_envs.model.leg import make_leg
from ci_envs.model.record import STAGES
from ci_envs.order import Order
from ci_envs.project import Project
from ci_envs.selection import Selection
from ci_envs.work import LockPolicy, Work

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_envs.model.leg import Leg

__all__ = ["a_leg", "a_work", "an_order"]


def a_leg(**facts: Any) -> Leg:
    """``uv-py312-linux-x86_64``, but for ``facts``."""
    return make_leg(**{"pattern": "uv", "python": "3.12", "os": "linux", "arch": "x86_64", **facts})


def an_order(folder: Path, *, leg: Leg | None = None, config: Config | None = None, **more: Any) -> Order:
    """All stages of a leg, of the project in ``folder``."""
    usual: dict[str, Any] = {
        "policy": LockPolicy(mode="auto"),
        "layout": Layout.at(folder, {}),
        "environ": {},
        "stages": frozenset(STAGES),
        "hashes": HashCache(),
    }
    return Order(leg=leg or a_leg(), config=config or Config(), **{**usual, **more})


def a_work(
    folder: Path,
    *,
    stage: str = "test",
    leg: Leg | None = None,
    config: Config | None = None,
    environ: Mapping[str, str] | None = None,
) -> Work:
    """The workbench of that leg, at a stage."""
    leg = leg or a_leg()
    return Work(
        leg=leg,
        project=Project(folder),
        config=config or Config(),
        layout=Layout.at(folder, {}),
        interpreter=an_inventory().interpreter,
        selection=Selection(),
        policy=LockPolicy(mode="auto"),
        environ=environ or {},
        stage=stage,
    )
