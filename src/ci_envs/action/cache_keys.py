"""What the caches of a leg go by: its lock, its interpreter, and all else that its build depends on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs import command
from ci_envs.building import build_inputs
from ci_envs.errors import CiEnvsError, InterruptedRun, LockError
from ci_envs.github.caching import cache_key
from ci_envs.github.inputs import LegInputs
from ci_envs.github.runner import temporary_folder
from ci_envs.layout import remove_tree
from ci_envs.matrices import INTENT_FILES, LOCK_FILES
from ci_envs.packages.restored import Creates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_envs.github.inputs import EnvironmentInputs
    from ci_envs.model.config import LockMode
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.order import Order
    from ci_envs.patterns import Pattern
    from ci_envs.work import Work

__all__ = ["CacheKeys", "cache_keys"]

#: Who built an interpreter, when, with which compiler, and what it takes for a module of its own.
_BUILD = "import sys, sysconfig; print(sys.version, sysconfig.get_config_var('EXT_SUFFIX'), sysconfig.get_platform())"


@dataclass(frozen=True, slots=True)
class CacheKeys:
    """The keys of one job; empty for a cache that it does not have."""

    packages: str = ""
    environment: str = ""
    #: The leg that they are for.
    leg: str = ""
    #: Why there is none, or what it goes by.
    why: str = ""


def cache_keys(inputs: EnvironmentInputs | LegInputs, environ: Mapping[str, str]) -> CacheKeys:
    """The keys for the leg that the inputs ask for.

    Where it cannot be told what that is, or where it cannot be built here, there are none: what is wrong is said by the
    run itself.
    """
    # Looking at a lock leaves a log; the project's own folder is the run's.
    state = temporary_folder(environ) / "ci-envs-keys"
    try:
        return _keys(inputs, environ, state)
    except InterruptedRun:
        raise
    except (CiEnvsError, OSError) as error:
        return CacheKeys(why=f"off: {error}")
    finally:
        remove_tree(state)


def _keys(inputs: EnvironmentInputs | LegInputs, environ: Mapping[str, str], state: Path) -> CacheKeys:
    from ci_envs.model.leg import STORED
    from ci_envs.order import prepare

    order = _order(inputs, environ)
    if order is None:
        return CacheKeys(why="off: it is not one leg that is asked for")
    policy, layout = replace(order.policy, mode=_reading(order), offline=True), replace(order.layout, state=state)
    pattern, work, _ = prepare(replace(order, policy=policy, layout=layout))
    if pattern.contained or pattern.name in STORED:
        return CacheKeys(why=f"off: pattern {pattern.name} has no package files")
    try:
        lock = _lock(order, work)
    except LockError as error:
        if order.policy.mode in ("locked", "frozen"):
            return CacheKeys(why=f"off: {error}")
        lock = None
    interpreter, digest, why = _interpreter(work, lock), lock.digest if lock else "", "by the lock"
    if lock is None:
        # A day is as long as one is served what an older day has resolved.
        interpreter += f".unlocked{datetime.now(UTC):%Y%m%d}"
        digest, why = _intent(work, order.leg), "by the intent files and the day, since this run makes the lock"
    key = partial(cache_key, pattern=pattern.name, interpreter=interpreter, suffix=inputs.cache_suffix, environ=environ)
    environment = ""
    if lock is not None and _keeps_environment(inputs, pattern, work):
        environment = key("environment", lock=_all_inputs(order, lock, work))
    return CacheKeys(packages=key("packages", lock=digest), environment=environment, leg=order.leg.id, why=why)


def _keeps_environment(inputs: EnvironmentInputs | LegInputs, pattern: Pattern, work: Work) -> bool:
    """Whether that was asked for, and the environment is of a kind that the next job can prove."""
    asked = isinstance(inputs, LegInputs) and inputs.cache_environment
    return asked and isinstance(pattern, Creates) and not work.installs_project


def _all_inputs(order: Order, lock: Lock, work: Work) -> str:
    """SHA-256 over everything that a build depends on, the lock and the environment's own path among it."""
    facts = {**build_inputs(order.leg, lock, work), "folder": str(order.layout.prefix(order.leg.id))}
    return hashlib.sha256(json.dumps(sorted(facts.items())).encode()).hexdigest()


def _order(inputs: EnvironmentInputs | LegInputs, environ: Mapping[str, str]) -> Order | None:
    """The one leg's; as ``ci-envs run`` has it for the same inputs."""
    from ci_envs.asking import Asked, orders_for

    root = Path(inputs.working_directory)
    mode = _mode(inputs.lock_mode)
    if isinstance(inputs, LegInputs):
        matrix = root / inputs.matrix if inputs.matrix else None
        asked = Asked(root=root, matrix=matrix, only=(inputs.leg,), mode=mode, as_of=inputs.as_of, environ=environ)
    else:
        pythons = (inputs.python_version,) if inputs.python_version else ()
        patterns, groups = (inputs.pattern,), inputs.groups
        asked = Asked(root=root, patterns=patterns, pythons=pythons, groups=groups, mode=mode, environ=environ)
    orders = orders_for(asked).orders
    return orders[0] if len(orders) == 1 else None


def _mode(text: str) -> LockMode | None:
    modes: tuple[LockMode, ...] = ("locked", "auto", "frozen", "update")
    return next((mode for mode in modes if mode == text), None)


def _reading(order: Order) -> LockMode:
    """How the lock is read beforehand: as it is, where the run takes it as it is; else only where it is in sync."""
    return "frozen" if order.policy.mode in ("locked", "frozen") else "locked"


def _lock(order: Order, work: Work) -> Lock:
    """The lock that the run will go by. :class:`LockError` where there is none yet, or it will be another one."""
    from ci_envs.patterns.registry import ALL_PATTERNS

    if order.policy.mode == "update":
        raise LockError("the lock is renewed")
    return ALL_PATTERNS[order.leg.pattern].lock(order.leg, work)


def _interpreter(work: Work, lock: Lock | None) -> str:
    """``cpython3.12.4.1f3a90c2``: the full version, and a word for the build of it; of conda's the lock tells both."""
    found = work.interpreter
    if not found.executable:
        pin = next((pin for pin in lock.of("conda") if pin.name == "python"), None) if lock else None
        return f"conda{pin.version}.{pin.build}" if pin else "conda"
    outcome = command.run(command.Command(argv=(found.executable, "-I", "-S", "-c", _BUILD), env=work.tool_environment))
    built = hashlib.sha256(outcome.stdout.encode()).hexdigest()[:8] if outcome else "unknown"
    return f"{found.implementation}{found.version}.{built}"


def _intent(work: Work, leg: Leg) -> str:
    """SHA-256 over the leg's id and the names and bytes of the files that it is locked from and the locks."""
    rows = [leg.id]
    for name in sorted({name for pattern in (*INTENT_FILES, *LOCK_FILES) for name in work.project.glob(pattern)}):
        rows += [name, work.file_digest(name)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
