"""Every top-level module of the direct dependencies imports, each in a process of its own."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from ci_envs.durations import seconds
from ci_envs.model.record import Finding
from ci_envs.resources import probe_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.checks import Context
    from ci_envs.command import Outcome

__all__ = ["DirectDependenciesImport", "modules_to_import"]


class DirectDependenciesImport:
    """A crash or a hang of one import is a finding and not the end: nobody shares its process."""

    code = "ENV301"
    title = "does not import"

    def run(self, context: Context) -> Iterator[Finding]:
        """ENV301 where an import raises, ENV302 where it takes too long, ENV303 where it kills its interpreter."""
        wanted = modules_to_import(context)
        with ThreadPoolExecutor(max_workers=max(1, context.workers)) as pool:
            outcomes = list(pool.map(lambda module: _import(context, module), wanted))
        for module, outcome in zip(wanted, outcomes, strict=True):
            finding = _judge(module, wanted[module], outcome)
            if finding is not None:
                yield finding


def modules_to_import(context: Context) -> dict[str, str]:
    """Module -> the distribution that brings it: of the direct dependencies and of the project itself.

    A module whose name begins with an underscore is its distribution's own business.
    """
    skip = set(context.config.skip_imports)
    direct = {requirement.name for requirement in context.lock.direct} | context.own
    wanted = {
        module: distribution.name
        for distribution in context.inventory.distributions
        if distribution.name in direct and distribution.name not in skip
        for module in distribution.modules
        if not module.startswith("_") and module not in skip
    }
    return wanted | dict.fromkeys(context.config.imports, "check.imports")


def _import(context: Context, module: str) -> Outcome:
    return context.environment.run(
        [str(context.environment.python), "-s", "-", "import", module],
        timeout=seconds(context.config.timeout),
        log=context.log,
        stdin=probe_text(),
    )


def _judge(module: str, distribution: str, outcome: Outcome) -> Finding | None:
    named = module if module == distribution else f"{module} (of {distribution})"
    if outcome.timed_out:
        return _finding("ENV302", "import hangs", f"import of {named} was ended after {outcome.seconds:.0f} s")
    if outcome.returncode < 0:
        return _finding("ENV303", "import crashes", f"import of {named} ended its interpreter by {_signal(outcome)}")
    if not outcome:
        return _finding("ENV301", "does not import", f"import of {named} failed: {_said(outcome)}")
    return None


def _signal(outcome: Outcome) -> str:
    try:
        return signal.Signals(-outcome.returncode).name
    except ValueError:
        return f"signal {-outcome.returncode}"


def _said(outcome: Outcome) -> str:
    """The error that the probe caught; the last line of what was said where the module ended the process itself."""
    last = (outcome.stdout.strip().splitlines() or [""])[-1]
    try:
        answer = msgspec.json.decode(last)
        return str(answer["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return outcome.tail(1) or f"exit code {outcome.returncode}"


def _finding(code: str, title: str, message: str) -> Finding:
    return Finding(code=code, severity="error", title=title, message=message)
