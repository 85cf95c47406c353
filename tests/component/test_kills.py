"""A run may be ended at any moment: the next one is green, and what lies on disk never says more than is true.

``CI_ENVS_TEST_KILLS=30`` has each kind of run killed thirty times, as ``nightly.yml`` does.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from tests.component.program import (
    FRUIT,
    LEG,
    PACKAGE,
    Program,
    alive,
    descendants,
    ended,
    kill_all,
    leftovers,
    wait_for,
)
from tests.support.faults import Fault
from tests.support.projects import private_environment

from ci_envs.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.index import Index

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc"),
]

#: How often each kind of run is killed.
KILLS = int(os.environ.get("CI_ENVS_TEST_KILLS", "5"))
FEWER = max(2, KILLS // 2)


@dataclass(frozen=True)
class Undisturbed:
    """A program whose run was left in peace, and what came of it."""

    program: Program
    seconds: float
    digest: str
    #: The lock files by name.
    locks: dict[str, bytes]


def run_in_peace(program: Program, *words: str) -> Undisturbed:
    began = time.monotonic()
    done = program.run(*words)
    seconds = time.monotonic() - began
    assert done.code == 0, done.said
    return Undisturbed(program, seconds, program.digest, lock_files(program.root))


def lock_files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in (*root.glob("locks/*"), *root.glob("uv.lock"))}


def assert_the_next_run_is_green(program: Program, expected: Undisturbed, *words: str) -> None:
    before = program.record
    if before is not None and before.status == "passed":
        assert program.digest == expected.digest, "a record says passed, and the environment is another"
    done = program.run(*words)
    assert done.code == 0, done.said
    record = program.record
    assert record is not None, done.said
    assert [(stage.name, stage.status) for stage in record.stages] == [
        (name, "passed") for name in ("detect", "lock", "build", "check", "test")
    ]
    assert record.status == "passed"
    assert record.environment is not None
    assert record.environment.digest == program.digest == expected.digest
    assert lock_files(program.root) == expected.locks
    assert leftovers(program.root, program.cache) == []


def moments(seconds: float, seed: str, count: int = KILLS) -> list[float]:
    """Spread over a run's whole duration, each somewhere in its part of it."""
    chance = random.Random(seed)  # noqa: S311 - a moment, no secret
    return [(number + chance.random()) / count * seconds for number in range(count)]


@pytest.mark.timeout(60 + 20 * KILLS)
@pytest.mark.parametrize("files", [FRUIT, PACKAGE], ids=["requirements", "uv.lock"])
def test_a_first_run_that_is_killed_is_made_good_by_the_next(
    make_program: Callable[..., Program], files: dict[str, str]
) -> None:
    """Nothing is there: no lock, no cache, no environment. The installer that it started goes on alone."""
    expected = run_in_peace(make_program("in peace", files))
    for number, moment in enumerate(moments(expected.seconds, "cold")):
        program = make_program(f"killed {number}", files)
        with program.start("run") as process:
            time.sleep(moment)
            process.kill()
        assert_the_next_run_is_green(program, expected)


@pytest.mark.timeout(60 + 20 * KILLS)
@pytest.mark.parametrize("files", [FRUIT, PACKAGE], ids=["requirements", "uv.lock"])
def test_a_rebuild_that_is_killed_is_made_good_by_the_next(
    make_program: Callable[..., Program], files: dict[str, str]
) -> None:
    """Lock, cache and environment are there: the old environment stands aside while the new one is built."""
    program = make_program("project", files)
    run_in_peace(program)
    expected = run_in_peace(program, "--fresh")
    for moment in moments(expected.seconds, "warm"):
        with program.start("run", "--fresh") as process:
            time.sleep(moment)
            process.kill()
        assert_the_next_run_is_green(program, expected)


def aside(program: Program) -> Path:
    return program.prefix.with_name(f".{LEG}.old")


#: What can be seen on disk at a moment that matters.
TELLING: dict[str, Callable[[Program], bool]] = {
    "the lock stage is over": lambda p: p.record is not None and "lock was" in p.record.reason,
    "the old environment stands aside": lambda p: aside(p).exists(),
    "the new environment is begun": lambda p: aside(p).exists() and (p.prefix / "pyvenv.cfg").exists(),
    "files are being installed": lambda p: aside(p).exists() and any(p.site.glob("*.dist-info")),
    "the new environment is sealed": lambda p: aside(p).exists() and (p.prefix / ".ci-envs-seal.json").exists(),
    "the build stage is over": lambda p: p.record is not None and "build was" in p.record.reason,
    "the tests run": lambda p: (p.state / "logs" / LEG / "test.log").exists(),
}


@pytest.mark.parametrize("what", TELLING)
def test_a_run_that_is_killed_at_a_telling_moment_is_made_good(make_program: Callable[..., Program], what: str) -> None:
    program = make_program("project")
    expected = run_in_peace(program)
    program.record_file.unlink()
    (program.state / "logs" / LEG / "test.log").unlink()
    with program.start("run", "--fresh") as process:
        wait_for(lambda: TELLING[what](program), pause=0)
        process.kill()
    assert_the_next_run_is_green(program, expected)


def test_a_run_that_is_killed_with_all_its_children_is_made_good(make_program: Callable[..., Program]) -> None:
    program = make_program("project")
    run_in_peace(program)
    expected = run_in_peace(program, "--fresh")
    for moment in moments(expected.seconds, "family", FEWER):
        with program.start("run", "--fresh", "--lock-mode=update") as process:
            time.sleep(moment)
            kill_all(process)
        assert_the_next_run_is_green(program, expected)


def test_two_kills_in_a_row_are_made_good(make_program: Callable[..., Program]) -> None:
    program = make_program("project", PACKAGE)
    run_in_peace(program)
    expected = run_in_peace(program, "--fresh")
    for first, second in zip(
        moments(expected.seconds, "one", FEWER), moments(expected.seconds, "two", FEWER), strict=True
    ):
        for moment in (first, second):
            with program.start("run", "--fresh") as process:
                time.sleep(moment)
                process.kill()
        assert_the_next_run_is_green(program, expected)


def test_what_a_killed_run_left_in_its_temporary_folder_is_not_met_again(make_program: Callable[..., Program]) -> None:
    """A wheel of an older version would be installed beside the new one; two megabytes would be a finding."""
    program = make_program("project", PACKAGE)
    expected = run_in_peace(program)
    temp = Layout.at(program.root, program.env).temp(LEG)
    (temp / "wheel").mkdir(parents=True)
    (temp / "wheel" / "basket-0.0-py3-none-any.whl").write_bytes(b"half a wh")
    (temp / "download").write_bytes(bytes(2 << 20))
    assert program.run("--fresh").code == 0
    record = program.record
    assert record is not None
    assert [finding.code for finding in record.findings] == []
    assert_the_next_run_is_green(program, expected)


# A test command that tells when it has begun, and that has a child of its own.
SLOW = """\
import pathlib, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path("begun").touch()
time.sleep(60)
"""

RUN_SLOW = "test: {command: python slow.py}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_interrupted_run_stops_its_children_and_says_how_far_it_came(
    make_program: Callable[..., Program], number: signal.Signals
) -> None:
    program = make_program("project", {**FRUIT, "slow.py": SLOW, "ci-envs.yml": RUN_SLOW})
    process = program.start("run")
    wait_for((program.root / "begun").exists)
    children = descendants(process.pid)
    assert len(children) == 2
    began = time.monotonic()
    os.kill(process.pid, number)
    done = ended(process)
    assert done.code == 130, done.said
    assert time.monotonic() - began < 15, "its children are asked, and end at once"
    assert [pid for pid in children if alive(pid)] == []
    assert "Traceback" not in done.said
    record = program.record
    assert record is not None
    assert record.status == "broken"
    assert record.reason == "test: interrupted: stopped while running python"
    assert [stage.status for stage in record.stages] == ["passed"] * 4 + ["broken"]
    assert record.reason in done.stdout, "the report has the interrupted leg"

    (program.root / "slow.py").write_text("", encoding="utf-8")
    assert program.run().code == 0
    assert leftovers(program.root) == []


def test_an_interrupt_during_a_build_brings_the_old_environment_back(
    make_program: Callable[..., Program], own_index: Index, tmp_path: Path
) -> None:
    program = make_program("project", PACKAGE)
    program.env |= private_environment(own_index.url, tmp_path / "home", tmp_path / "cache")
    expected = run_in_peace(program)
    # A build that has nothing in its cache, and waits for a file, is still at it when the signal comes.
    program.env |= private_environment(own_index.url, tmp_path / "home", tmp_path / "empty cache")
    own_index.fail(Fault.stall(30), "/files/apple-*")
    process = program.start("run", "--fresh")
    wait_for(aside(program).exists, pause=0)
    os.kill(process.pid, signal.SIGINT)
    done = ended(process)
    own_index.heal()
    assert done.code == 130, done.said
    record = program.record
    assert record is not None
    assert record.reason.startswith("build: interrupted: stopped "), record.reason
    assert program.digest == expected.digest
    assert leftovers(program.root) == []
    assert_the_next_run_is_green(program, expected)


def test_legs_that_an_interrupt_kept_from_beginning_have_no_new_record(make_program: Callable[..., Program]) -> None:
    files = {**FRUIT, "slow.py": SLOW, "ci-envs.yml": RUN_SLOW}
    program = replace(make_program("project", files))
    program.words = (*program.words, "--pattern=venv", "--jobs=1", "--stages=lock,build,test")
    process = program.start("run", "--json")
    wait_for((program.root / "begun").exists)
    os.kill(process.pid, signal.SIGTERM)
    done = ended(process)
    assert done.code == 130, done.said
    assert [path.name for path in program.record_file.parent.iterdir()] == [program.record_file.name]
    assert f'"{LEG}"' in done.stdout
    assert '"venv-' not in done.stdout


def test_a_second_interrupt_does_not_cut_the_first_one_short(make_program: Callable[..., Program]) -> None:
    """A child that takes a moment to end is waited for, whatever a person types meanwhile."""
    stubborn = f"import signal\n\nsignal.signal(signal.SIGTERM, lambda *_: None)\n{SLOW}"
    program = make_program("project", {**FRUIT, "slow.py": stubborn, "ci-envs.yml": RUN_SLOW})
    process = program.start("run")
    wait_for((program.root / "begun").exists)
    children = descendants(process.pid)
    for _ in range(3):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.2)
    done = ended(process)
    assert done.code == 130, done.said
    assert [pid for pid in children if alive(pid)] == []
    record = program.record
    assert record is not None
    assert record.reason.startswith("test: interrupted")


def test_an_interrupt_ends_the_wait_for_another_run(make_program: Callable[..., Program]) -> None:
    program = make_program("project", {**FRUIT, "slow.py": SLOW, "ci-envs.yml": RUN_SLOW})
    first = program.start("run")
    wait_for((program.root / "begun").exists)
    before = program.record_file.read_bytes()
    second = program.start("run")
    time.sleep(0.7)
    os.kill(second.pid, signal.SIGINT)
    done = ended(second, 5)
    assert done.code == 130, done.said
    assert program.record_file.read_bytes() == before, "the record is the other run's"
    os.kill(first.pid, signal.SIGTERM)
    assert ended(first).code == 130


def test_a_run_that_was_told_to_outlive_its_terminal_does(make_program: Callable[..., Program]) -> None:
    """nohup has SIGHUP ignored."""
    files = {**FRUIT, "slow.py": SLOW.replace("60", "1"), "ci-envs.yml": RUN_SLOW}
    program = make_program("project", files)
    process = program.start("run", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_for((program.root / "begun").exists)
    os.kill(process.pid, signal.SIGHUP)
    assert ended(process).code == 0
