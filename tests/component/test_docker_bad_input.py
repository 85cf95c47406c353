"""What a person, a project or a machine can do wrong with images, and how it is said."""

from __future__ import annotations

import os
import re
import socket
import time
from typing import TYPE_CHECKING

import pytest
from tests.support.docker_projects import DOCKER_LEG

if TYPE_CHECKING:
    from pathlib import Path

    from tests.component.docker_program_fixtures import MakeDocker
    from tests.support.docker_projects import DockerProgram

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]
pytest_plugins = ("tests.component.docker_program_fixtures",)

PLAIN = {"Dockerfile": "FROM BASE\nWORKDIR /app\nCOPY basket.py ./\n", "basket.py": "ripe = True\n"}
TRUE = 'test: {command: python -c "import basket"}\n'


def refused(program: DockerProgram, code: int, *words: str) -> str:
    """A run that has to end with this exit code; returns all that it said."""
    done = program.run(*words, timeout=200)
    assert done.code == code, done.said
    assert "Traceback" not in done.said
    record = program.record
    assert record is None or record.status in ("failed", "broken")
    assert program.containers() == []
    return done.said


# --- no engine


def test_an_engine_that_is_not_where_the_user_says_is_named(make_docker: MakeDocker, tmp_path: Path) -> None:
    program = make_docker("plain", PLAIN)
    program.env["DOCKER_HOST"] = f"unix://{tmp_path}/nowhere.sock"
    said = refused(program, 4)
    assert f"{tmp_path}/nowhere.sock" in said
    assert "DOCKER_HOST" in said


def test_a_socket_that_nobody_answers_at_is_named(make_docker: MakeDocker, tmp_path: Path) -> None:
    program = make_docker("plain", PLAIN)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
    program.env["DOCKER_HOST"] = f"unix://{tmp_path}/s"
    assert f"{tmp_path}/s" in refused(program, 4)


def test_a_context_of_docker_that_leads_nowhere_is_named(make_docker: MakeDocker, tmp_path: Path) -> None:
    program = make_docker("plain", PLAIN)
    del program.env["DOCKER_HOST"]
    program.env["DOCKER_CONTEXT"] = "gone"
    program.env["DOCKER_CONFIG"] = str(tmp_path)
    assert "gone" in refused(program, 4)


def test_no_engine_is_no_obstacle_to_a_lock_that_is_in_sync(make_docker: MakeDocker, tmp_path: Path) -> None:
    program = make_docker("plain", PLAIN)
    assert program.do("lock", *program.words).code == 0
    program.env["DOCKER_HOST"] = f"unix://{tmp_path}/nowhere.sock"
    done = program.do("lock", "--check", *program.words)
    assert done.code == 0, done.said


# --- Dockerfiles


def test_an_instruction_that_fails_is_said_with_its_line_and_last_words(make_docker: MakeDocker) -> None:
    text = "FROM BASE\nWORKDIR /app\n# a comment\nRUN echo one && \\\n    echo 'no such fruit' >&2 && exit 3\n"
    program = make_docker("fails", {**PLAIN, "Dockerfile": text})
    said = refused(program, 6)
    assert "Dockerfile:4: " in said
    assert "no such fruit" in said
    assert "exit code 3" in said
    assert program.told().status == "failed"
    assert program.stage("build").reason.startswith("Dockerfile:4")
    assert "no such fruit" in program.build_log()


def test_a_failed_build_leaves_the_image_that_was_there_and_no_run_takes_it_for_the_new_one(
    make_docker: MakeDocker,
) -> None:
    program = make_docker("plain", PLAIN, config=TRUE)
    program.green()
    image = program.inspect()["Id"]
    program.write({"Dockerfile": (program.root / "Dockerfile").read_text() + "RUN exit 1\n"})
    refused(program, 6)
    refused(program, 6, "--lock-mode=locked")
    program.write({"Dockerfile": (program.root / "Dockerfile").read_text().replace("RUN exit 1\n", "")})
    program.green()
    assert program.inspect()["Id"] == image
    assert program.images() == [program.image]


@pytest.mark.parametrize(
    ("text", "code", "line", "words"),
    [
        ("FROM BASE\n\nCOPY no-such-file /\n", 6, 3, "no-such-file"),
        ("FROM Upper/Case:1\n", 2, 1, "Upper/Case"),
        ("FROM localhost/ci-envs-test/nowhere:1\n", 5, 1, "localhost/ci-envs-test/nowhere:1"),
        ("FROM BASE\nFORM BASE\n", 6, 2, "FORM"),
        ("", 2, 0, "FROM"),
        ("RUN true\n", 2, 0, "FROM"),
        ("FROM BASE AS one\nFROM BASE AS two\nCOPY --from=tree /a /a\n", 5, 3, "tree"),
    ],
    ids=["copy", "upper-case", "base", "instruction", "empty", "no-from", "stage"],
)
def test_what_is_wrong_with_a_dockerfile_is_said_with_its_line(
    make_docker: MakeDocker, text: str, code: int, line: int, words: str
) -> None:
    program = make_docker("wrong", {**PLAIN, "Dockerfile": text})
    said = refused(program, code)
    assert f"Dockerfile:{line}" in said if line else "Dockerfile" in said
    assert words in said


def test_a_target_that_is_no_stage_is_said(make_docker: MakeDocker) -> None:
    program = make_docker("plain", PLAIN, config="docker: {target: final}\n")
    assert "final" in refused(program, 2)


def test_a_file_that_the_ignore_file_keeps_out_is_said_to_be_missing(make_docker: MakeDocker) -> None:
    program = make_docker("plain", {**PLAIN, ".dockerignore": "*.py\n"})
    said = refused(program, 6)
    assert "basket.py" in said
    assert ".dockerignore" in said


# --- configuration


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{file: Dockerfil}", "Dockerfil"),
        ("{memory: lots}", "lots"),
        ("{cpus: many}", "many"),
        ("{ulimits: {nofiles: 3}}", "nofile"),
        ("{volumes: {cache: cache}}", "cache"),
        ("{base-image: 'Upper/Case'}", "Upper/Case"),
        ("{installer: conda, base-image: BASE}", "conda"),
        ("{secrets: ['id=token,env=NO_SUCH']}", "NO_SUCH"),
        ("{context: ../..}", "lies outside the project"),
        ("{context: nowhere}", "nowhere"),
        ("{file: ../Dockerfile}", "Dockerfile"),
    ],
)
def test_a_setting_that_makes_no_sense_is_said(make_docker: MakeDocker, config: str, words: str) -> None:
    files = {**PLAIN, "requirements.in": "apple\n"}
    program = make_docker("settings", files, config=f"docker: {config}\n")
    assert words in refused(program, 2)


# --- contexts


def odd(root: Path) -> socket.socket:
    """Puts what no image can have into a folder."""
    os.mkfifo(root / "pipe")
    (root / "out").symlink_to("/etc/hostname")
    (root / "loop").symlink_to("loop")
    sock = socket.socket(socket.AF_UNIX)
    here = os.getcwd()  # noqa: PTH109 - a socket's path has room for 107 bytes
    os.chdir(root)
    sock.bind("sock")
    os.chdir(here)
    return sock


def test_pipes_sockets_and_links_that_lead_out_are_left_out_of_a_generated_image_and_told(
    make_docker: MakeDocker,
) -> None:
    files = {"requirements.in": "apple\n", "basket.py": "ripe = True\n"}
    program = make_docker("odd", files, config=f"docker: {{base-image: BASE}}\n{TRUE}")
    with odd(program.root):
        program.green()
    assert "out" in program.found("IMG201")[0].message
    names = program.inside("ls", "-A", "/app").split()
    assert "basket.py" in names
    assert not {"pipe", "out", "sock"} & set(names)


def test_pipes_sockets_and_links_that_lead_out_do_no_harm_to_a_written_one(make_docker: MakeDocker) -> None:
    text = "FROM BASE\nWORKDIR /app\nCOPY . ./\n"
    program = make_docker("odd", {**PLAIN, "Dockerfile": text}, config=TRUE)
    with odd(program.root):
        program.green()
    assert "basket.py" in program.inside("ls", "-A", "/app").split()


# --- tests that misbehave

CHILDREN = """\
import subprocess, sys
for _ in range(3):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
"""


def test_children_that_the_tests_leave_behind_end_with_the_container(make_docker: MakeDocker) -> None:
    files = {**PLAIN, "Dockerfile": PLAIN["Dockerfile"].replace("basket.py ./", "*.py ./"), "children.py": CHILDREN}
    program = make_docker("children", files, config="test: {command: python children.py}\n")
    program.green("--stages=detect,lock,build")
    began = time.monotonic()
    program.green()
    assert time.monotonic() - began < 100
    assert program.containers() == []


def test_tests_that_take_too_long_are_ended_and_said(make_docker: MakeDocker) -> None:
    config = 'test: {command: python -c "import time; time.sleep(300)", timeout: 2s}\n'
    program = make_docker("slow", PLAIN, config=config)
    said = refused(program, 8)
    assert "test.timeout" in program.told().reason
    assert re.search(r"was ended after \d+ s", said)


def test_a_container_that_is_taken_away_while_tests_run_is_no_pass(make_docker: MakeDocker) -> None:
    config = 'test: {command: python -c "import time; time.sleep(60)"}\n'
    program = make_docker("taken", PLAIN, config=config)
    process = program.start("run")
    log = program.layout.log(DOCKER_LEG, "test")
    deadline = time.monotonic() + 150
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    for name in program.containers():
        program.client.api.remove_container(name, force=True)
    _, said = process.communicate(timeout=100)
    assert process.returncode not in (0, 1), said
    assert program.told().status in ("failed", "broken")
