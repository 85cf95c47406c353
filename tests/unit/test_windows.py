"""What Windows decides, asked with its facts on any system."""

from __future__ import annotations

import pytest

from ci_envs.command import Command, _located
from ci_envs.windows import end_tree, find_program, long_path_hint, variable

ENV = r"D:\a\project\.ci-envs\envs\leg\Scripts"
SYSTEM = r"C:\Windows\system32"
FILES = frozenset(
    (
        rf"{ENV}\python.exe",
        rf"{ENV}\pytest.exe",
        rf"{ENV}\tool.cmd",
        rf"{SYSTEM}\python.exe",
        rf"{SYSTEM}\where.exe",
        rf"{SYSTEM}\both.exe",
        rf"{SYSTEM}\both.cmd",
    )
)


@pytest.mark.parametrize("spelling", ["PATH", "Path", "path"])
def test_a_variable_has_any_case(spelling: str) -> None:
    assert variable({"OTHER": "x", spelling: "here"}, "PATH", "default") == "here"


def test_a_variable_that_is_not_there_is_the_default() -> None:
    assert variable({"PATHEXT": "x"}, "PATH", "default") == "default"
    assert variable({"Path": "second", "PATH": "first"}, "PATH") == "first"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("python", rf"{ENV}\python.exe"),
        ("python.exe", rf"{ENV}\python.exe"),
        ("PYTHON.EXE", ""),  # the file system folds cases; this one does not
        ("tool", rf"{ENV}\tool.cmd"),
        ("where", rf"{SYSTEM}\where.exe"),
        ("both", rf"{SYSTEM}\both.exe"),
        ("mypy", ""),
        (r"C:\tools\x.exe", r"C:\tools\x.exe"),
        ("scripts/run", "scripts/run"),
    ],
)
def test_a_bare_name_is_looked_for_on_the_path_that_the_command_gets(name: str, found: str) -> None:
    environ = {"Path": f'"{ENV}";{SYSTEM}', "PATHEXT": ".COM;.EXE;.BAT;.CMD;.VBS;.PY"}
    assert find_program(name, environ, FILES.__contains__) == found


def test_what_a_shell_alone_can_run_is_no_program() -> None:
    environ = {"PATH": r"C:\x", "PATHEXT": ".VBS;.PY"}
    assert find_program("run", environ, [r"C:\x\run.py", r"C:\x\run.vbs"].__contains__) == ""
    assert find_program("run", environ, [r"C:\x\run.py", r"C:\x\run.exe"].__contains__) == r"C:\x\run.exe"


def test_neither_the_current_folder_nor_a_relative_one_is_looked_in() -> None:
    environ = {"PATH": r".;tools;;C:\x"}
    assert find_program("git", environ, ["git.exe", r".\git.exe", r"tools\git.exe"].__contains__) == ""


def test_a_program_that_the_commands_own_path_lacks_is_not_there() -> None:
    # CreateProcess would find this process's own.
    with pytest.raises(FileNotFoundError):
        _located(Command(("python",), env={"PATH": r"C:\nowhere"}), on_windows=True)


def test_a_program_in_the_current_folder_is_never_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    # CreateProcess would look there first: a project could bring a git.exe.
    monkeypatch.setenv("PATH", r"C:\nowhere")
    with pytest.raises(FileNotFoundError):
        _located(Command(("git", "ls-files")), on_windows=True)


def test_a_path_is_taken_as_it_is() -> None:
    assert _located(Command((r"C:\x\python.exe", "-V"), env={}), on_windows=True) == (r"C:\x\python.exe", "-V")


def test_elsewhere_the_system_looks() -> None:
    assert _located(Command(("python", "-V"), env={"PATH": "/nowhere"}), on_windows=False) == ("python", "-V")


def test_a_tree_is_ended_by_windows_own_program() -> None:
    assert end_tree(4711, {"SystemRoot": r"D:\Win"}) == (r"D:\Win\System32\taskkill.exe", "/PID", "4711", "/T", "/F")
    assert end_tree(1, {})[0] == r"C:\Windows\System32\taskkill.exe"


# --- long paths

LONG = rf"C:\Users\somebody\{'a' * 120}\.ci-envs\envs\uv-py312-windows-x86_64"


@pytest.mark.parametrize(
    ("said", "prefix"),
    [
        ("error: failed to create file: The filename or extension is too long. (os error 206)", r"C:\p"),
        ("OSError: [WinError 206] The filename or extension is too long: 'C:\\\\x'", r"C:\p"),
        ("error: failed to open `C:\\x`: The system cannot find the path specified. (os error 3)", LONG),
        ("ERROR: Could not install packages due to an OSError: [Errno 2] No such file or directory", LONG),
    ],
)
def test_a_path_that_is_too_long_is_told_with_what_to_do(said: str, prefix: str) -> None:
    hint = long_path_hint(said, prefix)
    assert prefix in hint
    assert "LongPathsEnabled" in hint
    assert "CI_ENVS_STATE_DIR" in hint


@pytest.mark.parametrize(
    ("said", "prefix"),
    [
        ("The system cannot find the path specified. (os error 3)", r"C:\p\.ci-envs\envs\leg"),
        ("error: No solution found when resolving dependencies", LONG),
        ("OSError: [Errno 2] No such file or directory", "/home/" + "a" * 200),
        ("OSError: [Errno 36] File name too long", "/home/me/.ci-envs/envs/leg"),
    ],
)
def test_any_other_failure_is_not_taken_for_it(said: str, prefix: str) -> None:
    assert long_path_hint(said, prefix) == ""
