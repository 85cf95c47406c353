"""Where interpreters lie on Windows and macOS, with folders of a made-up machine."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from ci_envs import places
from ci_envs.places import candidates, parse_wanted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ROAMING = "AppData/Roaming/uv/data/python"


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "_base_executable", str(tmp_path / "none"), raising=False)
    monkeypatch.setattr(places, "_EXE", ".exe")
    monkeypatch.setattr(places, "_PROGRAM", re.compile(r"(?:python|pypy)\d+\.\d+t?\.exe"))


def found(home: Path, wanted: str | None, environ: Mapping[str, str]) -> list[str]:
    told = candidates(parse_wanted(wanted) if wanted else None, environ, home)
    return [candidate.path.relative_to(home).as_posix() for candidate in told]


def add(home: Path, *paths: str) -> None:
    for path in paths:
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(b"MZ")
        (home / path).chmod(0o755)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("tools/Python/3.12.10/x64/python.exe", "3.12"),
        ("tools/Python/3.13.5/x64-freethreaded/python3.13t.exe", "3.13t"),
        ("tools/PyPy/3.10.16/x86/pypy3.10.exe", "pypy3.10"),
        (f"{ROAMING}/cpython-3.12.4-windows-x86_64-none/python.exe", "3.12"),
        (".pyenv/versions/3.12.4/python.exe", "3.12"),
        ("on-path/python.exe", "3.12"),
    ],
)
def test_on_windows_an_interpreter_lies_at_the_top_of_its_installation(tmp_path: Path, path: str, wanted: str) -> None:
    add(tmp_path, path)
    environ = {"RUNNER_TOOL_CACHE": str(tmp_path / "tools"), "PATH": str(tmp_path / "on-path")}
    assert found(tmp_path, wanted, environ) == [path]
    assert found(tmp_path, "3.11", environ) == (["on-path/python.exe"] if path.startswith("on-path") else [])


@pytest.mark.usefixtures("windows")
def test_the_stubs_that_open_a_shop_are_no_interpreters(tmp_path: Path) -> None:
    add(tmp_path, "Local/Microsoft/WindowsApps/python.exe", "Local/Microsoft/WindowsApps/python3.12.exe")
    assert found(tmp_path, "3.12", {"PATH": str(tmp_path / "Local/Microsoft/WindowsApps")}) == []


@pytest.mark.usefixtures("windows")
def test_the_interpreter_of_an_environment_is_left_out_by_its_configuration(tmp_path: Path) -> None:
    add(tmp_path, "env/Scripts/python.exe", "env/pyvenv.cfg")
    assert found(tmp_path, "3.12", {"PATH": str(tmp_path / "env/Scripts")}) == []


def test_on_macos_the_frameworks_of_python_org_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    told = {place: folder.as_posix() for place, folder, _ in places._installations({}, tmp_path)}
    assert told["python.org"] == "/Library/Frameworks/Python.framework/Versions"
    assert told["uv"] == (tmp_path / ".local/share/uv/python").as_posix()
