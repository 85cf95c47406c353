"""Two runs in one project at once do not harm each other."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.component.program import FRUIT, LEG, PACKAGE, Done, Program, ended, leftovers, wait_for
from tests.component.running import PYTHON

from ci_envs.assembling import read_digest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(sys.platform == "win32", reason="a project's folder cannot be removed while it is open"),
]


def all_at_once(program: Program, *words: tuple[str, ...]) -> list[Done]:
    processes = [program.start("run", "--json", *each) for each in words]
    done = [ended(process) for process in processes]
    assert [each.code for each in done] == [0] * len(words), "\n".join(each.said for each in done if each.code)
    return done


def builds(done: list[Done], leg: str = LEG) -> list[str]:
    """What the build stages of a leg said."""
    reports = [json.loads(each.stdout) for each in done]
    return [
        stage["reason"]
        for report in reports
        for found in report["legs"]
        for stage in found["stages"]
        if found["id"] == leg and stage["name"] == "build"
    ]


@pytest.mark.parametrize("files", [FRUIT, PACKAGE], ids=["requirements", "uv.lock"])
def test_one_leg_that_six_runs_want_is_built_once(make_program: Callable[..., Program], files: dict[str, str]) -> None:
    program = make_program("project", files)
    done = all_at_once(program, *[()] * 6)
    said = builds(done)
    assert sorted(reason.split(":")[0] for reason in said) == ["built"] + ["kept"] * 5
    record = program.record
    assert record is not None
    assert record.status == "passed"
    assert record.environment is not None
    assert record.environment.digest == program.digest
    assert leftovers(program.root, program.cache) == []


def test_the_runs_that_waited_keep_the_verdict_of_the_health_check(make_program: Callable[..., Program]) -> None:
    """What the run before them left is read once it is their turn, not when they begin to wait."""
    program = make_program("project")
    done = all_at_once(program, *[("--stages=lock,build,check",)] * 3)
    checks = [
        stage["reason"]
        for each in done
        for stage in json.loads(each.stdout)["legs"][0]["stages"]
        if stage["name"] == "check"
    ]
    assert sorted(reason.endswith("unchanged") for reason in checks) == [False, True, True]


def test_different_legs_of_one_project_share_a_lock_and_a_cold_cache(make_program: Callable[..., Program]) -> None:
    """Their uv.lock is one file, and each builds the project's wheel in the project's folder."""
    program = make_program("project", PACKAGE)
    program.words = (f"--python={PYTHON}",)
    legs = [("--pattern=uv",), ("--pattern=uv", "--group=prod"), ("--pattern=uv",), ("--pattern=uv", "--group=prod")]
    all_at_once(program, *legs)
    other = program.prefix.with_name(f"{LEG}-prod")
    assert read_digest(other).value == program.digest
    assert leftovers(program.root, program.cache) == []


def test_two_projects_fill_one_cold_cache_at_once(make_program: Callable[..., Program]) -> None:
    first, second = make_program("first"), make_program("second")
    second = replace(second, env={**second.env, "CI_ENVS_CACHE_DIR": str(first.cache)})
    running = [program.start("run") for program in (first, second) for _ in range(2)]
    assert [ended(process).code for process in running] == [0] * 4
    assert first.digest == second.digest
    assert leftovers(first.cache) == []


def test_rebuilds_of_one_leg_wait_for_each_other(make_program: Callable[..., Program]) -> None:
    program = make_program("project")
    done = all_at_once(program, *[("--fresh",)] * 4)
    assert builds(done) == ["built: asked for anew"] * 4
    assert leftovers(program.root) == []
    assert program.run().code == 0


#: Test command that runs until somebody makes a file.
WAITS = "import pathlib, time\npathlib.Path('begun').touch()\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\n"


@pytest.fixture
def busy(make_program: Callable[..., Program]) -> Program:
    return make_program("project", {**FRUIT, "waits.py": WAITS, "ci-envs.yml": "test: {command: python waits.py}\n"})


def test_what_another_run_works_on_cannot_be_cleaned_away(busy: Program) -> None:
    process = busy.start("run")
    wait_for((busy.root / "begun").exists)
    for words in ((), (LEG,)):
        done = busy.do("clean", *words)
        assert done.code == 1, done.said
        assert f"another run is at work on {LEG}" in done.stderr
    (busy.root / "go").touch()
    assert ended(process).code == 0
    assert busy.do("clean").code == 0
    assert not busy.state.exists()


def test_a_run_that_waits_while_all_is_cleaned_begins_from_nothing(busy: Program) -> None:
    """It must not take a lock file for its own that is no longer there for others to see."""
    (busy.root / "go").touch()
    assert busy.run().code == 0
    (busy.root / "go").unlink()
    (busy.root / "begun").unlink()
    first = busy.start("run")
    wait_for((busy.root / "begun").exists)
    cleaning = busy.start("clean")
    second = busy.start("run")
    time.sleep(0.5)
    (busy.root / "go").touch()
    assert ended(first).code == 0
    done = ended(second)
    assert done.code == 0, done.said
    assert ended(cleaning).code in (0, 1), "it may have come too late, and says so"
    assert busy.run().code == 0


def test_a_run_waits_for_what_a_killed_one_left_running(make_program: Callable[..., Program]) -> None:
    """The installer of a killed run still writes: its lock is held by the descriptor that it was given."""
    slow = PACKAGE["tiny_backend.py"].replace(
        "def build_wheel(",
        "def _wait():\n"
        "    import time\n"
        "    Path('building').touch()\n"
        "    time.sleep(3)\n"
        "    Path('building').unlink()\n\n\n"
        "def build_wheel(",
    )
    slow = slow.replace("    root = _source_root()\n    files", "    _wait()\n    root = _source_root()\n    files")
    program = make_program("project", {**PACKAGE, "tiny_backend.py": slow})
    with program.start("run") as process:
        wait_for((program.root / "building").exists)
        process.kill()
    began = time.monotonic()
    second = program.start("run")
    time.sleep(1)
    assert not (program.prefix / ".ci-envs-seal.json").exists()
    done = ended(second)
    assert done.code == 0, done.said
    assert time.monotonic() - began > 3, "it builds the wheel once more, after the first one"


def test_a_run_beside_a_clean_cache_is_green(make_program: Callable[..., Program]) -> None:
    """The cache may go at any time: all of it is made again."""
    program = make_program("project")
    assert program.run().code == 0
    assert program.do("clean", "--cache").code == 0
    assert not program.cache.exists()
    done = program.run()
    assert done.code == 0, done.said
