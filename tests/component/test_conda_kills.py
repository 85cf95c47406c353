"""A run of a conda leg may be ended at any moment: the next one is green, and nothing half made is taken for whole.

``CI_ENVS_TEST_KILLS=30`` has each kind of run killed thirty times, as ``nightly.yml`` does.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from tests.component.conda_programs import CONDA_LEG, record_of, why
from tests.component.program import ended, kill_all, leftovers, wait_for
from tests.support.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.component.conda_program_fixtures import MakeConda, MakeCopy
    from tests.component.program import Program
    from tests.support.channel_server import ChannelServer

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc"),
]
pytest_plugins = ("tests.component.conda_program_fixtures",)

#: How often each kind of run is killed.
KILLS = int(os.environ.get("CI_ENVS_TEST_KILLS", "8"))
FEWER = max(2, KILLS // 2)


def locks(program: Program) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in program.root.glob("locks/*")}


def half_made(program: Program) -> list[str]:
    """What only a run that goes on may have, in the package cache too."""
    ends = (".part", ".gone")
    return leftovers(program.root, program.cache) + [
        str(path) for path in (program.cache / "conda").rglob(".*") if path.name.endswith(ends)
    ]


def assert_the_next_run_is_green(program: Program, expected: Program, *words: str) -> None:
    before = program.record
    if before is not None and before.status == "passed":
        assert program.digest == expected.digest, "a record says passed, and the environment is another"
    done = program.run(*words)
    assert done.code == 0, done.said
    record = record_of(program)
    assert [(stage.name, stage.status) for stage in record.stages] == [
        (name, "passed") for name in ("detect", "lock", "build", "check", "test")
    ]
    assert record.status == "passed"
    assert record.environment is not None
    assert record.environment.digest == program.digest == expected.digest
    assert locks(program) == locks(expected)
    # A run that builds nothing does not look into the package cache.
    assert half_made(program) == [] or why(program).startswith("kept: ")
    assert leftovers(program.root) == []
    assert [each.code for each in record.findings if each.code.startswith("ENV")] == []


def seconds_of(program: Program, *words: str) -> float:
    """How long a run takes that is left in peace."""
    began = time.monotonic()
    done = program.run(*words)
    assert done.code == 0, done.said
    return time.monotonic() - began


def moments(seconds: float, seed: str, count: int = KILLS) -> list[float]:
    """Spread over a run's whole duration, each somewhere in its part of it."""
    chance = random.Random(seed)  # noqa: S311 - a moment, no secret
    return [(number + chance.random()) / count * seconds for number in range(count)]


@pytest.mark.timeout(60 + 20 * KILLS)
def test_a_first_run_that_is_killed_is_made_good_by_the_next(make_conda: MakeConda, stood: Program) -> None:
    """Nothing is there: no lock, no cache, no environment."""
    seconds = seconds_of(make_conda("in peace"))
    for number, moment in enumerate(moments(seconds, "cold")):
        program = make_conda(f"killed {number}")
        with program.start("run") as process:
            time.sleep(moment)
            process.kill()
        assert_the_next_run_is_green(program, stood)
        shutil.rmtree(program.cache)


@pytest.mark.timeout(60 + 20 * KILLS)
def test_a_rebuild_that_is_killed_is_made_good_by_the_next(make_copy: MakeCopy, stood: Program) -> None:
    """Lock, cache and environment are there: the old environment stands aside while the new one is built."""
    program = make_copy("project")
    assert program.run().code == 0
    for moment in moments(seconds_of(program, "--fresh"), "warm"):
        with program.start("run", "--fresh") as process:
            time.sleep(moment)
            process.kill()
        assert_the_next_run_is_green(program, stood)


@pytest.mark.timeout(60 + 20 * KILLS)
def test_a_run_that_is_killed_with_all_its_children_is_made_good(make_copy: MakeCopy, stood: Program) -> None:
    """The cache is cold: half a package may lie in it."""
    program = make_copy("project")
    for moment in moments(seconds_of(program), "family", FEWER):
        shutil.rmtree(program.cache, ignore_errors=True)  # a run that was killed early has made none
        with program.start("run", "--fresh", "--lock-mode=update") as process:
            time.sleep(moment)
            kill_all(process)
        assert_the_next_run_is_green(program, stood)


# Moments that matter.


def aside(program: Program) -> Path:
    return program.prefix.with_name(f".{CONDA_LEG}.old")


#: What can be seen on disk at such a moment, of a program that has nothing but its project.
COLD: dict[str, Callable[[Program], object]] = {
    "the channel's index is there": lambda p: any((p.cache / "conda").rglob("*.info.json")),
    "the lock is written": lambda p: any(p.root.glob("locks/.*")) or any(p.root.glob("locks/*")),
    "a package is being brought": lambda p: any((p.cache / "conda/pkgs").glob(".*.part")),
    "a package is being unpacked": lambda p: any((p.cache / "conda/pkgs").glob(".*.part/*/info")),
    "a package is there": lambda p: any((p.cache / "conda/pkgs").glob("[0-9a-f]*")),
    "packages are being linked": lambda p: p.prefix.exists(),
}

#: The same, where an environment stands and is built anew.
WARM: dict[str, Callable[[Program], object]] = {
    "the old environment stands aside": lambda p: aside(p).exists(),
    "the new environment is begun": lambda p: aside(p).exists() and p.prefix.exists(),
    "the first package is linked": lambda p: aside(p).exists() and any((p.prefix / "conda-meta").glob("*.json")),
    "the pip part is begun": lambda p: aside(p).exists() and _says(p, "uv pip install"),
    "the pip part is being installed": lambda p: aside(p).exists() and any(p.site.glob("plum*")),
    "the new environment is sealed": lambda p: aside(p).exists() and (p.prefix / ".ci-envs-seal.json").exists(),
    "the build stage is over": lambda p: p.record is not None and "build was" in p.record.reason,
    "the tests run": lambda p: (p.state / "logs" / CONDA_LEG / "test.log").exists(),
}


def _says(program: Program, words: str) -> bool:
    log = program.state / "logs" / CONDA_LEG / "build.log"
    return log.exists() and words in log.read_text()


@pytest.mark.parametrize("what", COLD)
def test_a_first_run_that_is_killed_at_a_telling_moment_is_made_good(
    make_conda: MakeConda, stood: Program, what: str
) -> None:
    program = make_conda("project")
    with program.start("run") as process:
        wait_for(partial(COLD[what], program), pause=0)
        process.kill()
    assert_the_next_run_is_green(program, stood)


@pytest.mark.parametrize("what", WARM)
def test_a_rebuild_that_is_killed_at_a_telling_moment_is_made_good(
    make_copy: MakeCopy, stood: Program, what: str
) -> None:
    program = make_copy("project")
    assert program.run().code == 0
    program.record_file.unlink()
    shutil.rmtree(program.state / "logs")
    with program.start("run", "--fresh") as process:
        wait_for(partial(WARM[what], program), pause=0)
        process.kill()
    assert_the_next_run_is_green(program, stood)


def test_a_download_that_was_cut_off_is_no_package(
    make_conda: MakeConda, lean_server: ChannelServer, stood: Program
) -> None:
    """The archive of python lies half in the cache when its run is killed."""
    program = make_conda("project")
    lean_server.fail(Fault.slow(1 << 20), "*/python-*.conda", times=1)
    with program.start("run") as process:
        wait_for(lambda: any((program.cache / "conda/pkgs").glob(".*.part/archive.conda")), pause=0)
        process.kill()
    lean_server.heal()
    assert_the_next_run_is_green(program, stood)


def test_what_two_kills_in_a_row_leave_is_made_good(make_copy: MakeCopy, stood: Program) -> None:
    program = make_copy("project")
    assert program.run().code == 0
    for first, second in (("the new environment is begun", "the old environment stands aside"),) * 2:
        for what in (first, second):
            with program.start("run", "--fresh") as process:
                wait_for(partial(WARM[what], program), pause=0)
                process.kill()
        assert_the_next_run_is_green(program, stood)


# Interrupts, which a run may answer to.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupt_while_packages_come_ends_the_run_at_once(
    make_conda: MakeConda, lean_server: ChannelServer, stood: Program, number: signal.Signals
) -> None:
    program = make_conda("project")
    lean_server.fail(Fault.stall(60, at=1000), "*/python-*.conda")
    process = program.start("run")
    wait_for(lambda: lean_server.count("*/python-*.conda"), pause=0)
    began = time.monotonic()
    os.kill(process.pid, number)
    done = ended(process)
    assert done.code == 130, done.said
    assert time.monotonic() - began < 15
    assert "Traceback" not in done.said
    record = record_of(program)
    assert (record.status, record.reason) == ("broken", "build: interrupted: stopped")
    assert half_made(program) == []
    lean_server.heal()
    assert_the_next_run_is_green(program, stood)


def test_an_interrupt_during_a_rebuild_brings_the_old_environment_back(make_copy: MakeCopy, stood: Program) -> None:
    program = make_copy("project")
    assert program.run().code == 0
    process = program.start("run", "--fresh")
    wait_for(aside(program).exists, pause=0)
    os.kill(process.pid, signal.SIGINT)
    done = ended(process)
    assert done.code == 130, done.said
    assert record_of(program).reason.startswith("build: interrupted: stopped"), record_of(program).reason
    assert program.digest == stood.digest
    assert half_made(program) == []
    assert_the_next_run_is_green(program, stood)
    assert why(program).startswith("kept: ")
