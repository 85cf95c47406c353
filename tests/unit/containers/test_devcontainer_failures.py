"""Which part of bringing a dev container up failed, and the last lines of what it said."""

from __future__ import annotations

import pytest

from ci_envs.containers.devcontainer_cli import Up
from ci_envs.containers.devcontainer_config import parse_configuration
from ci_envs.containers.devcontainer_failures import Told, up_failed
from ci_envs.errors import BuildError, CiEnvsError, LockError

PATH = ".devcontainer/devcontainer.json"
TEXT = """{
  "build": {"dockerfile": "Dockerfile"},
  "features": {"r.example/f/hello:1": {}},
  "postCreateCommand": "make bootstrap"
}
"""
DOCKERFILE = "FROM r.example/python@sha256:0\nRUN echo one\nRUN echo building && \\\n    false\n"
STAMP = "[2026-11-21T06:04:17.535Z] "
LOG = "logs/build.log"


def failed(output: str, message: str = "Command failed: x", description: str = "") -> CiEnvsError:
    up = Up(outcome="error", message=message, description=description)
    told = Told(up, output, read=parse_configuration(TEXT, PATH), text=TEXT, dockerfile=DOCKERFILE, log=LOG)
    return up_failed(told)


def test_a_lifecycle_command_is_named_with_its_line_its_exit_code_and_its_last_lines() -> None:
    output = f"""{STAMP}Running the onCreateCommand from devcontainer.json...
well
{STAMP}\x1b[1mRunning the postCreateCommand from devcontainer.json...\x1b[0m

one
two
three
four
{STAMP}cannot make it
{STAMP}postCreateCommand from devcontainer.json failed with exit code 3. Skipping any further user-provided commands.
Error: Command failed: /bin/sh -c make bootstrap
    at Q (devContainersSpecCLI.js:233:157)
"""
    error = failed(output, description="postCreateCommand from devcontainer.json failed.")
    assert isinstance(error, BuildError)
    assert error.message == "postCreateCommand failed with exit code 3: two | three | four | cannot make it"
    assert (error.file, error.line) == (PATH, 4)
    assert LOG in error.hint


def test_a_lifecycle_command_of_a_feature_is_the_features() -> None:
    output = f"""{STAMP}Running the postCreateCommand from Feature 'r.example/f/hello:1'...
no
{STAMP}postCreateCommand from Feature 'r.example/f/hello:1' failed with exit code 1. Skipping any further.
"""
    error = failed(output, description="postCreateCommand from Feature 'r.example/f/hello:1' failed.")
    assert error.message == "postCreateCommand of Feature 'r.example/f/hello:1' failed with exit code 1: no"
    assert error.line == 0


def test_one_of_several_commands_is_named() -> None:
    output = f"""{STAMP}Running a of postCreateCommand from devcontainer.json...
well
{STAMP}Running who of postCreateCommand from devcontainer.json...
sh: who: Permission denied
{STAMP}who of postCreateCommand from devcontainer.json failed with exit code 2. Skipping any further.
"""
    error = failed(output, description="who of postCreateCommand from devcontainer.json failed.")
    assert error.message == "postCreateCommand (who) failed with exit code 2: sh: who: Permission denied"
    assert error.line == 4


def test_a_lifecycle_command_that_said_nothing_is_named_all_the_same() -> None:
    error = failed("", message="Command failed: false", description="onCreateCommand from devcontainer.json failed.")
    assert error.message == "onCreateCommand failed: Command failed: false"


BUILD = f"""#8 [dev_container_auto_added_stage_label 3/3] RUN echo building &&     false
#8 0.310 building
#8 ERROR: process "/bin/sh -c echo building &&     false" did not complete successfully: exit code: 1
------
 > [dev_container_auto_added_stage_label 3/3] RUN echo building &&     false:
0.310 building
------

{STAMP}Dockerfile-with-features:5
--------------------
   4 |     RUN echo one
   5 | >>> RUN echo building && \\
   6 | >>>     false
   7 |
--------------------
ERROR: failed to solve: process "/bin/sh -c echo building &&     false" did not complete successfully: exit code: 1
"""


def test_a_failing_instruction_is_named_at_its_own_line() -> None:
    error = failed(BUILD, description="An error occurred building the image.")
    assert error.message == r"RUN echo building && \ failed: building"
    assert (error.file, error.line) == (".devcontainer/Dockerfile", 3)


BASE = """--------------------
   1 | >>> FROM r.example/python@sha256:0 AS dev_container_auto_added_stage_label
   2 |     RUN echo one
--------------------
ERROR: failed to solve: r.example/python@sha256:0: not found
"""


def test_a_base_that_is_not_there_is_named_at_its_line() -> None:
    error = failed(BASE, description="An error occurred building the image.")
    assert error.message == "FROM r.example/python@sha256:0 failed: r.example/python@sha256:0: not found"
    assert error.line == 1


FEATURE = """------
 > [dev_containers_target_stage 4/4] RUN --mount=type=bind cp -ar /tmp/build-features-src/hello_0:
0.149 Feature       : hello
0.149 Options       :
0.149 ==================
0.152 i fail
0.153 ERROR: Feature "hello" (r.example/f/hello) failed to install!
------
  30 | >>> RUN --mount=type=bind,from=dev_containers_feature_content_source
ERROR: failed to solve: process "/bin/sh -c cp -ar" did not complete successfully: exit code: 4
"""


def test_a_feature_that_fails_to_install_is_named() -> None:
    error = failed(FEATURE, description="An error occurred building the image.")
    assert error.message.startswith("the feature r.example/f/hello failed to install: ")
    assert error.message.endswith(" | i fail")
    assert error.line == 3


@pytest.mark.parametrize("output", [BUILD, BASE, FEATURE], ids=["instruction", "base", "feature"])
def test_a_build_is_told_in_whatever_pieces_the_tool_has_heard_it(output: str) -> None:
    whole = failed(output, description="An error occurred building the image.")
    lines = output.splitlines(keepends=True)
    for cut in range(1, len(lines)):
        pieces = f"{STAMP}{''.join(lines[:cut])}\n{STAMP}{''.join(lines[cut:])}\n"
        error = failed(pieces, description="An error occurred building the image.")
        assert (error.message, error.file, error.line) == (whole.message, whole.file, whole.line), pieces


@pytest.mark.parametrize("message", ["Lockfile does not exist.", "Lockfile does not match."])
def test_a_lock_of_features_that_is_not_theirs_is_a_lock_error(message: str) -> None:
    error = failed("", message=message, description="An error occurred setting up the container.")
    assert isinstance(error, LockError)
    assert error.file == ".devcontainer/devcontainer-lock.json"


def test_a_feature_that_the_registry_does_not_have_is_named() -> None:
    message = "ERR: Feature 'r.example/f/hello:1' could not be processed.  You may not have permission"
    error = failed("", message=message)
    assert "the feature r.example/f/hello:1 cannot be had as it is locked: r.example" in error.message
    assert "docker login r.example" in error.hint


def test_an_image_that_cannot_be_pulled_is_named_with_the_engines_reason() -> None:
    output = "Error response from daemon: No such image: x\nError response from daemon: manifest unknown\n"
    error = failed(output, message="Command failed: /usr/bin/docker pull r.example/x:1")
    assert error.message == "the image r.example/x:1 cannot be pulled: manifest unknown"


def test_anything_else_is_said_as_the_tool_says_it() -> None:
    error = failed("", message="spawn docker ENOENT", description="An error occurred setting up the container.")
    assert error.message == "An error occurred setting up the container. spawn docker ENOENT"
