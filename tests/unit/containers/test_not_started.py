"""What runtimes say, as runc 1.1.5 and crun 1.8 say it through Docker 26.1.5 and Podman 4.3.1."""

from __future__ import annotations

import pytest

from ci_envs.containers.not_started import not_started
from ci_envs.errors import ToolMissing

RUNC = "OCI runtime exec failed: exec failed: unable to start container process: "
PODMAN = "Error: runc: exec failed: unable to start container process: "
CRUN = "Error: crun: "
NOT_FOUND = "OCI runtime attempted to invoke a command that was not found\n"

ABSENT = [
    (126, f'{RUNC}exec: "tool": executable file not found in $PATH: unknown\r\n', "", False),
    (127, f'{RUNC}exec: "tool": executable file not found in $PATH: unknown\r\n', "", False),
    (126, f'{RUNC}exec: "/no/tool": stat /no/tool: no such file or directory: unknown\r\n', "", False),
    (127, "", f'{PODMAN}exec: "tool": executable file not found in $PATH: {NOT_FOUND}', False),
    (127, "", f"{CRUN}executable file `tool` not found in $PATH: No such file or directory: {NOT_FOUND}", False),
    (1, "", "exec /x/tool: no such file or directory\n", True),
    (255, "", "exec /x/tool: no such file or directory\n", False),
    (127, "", "sh: 1: exec: tool: not found\n", True),
]

UNFIT = [
    (126, f'{RUNC}exec: "/etc/passwd": permission denied: unknown\r\n', "", False, "permission denied"),
    (126, "", f'{PODMAN}exec: "/etc/passwd": permission denied: OCI permission denied\n', False, "permission denied"),
    (1, "", "exec /x/tool: exec format error\n", True, "exec format error"),
]


@pytest.mark.parametrize(("code", "stdout", "stderr", "began"), ABSENT)
def test_a_program_that_is_not_there_is_a_missing_tool(code: int, stdout: str, stderr: str, began: bool) -> None:
    error = not_started("tool", code, stdout, stderr, began=began)

    assert isinstance(error, ToolMissing)
    assert error.message == "there is no program 'tool' here"


@pytest.mark.parametrize(("code", "stdout", "stderr", "began", "why"), UNFIT)
def test_a_file_that_cannot_be_run_is_told_with_its_reason(
    code: int, stdout: str, stderr: str, began: bool, why: str
) -> None:
    error = not_started("tool", code, stdout, stderr, began=began)

    assert isinstance(error, ToolMissing)
    assert error.message == f"'tool' cannot be run here: {why}"


@pytest.mark.parametrize(
    ("code", "stdout", "stderr"),
    [
        (126, f'{RUNC}chdir to cwd ("/gone") set in config.json failed: no such file or directory: unknown\r\n', ""),
        (127, "", f'{PODMAN}chdir to cwd ("/gone") set in config.json failed: no such file or directory: {NOT_FOUND}'),
        (127, "", f"{CRUN}chdir to `/gone`: No such file or directory: {NOT_FOUND}"),
    ],
)
def test_a_folder_that_is_not_there_is_not_taken_for_a_program(code: int, stdout: str, stderr: str) -> None:
    error = not_started("tool", code, stdout, stderr, began=False)

    assert isinstance(error, FileNotFoundError)
    assert error.filename == "/gone"


@pytest.mark.parametrize(
    ("code", "stdout", "stderr", "began"),
    [
        (127, "", "", True),
        (126, "", "", False),
        (127, "", "sh: 1: tool: not found\n", True),
        (0, ABSENT[0][1], "", False),
        (126, ABSENT[0][1], "", True),
        (127, "said before\n", ABSENT[3][2], False),
        (1, "", "reading\nexec /x/tool: no such file or directory\n", True),
        (2, "", "exec /x/tool: no such file or directory\n", True),
        (1, "out\n", "exec /x/tool: no such file or directory\n", True),
    ],
)
def test_a_command_that_ends_like_that_by_itself_has_ended(code: int, stdout: str, stderr: str, began: bool) -> None:
    assert not_started("tool", code, stdout, stderr, began=began) is None
