"""A run of a container leg may be ended at any moment: the next one is green and true, and nothing of ours is left.

``CI_ENVS_TEST_KILLS=30`` has each kind of run killed thirty times, as ``nightly.yml`` does.
"""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
from tests.component.program import ended, leftovers, wait_for
from tests.support.docker_projects import DOCKER_LEG

from ci_envs.containers.listing import listed

if TYPE_CHECKING:
    from tests.component.docker_program_fixtures import MakeDocker
    from tests.support.docker_projects import DockerProgram

#: How often each kind of run is killed.
KILLS = int(os.environ.get("CI_ENVS_TEST_KILLS", "6"))

pytestmark = [pytest.mark.component, pytest.mark.timeout(300 + 100 * KILLS)]
pytest_plugins = ("tests.component.docker_program_fixtures",)

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT)

TEST = 'test:\n  command: python -c "import basket, time; time.sleep(1)"\n'
WRITTEN = ({"Dockerfile": "FROM BASE\nRUN sleep 1\nWORKDIR /app\nCOPY basket.py ./\n", "basket.py": ""}, TEST)
GENERATED = ({"requirements.in": "seed\n", "basket.py": ""}, f"docker: {{base-image: BASE}}\n{TEST}")


def digest_of(program: DockerProgram) -> str:
    environment = program.told().environment
    assert environment is not None
    return environment.digest


def assert_the_record_says_no_more_than_is_true(program: DockerProgram, expected: str) -> None:
    record = program.record
    if record is None or record.status != "passed":
        return
    assert digest_of(program) == expected
    assert program.images().count(program.image) == 1, "a record says passed, and there is no image"
    assert record.image is not None
    assert program.inspect()["Id"] == record.image.id, "a record says passed, and the image is another"


def assert_the_next_run_is_green(program: DockerProgram, expected: str) -> None:
    program.green()
    assert [stage.status for stage in program.told().stages] == ["passed"] * 5
    assert digest_of(program) == expected
    assert_the_record_says_no_more_than_is_true(program, expected)
    assert program.images() == [program.image], "drafts and former images go"
    assert program.containers() == []
    assert leftovers(program.root) == []
    assert not list((program.state / "tmp").glob("*")), "temporary files go"


@pytest.mark.parametrize(("files", "config"), [WRITTEN, GENERATED], ids=["written", "generated"])
def test_a_run_that_is_ended_at_any_moment_is_made_good_by_the_next_and_nothing_is_left(
    make_docker: MakeDocker, files: dict[str, str], config: str
) -> None:
    program = make_docker("killed", files, config=config)
    before = volumes(program)
    program.green()
    expected = digest_of(program)
    began = time.monotonic()
    program.green("--fresh")
    seconds = time.monotonic() - began
    assert digest_of(program) == expected
    chance = random.Random("docker")  # noqa: S311 - a moment, no secret
    for number in range(KILLS):
        if number % 3 == 2:  # from nothing
            assert program.do("clean").code == 0
        moment = (number + chance.random()) / KILLS * seconds
        process = program.start("run", "--fresh")
        time.sleep(moment)
        process.send_signal(SIGNALS[number % len(SIGNALS)])
        done = ended(process)
        assert "Traceback" not in done.said
        assert_the_record_says_no_more_than_is_true(program, expected)
        wait_for(lambda: program.containers() == [], 30, 0.2)
        assert_the_next_run_is_green(program, expected)
    assert program.do("clean").code == 0
    assert (program.images(), program.containers()) == ([], [])
    assert volumes(program) <= before


def volumes(program: DockerProgram) -> set[str]:
    told = listed(lambda: program.client.api.volumes(filters={"label": "org.repro-envs.state"}))
    return {one["Name"] for one in told.get("Volumes") or ()}


def test_a_container_ends_with_the_run_that_was_killed_while_its_tests_ran(make_docker: MakeDocker) -> None:
    files, _ = WRITTEN
    program = make_docker("tests", files, config='test: {command: python -c "import time; time.sleep(300)"}\n')
    process = program.start("run")
    log = program.layout.log(DOCKER_LEG, "test")
    wait_for(log.exists, 200, 0.1)
    wait_for(lambda: "$ python" in log.read_text(), 60, 0.1)
    assert len(program.containers()) == 1
    process.kill()
    ended(process)
    wait_for(lambda: program.containers() == [], 30, 0.1)
    record = program.told()
    assert (record.status, record.reason) == ("broken", "not finished: check was the last stage")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupt_ends_the_tests_inside_and_says_how_far_the_run_came(
    make_docker: MakeDocker, number: signal.Signals
) -> None:
    files, _ = WRITTEN
    program = make_docker("tests", files, config='test: {command: python -c "import time; time.sleep(300)"}\n')
    process = program.start("run")
    log = program.layout.log(DOCKER_LEG, "test")
    wait_for(log.exists, 200, 0.1)
    wait_for(lambda: "$ python" in log.read_text(), 60, 0.1)
    began = time.monotonic()
    process.send_signal(number)
    done = ended(process)
    assert done.code == 130, done.said
    assert time.monotonic() - began < 15
    assert program.containers() == []
    record = program.told()
    assert record.status == "broken"
    assert record.reason.startswith("test: interrupted")


def test_an_interrupt_during_a_build_keeps_the_image_that_was_there(make_docker: MakeDocker) -> None:
    files, config = WRITTEN
    slow = files["Dockerfile"].replace("sleep 1", "sleep 30")
    program = make_docker("build", files, config=config)
    program.green()
    image = program.inspect()["Id"]
    program.write({"Dockerfile": slow})
    process = program.start("run")
    wait_for(lambda: "sleep 30" in program.build_log(), 100, 0.1)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    done = ended(process)
    assert done.code == 130, done.said
    assert program.inspect()["Id"] == image
    assert program.images() == [program.image]
    assert program.told().reason.startswith("build: interrupted")
