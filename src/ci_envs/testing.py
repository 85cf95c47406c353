"""The test stage: the project's own tests inside the environment, their JUnit XML kept, their counts read.

Tests are counted where pytest runs them, however deep in a command it is started, and where the command is unittest's
own. What another runner says is not counted: its exit code alone decides. Where one command starts pytest several
times, each run replaces the report of the one before it, and the last is counted.
"""

from __future__ import annotations

import shlex
import shutil
import time
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import msgspec

from ci_envs.commandline import split
from ci_envs.durations import seconds
from ci_envs.endings import how_it_ended
from ci_envs.errors import CiEnvsError, Skip, TestError, ToolMissing
from ci_envs.layout import remove_tree
from ci_envs.model.detect import TestCommand
from ci_envs.model.record import TestCounts
from ci_envs.plain import plain
from ci_envs.suite import test_command
from ci_envs.suite_results import Results, located, read_junit, read_unittest, tells_of_tests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_envs.command import Outcome
    from ci_envs.environments import Environment
    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

__all__ = ["run_tests", "told"]

#: What pytest exits with where it collected no tests, and unittest from Python 3.12 on where it ran none:
#: https://docs.pytest.org/en/stable/reference/exit-codes.html, https://docs.python.org/3/library/unittest.html
_NO_TESTS = 5


def run_tests(
    work: Work, lock: Lock, environment: Environment, *, workers: int = 1, installed: frozenset[str] = frozenset()
) -> tuple[TestCounts, CiEnvsError | None]:
    """Counts, and the error that ends the stage: :class:`TestError`, or :class:`Skip` where no test was run.

    ``installed`` are names of distributions that are there beside what is locked: an image may be made without a lock.
    ``workers`` is this leg's share of the machine: what pytest-xdist takes ``-n auto`` for.
    Raises :class:`Skip` where the project has no tests that can be found, :class:`ToolMissing` where the command
    names a program that is not there.
    """
    chosen = _chosen(work, installed | {pin.name for pin in lock.pins})
    junit = work.layout.junit(work.leg.id)
    junit.unlink(missing_ok=True)
    started = time.time()
    shared = {"PYTEST_XDIST_AUTO_NUM_WORKERS": str(workers)}
    outcome = _run(work, environment, chosen, junit, shared | _said(work.environ))
    _keep_own_report(work, chosen.argv, junit, started)
    results, reported = _results(junit, outcome, chosen)
    _tell_failures(work, results)
    counts = TestCounts(
        passed=results.passed,
        failed=results.failed,
        skipped=results.skipped,
        junit=work.layout.shown(junit) if reported else "",
        command=shlex.join(chosen.argv),
        evidence=chosen.evidence,
        why=chosen.why,
    )
    return counts, _error(counts, outcome, work)


def _said(environ: Mapping[str, str]) -> dict[str, str]:
    """What the caller has decided holds."""
    name = "PYTEST_XDIST_AUTO_NUM_WORKERS"
    return {name: environ[name]} if name in environ else {}


def told(counts: TestCounts) -> str:
    """What the stage says when all is well."""
    if not counts.total:
        return "the command exited with 0; its tests are not counted, since it wrote no JUnit XML"
    return f"{counts.passed} passed" + (f", {counts.skipped} skipped" if counts.skipped else "")


def _chosen(work: Work, installed: frozenset[str]) -> TestCommand:
    configured = work.config.test.command
    if configured:
        argv = tuple(split(configured, "test.command"))
        runner: Literal["pytest", "unittest"] = "unittest" if "unittest" in argv else "pytest"
        return TestCommand(argv=argv, runner=runner, why="test.command says so", as_written=True)
    found = test_command(work.project, installed)
    if found is None:
        raise Skip("no test command found")
    return _of_what_is_installed(found, work)


def _of_what_is_installed(found: TestCommand, work: Work) -> TestCommand:
    """``pytest`` for ``python -m pytest``, which puts the project's folder before the wheel that is to be tested.

    A package that lies in that folder would be imported from its sources, without what its build makes.
    """
    if not work.installs_project or found.argv[:3] != ("python", "-m", "pytest") or found.as_written:
        return found
    return msgspec.structs.replace(found, argv=("pytest", *found.argv[3:]))


def _run(work: Work, environment: Environment, chosen: TestCommand, junit: Path, shared: dict[str, str]) -> Outcome:
    temp = work.temp  # made anew: the check stage has removed it with what was left in it
    # pytest reads these before its own arguments.
    report = f"--junitxml={environment.outlet(junit)}"
    options = f"{work.environ.get('PYTEST_ADDOPTS', '')} {shlex.quote(report)}".strip()
    try:
        outcome = environment.run(
            chosen.argv,
            cwd=work.project.root,
            env={"PYTEST_ADDOPTS": options, **shared},
            timeout=seconds(work.config.test.timeout),
            log=work.log,
        )
        environment.collect(junit)
    except ToolMissing as error:
        hint = "test.command is looked for in the environment, then on PATH: lock what brings it in a group for tests"
        raise ToolMissing(f"the tests cannot be run: {error}", hint=hint) from error
    else:
        return outcome
    finally:
        remove_tree(temp)


def _keep_own_report(work: Work, argv: tuple[str, ...], junit: Path, started: float) -> None:
    """A copy of the report where the command itself says where pytest writes it, which then beats what we say.

    What it wrote in a container is gone with that.
    """
    named = [word.partition("=")[2] for word in argv if word.startswith(("--junitxml=", "--junit-xml="))]
    named += [after for word, after in pairwise(argv) if word in ("--junitxml", "--junit-xml")]
    for path in (work.project.root / name for name in named[-1:]):
        # One from an earlier run is none; file systems keep times with two seconds at worst.
        if path.is_file() and path.stat().st_mtime > started - 2:
            junit.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, junit)


def _results(junit: Path, outcome: Outcome, chosen: TestCommand) -> tuple[Results, bool]:
    """What is known of the tests, and whether the report says so."""
    if junit.is_file() and (found := read_junit(junit)) is not None:
        return found, True
    told = read_unittest(plain(outcome.stderr)) if chosen.runner == "unittest" else None
    return told or Results(), False


def _tell_failures(work: Work, results: Results) -> None:
    """TEST001 for each test that failed, on the line to look at, as far as they are told of."""
    for failure in results.failures:
        file, line = located(failure, partial(_own_file, work))
        what = f"{failure.name}: {failure.message}" if failure.message else failure.name
        work.find("TEST001", "error", "a test failed", what, file=file, line=line)
    if more := results.failed - len(results.failures):
        work.find("TEST001", "error", "more tests failed", f"and {more} more, which the test's log has")


def _own_file(work: Work, written: str) -> str:
    """A file as a runner has written it, relative to the project; empty where it is none of the project's own."""
    root = work.project.root
    path = root / written
    if not path.is_relative_to(root) or path.is_relative_to(work.layout.state) or "site-packages" in path.parts:
        return ""
    name = path.relative_to(root).as_posix()
    return name if work.project.exists(name) else ""


def _error(counts: TestCounts, outcome: Outcome, work: Work) -> CiEnvsError | None:
    if _ran_none(counts, outcome):
        if counts.skipped:
            return Skip(f"all {counts.skipped} tests were skipped, or expected to fail")
        return Skip(f"{counts.command} found no tests")
    if outcome and not counts.failed:
        return None
    failed = f"{counts.failed} of {counts.failed + counts.passed} tests failed" if counts.failed else ""
    limit = " (test.timeout)" if outcome.timed_out else ""
    ended = f"{counts.command} {how_it_ended(outcome)}{limit}"
    return TestError(
        "; ".join(filter(None, (failed, ended))), hint=f"the log has all of it: {work.layout.shown(work.log)}"
    )


def _ran_none(counts: TestCounts, outcome: Outcome) -> bool:
    """Whether a runner that tells its tests has run none to its end. Before Python 3.12 unittest exits with 0 then."""
    tells = bool(counts.junit) or tells_of_tests(plain(outcome.stderr))
    return tells and not counts.passed and not counts.failed and (bool(outcome) or outcome.returncode == _NO_TESTS)
