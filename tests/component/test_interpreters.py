"""Real interpreters say who they are."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.markers import default_environment

from ci_envs import command
from ci_envs.command import Command, Outcome
from ci_envs.interpreters import all_interpreters, find_interpreter
from ci_envs.tools import tool_version, uv_program

pytestmark = pytest.mark.component

SERIES = f"{sys.version_info.major}.{sys.version_info.minor}"
#: The interpreter that this test's own environment was made from.
BASE = Path(getattr(sys, "_base_executable", sys.executable))


def environ(tmp_path: Path, *path: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("SYSTEMROOT", "LD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": os.pathsep.join(map(str, path)), "CI_ENVS_CACHE_DIR": str(tmp_path / "cache"), **kept}


def test_a_real_interpreter_answers_as_packaging_would_inside_it(tmp_path: Path) -> None:
    found = find_interpreter(SERIES, environ=environ(tmp_path, BASE.parent), home=tmp_path)

    assert found is not None
    assert found.version == sys.version.split()[0]
    assert found.series == SERIES
    assert found.base_prefix == sys.base_prefix
    markers = {name: value for name, value in default_environment().items() if name != "extra"}
    assert found.markers == markers
    assert (Path(found.prefix) / found.paths["stdlib"] / "os.py").is_file()


def test_a_known_one_is_found_in_5_ms_and_without_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {**os.environ, **environ(tmp_path), "PATH": os.environ["PATH"]}
    first = find_interpreter(SERIES, environ=variables)

    def refuse(asked: Command) -> Outcome:
        raise AssertionError(f"asked again: {asked}")

    seconds = []
    for _ in range(20):
        begun = time.perf_counter()
        again = find_interpreter(SERIES, environ=variables, run=refuse)
        seconds.append(time.perf_counter() - begun)
        assert again == first
    assert min(seconds) < 0.005


def test_the_interpreter_of_our_own_environment_is_never_the_legs(tmp_path: Path) -> None:
    if sys.prefix == sys.base_prefix:
        pytest.skip("these tests do not run in a virtual environment")
    variables = {**os.environ, "CI_ENVS_CACHE_DIR": str(tmp_path), "PATH": f"{Path(sys.executable).parent}"}

    found = find_interpreter(SERIES, environ=variables, home=tmp_path)

    assert found is not None
    assert Path(found.prefix) != Path(sys.prefix)
    assert not (Path(found.executable).parent.parent / "pyvenv.cfg").exists()


def test_a_fresh_virtual_environment_on_path_is_passed_over(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    assert command.run(Command((str(BASE), "-m", "venv", "--without-pip", str(venv))))

    found = all_interpreters(environ=environ(tmp_path, venv / "bin", venv / "Scripts"), home=tmp_path)

    assert [one for one in found if Path(one.executable).is_relative_to(venv)] == []


def test_one_that_hangs_is_passed_over_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name == "nt":
        pytest.skip("a shell script")
    monkeypatch.setattr("ci_envs.interpreters._ASK_TIMEOUT_SECONDS", 0.5)
    program = tmp_path / "bin" / "python3.98"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    notes: list[str] = []

    assert (
        find_interpreter(
            "3.98",
            environ=environ(tmp_path, program.parent) | {"PATH": f"{program.parent}:/usr/bin:/bin"},
            home=tmp_path,
            notes=notes,
        )
        is None
    )
    assert "too long" in notes[0]


def test_our_uv_says_its_version_once(tmp_path: Path) -> None:
    variables = environ(tmp_path)
    version = tool_version(uv_program(), variables)

    assert version.split(".")[0].isdigit()

    def refuse(asked: Command) -> Outcome:
        raise AssertionError(f"asked again: {asked}")

    assert tool_version(uv_program(), variables, run=refuse) == version


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    source = (
        "import sys\n"
        "from ci_envs.__main__ import main\n"
        f"main({arguments!r})\n"
        "heavy = {'yaml', 'rich', 'packaging', 'msgspec', 'platformdirs', 'filelock', 'uv', 'python_discovery'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )

    said = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)

    assert said.stderr == "[]\n"
    assert "ci-envs" in said.stdout
