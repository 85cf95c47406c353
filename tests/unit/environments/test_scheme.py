from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ci_envs.environments.scheme import SHELL_NAME, Scheme
from ci_envs.model.shell import Shell


@pytest.mark.parametrize(
    ("files", "platform", "kind", "folders"),
    [
        ([], "linux", "venv", ["bin/python", "bin"]),
        (["pyvenv.cfg"], "darwin", "venv", ["bin/python", "bin"]),
        (["pyvenv.cfg"], "win32", "venv", ["Scripts/python.exe", "Scripts"]),
        (["conda-meta/history"], "linux", "conda", ["bin/python", "bin"]),
        (["pyvenv.cfg", "conda-meta/history"], "linux", "venv", ["bin/python", "bin"]),
        (
            ["conda-meta/history"],
            "win32",
            "conda",
            ["python.exe", ".", "Library/mingw-w64/bin", "Library/usr/bin", "Library/bin", "Scripts", "bin"],
        ),
    ],
)
def test_folders_go_by_what_is_there_and_by_the_system(
    tmp_path: Path, files: list[str], platform: str, kind: str, folders: list[str]
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    scheme = Scheme.of(tmp_path, platform=platform)
    python, *path = folders

    assert (scheme.kind, scheme.python) == (kind, tmp_path / python)
    assert scheme.path == tuple(tmp_path / folder for folder in path)
    assert scheme.scripts == tmp_path / ("Scripts" if platform == "win32" else "bin")


def test_a_folder_that_is_not_there_is_to_be_a_virtual_environment() -> None:
    assert Scheme.of(Path("/nowhere"), platform="linux").kind == "venv"


@pytest.mark.parametrize(
    ("python", "expected"), [("/nix/store/0-py/bin/python3", "/nix/store/0-py/bin/python3"), ("", "bin/python")]
)
def test_a_nix_shells_folders_are_those_that_it_says(tmp_path: Path, python: str, expected: str) -> None:
    shell = Shell(variables={}, path=("/nix/store/0-py/bin", "/nix/store/1-git/bin"), python=python)
    (tmp_path / SHELL_NAME).write_bytes(msgspec.json.encode(shell))

    scheme = Scheme.of(tmp_path, platform="linux")

    assert (scheme.kind, scheme.python) == ("nix", tmp_path / expected)
    assert scheme.path == (Path("/nix/store/0-py/bin"), Path("/nix/store/1-git/bin"))
