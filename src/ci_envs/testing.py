"""The test stage: the project's own tests inside the environment, their JUnit XML kept, their counts read."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ci_envs.commandline import split
from ci_envs.durations import seconds
from ci_envs.errors import CiEnvsError, Skip, TestError
from ci_envs.layout import remove_tree
from ci_envs.model.record import TestCounts
from ci_envs.suite import test_command

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.command import Outcome
    from ci_envs.environments import Environment
    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

__all__ = ["run_tests", "verdict"]

#: pytest's exit code for "no tests were collected"
#: (https://docs.pytest.org/en/stable/reference/exit-codes.html).
_NOTHING_COLLECTED = 5


def run_tests(work: Work, lock: Lock, environment: Environment) -> tuple[TestCounts, str]:
    """Counts, and why the tests did not pass (empty where they did).

    Raises :class:`Skip` where the project has no tests that can be found.
    """
    argv = _argv(work, lock)
    junit = work.layout.junit(work.leg.id)
    junit.unlink(missing_ok=True)
    outcome = environment.run(
        argv,
        cwd=work.project.root,
        env=_report_to(junit, work.environ.get("PYTEST_ADDOPTS", "")),
        timeout=seconds(work.config.test.timeout),
        log=work.log,
    )
    remove_tree(work.temp)
    counts = _counts(junit, shlex.join(argv), work)
    if outcome.returncode == _NOTHING_COLLECTED and junit.exists():
        raise Skip("pytest found no tests")
    return counts, _why(outcome, work)


def verdict(counts: TestCounts, why: str) -> CiEnvsError:
    """The error of a test stage that did not pass."""
    failed = f"{counts.failed} of {counts.failed + counts.passed} tests failed" if counts.failed else ""
    return TestError(f"{failed}: {why}" if failed and why else failed or why)


def _argv(work: Work, lock: Lock) -> list[str]:
    if work.config.test.command:
        return split(work.config.test.command, "test.command")
    found = test_command(work.project, frozenset(pin.name for pin in lock.pins))
    if found is None:
        raise Skip("no test command found")
    return list(found.argv)


def _report_to(junit: Path, options: str) -> dict[str, str]:
    """pytest reads these beside its arguments, however deep in a command it is started."""
    return {"PYTEST_ADDOPTS": f"{options} {shlex.quote(f'--junitxml={junit}')}".strip()}


def _counts(junit: Path, command: str, work: Work) -> TestCounts:
    if not junit.is_file():
        return TestCounts(command=command)
    try:
        suites = list(ET.parse(junit).getroot().iter("testsuite"))  # noqa: S314 - expat ends entity bombs since 2.4.1
    except ET.ParseError:
        return TestCounts(command=command)
    total, failures, errors, skipped = (
        sum(int(suite.get(name, "0")) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    bad = failures + errors
    return TestCounts(
        passed=max(0, total - bad - skipped),
        failed=bad,
        skipped=skipped,
        junit=work.layout.shown(junit),
        command=command,
    )


def _why(outcome: Outcome, work: Work) -> str:
    if outcome:
        return ""
    if outcome.timed_out:
        return f"the tests were ended after {outcome.seconds:.0f} s (test.timeout)"
    return f"exit code {outcome.returncode}; the log has all of it: {work.layout.shown(work.log)}"
