"""``python -m ci_envs.action STEP``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ci_envs import console
from ci_envs.errors import CiEnvsError
from ci_envs.github import inputs
from ci_envs.github.runner import acting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """One step; answers with the exit code."""
    step = _STEPS.get(arguments[0]) if len(arguments) == 1 else None
    if step is None:
        raise SystemExit(f"usage: python -m ci_envs.action {'|'.join(_STEPS)}")
    try:
        return step()
    except CiEnvsError as error:
        console.show_error(error)
        return error.exit_code


def _prepare() -> int:
    from ci_envs.action.preparing import prepare

    prepare()
    return 0


def _run() -> int:
    if acting() == "leg":
        return _verb(inputs.leg_arguments(inputs.read_inputs(inputs.LegInputs)))
    return _verb(inputs.environment_arguments(inputs.read_inputs(inputs.EnvironmentInputs)))


def _plan() -> int:
    return _verb(inputs.plan_arguments(inputs.read_inputs(inputs.PlanInputs)))


def _shard() -> int:
    return _verb(inputs.shard_arguments(inputs.read_inputs(inputs.ShardInputs)))


def _collect() -> int:
    from ci_envs.action.collecting import collect

    collect(inputs.read_inputs(inputs.CollectInputs))
    return 0


def _report() -> int:
    from ci_envs.action.reporting import report

    given = inputs.read_inputs(inputs.ReportInputs)
    return report(given, lambda: _verb(inputs.report_arguments(given)))


def _verb(arguments: list[str]) -> int:
    from ci_envs.__main__ import main as ci_envs

    return ci_envs(arguments)


_STEPS: dict[str, Callable[[], int]] = {
    "prepare": _prepare,
    "run": _run,
    "plan": _plan,
    "shard": _shard,
    "collect": _collect,
    "report": _report,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
