"""Finding an interpreter, with files that only look like one: who they are is said by a stand-in for the process."""

from __future__ import annotations

import json
import os
import platform
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ci_envs.command import Command, Outcome
from ci_envs.errors import ToolMissing, UsageError
from ci_envs.interpreters import (
    _QUESTION,
    all_interpreters,
    find_interpreter,
    missing_python,
    need_interpreter,
)
from ci_envs.places import is_in_environment

pytestmark = pytest.mark.skipif(os.name == "nt", reason="folders of POSIX")


@dataclass
class Pythons:
    """Programs of a made-up machine, which answer by what is written in their files."""

    home: Path
    asked: list[str] = field(default_factory=list)

    def add(self, path: str, version: str = "", **said: Any) -> Path:
        program = self.home / path
        program.parent.mkdir(parents=True, exist_ok=True)
        answer = {"version": version, "implementation": "cpython", "os": "linux", "arch": "x86_64", **said}
        answer |= {
            "executable": str(program),
            "prefix": str(program.parent.parent),
            "base_prefix": "",
            "markers": {},
            "paths": {},
        }
        program.write_text(json.dumps(answer) if version else said.get("text", ""))
        program.chmod(0o755)
        return program

    def run(self, command: Command) -> Outcome:
        self.asked.append(str(Path(command.argv[0]).relative_to(self.home)))
        text = Path(os.path.realpath(command.argv[0])).read_text()
        return Outcome(
            argv=command.argv, returncode=0 if text else 1, stdout=f"{text}\n", stderr="" if text else "broken"
        )

    def find(
        self, wanted: str, *, path: str = "", arch: str | None = None, notes: list[str] | None = None
    ) -> str | None:
        environ = {"PATH": os.pathsep.join(str(self.home / p) for p in path.split())} | self.environ
        found = find_interpreter(wanted, arch=arch, environ=environ, home=self.home, run=self.run, notes=notes)
        return str(Path(found.executable).relative_to(self.home)) if found else None

    @property
    def environ(self) -> dict[str, str]:
        return {"CI_ENVS_CACHE_DIR": str(self.home / "cache")}


@pytest.fixture
def pythons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pythons:
    # The Python that runs the tests is on this machine and not on the made-up one.
    monkeypatch.setattr(sys, "_base_executable", str(tmp_path / "none"))
    return Pythons(tmp_path)


@pytest.mark.parametrize(
    "wanted", ["", "3", "3.", "three", "3.12 ", "../3.12", "3.12.x", "python3.12", "3.12d", "cpython3.12"]
)
def test_what_is_no_version_is_the_users_mistake(pythons: Pythons, wanted: str) -> None:
    with pytest.raises(UsageError, match="no Python version"):
        pythons.find(wanted)


def test_the_one_on_path_is_taken_and_nothing_else_is_asked(pythons: Pythons) -> None:
    pythons.add("bin/python3.12", "3.12.1")
    pythons.add(".pyenv/versions/3.12.9/bin/python3.12", "3.12.9")

    assert pythons.find("3.12", path="bin") == "bin/python3.12"
    assert pythons.asked == ["bin/python3.12"]


def test_one_that_pyenv_hides_behind_a_shim_is_found(pythons: Pythons) -> None:
    pythons.add(".pyenv/shims/python3.12", text="a shell script")
    pythons.add("usr/python3.12", "3.12.2")
    pythons.add(".pyenv/versions/3.11.7/bin/python3.11", "3.11.7")
    pythons.add(".pyenv/versions/3.12.1/bin/python3.12", "3.12.1")

    assert pythons.find("3.12", path=".pyenv/shims usr") == ".pyenv/versions/3.12.1/bin/python3.12"
    assert pythons.asked == [".pyenv/versions/3.12.1/bin/python3.12"]


@pytest.mark.parametrize(
    ("place", "variables"),
    [
        (".pyenv/versions/3.12.4/bin/python3.12", {}),
        ("elsewhere/versions/3.12.4/bin/python3.12", {"PYENV_ROOT": "elsewhere"}),
        ("tools/Python/3.12.4/x64/bin/python3.12", {"RUNNER_TOOL_CACHE": "tools"}),
        ("tools/Python/3.12.4/x64/bin/python", {"AGENT_TOOLSDIRECTORY": "tools"}),
        (".local/share/uv/python/cpython-3.12.4-linux-x86_64-gnu/bin/python3.12", {}),
        ("uvs/cpython-3.12.4-linux-x86_64-gnu/bin/python3.12", {"UV_PYTHON_INSTALL_DIR": "uvs"}),
        (".asdf/installs/python/3.12.4/bin/python3.12", {}),
        ("data/mise/installs/python/3.12.4/bin/python3.12", {"XDG_DATA_HOME": "data"}),
        (".rye/py/cpython@3.12.4/bin/python3", {}),
    ],
)
def test_every_managers_folder_is_looked_into(pythons: Pythons, place: str, variables: dict[str, str]) -> None:
    pythons.add(place, "3.12.4")
    environ = pythons.environ | {name: str(pythons.home / value) for name, value in variables.items()}

    found = find_interpreter("3.12", environ=environ, home=pythons.home, run=pythons.run)

    assert found is not None
    assert found.executable == str(pythons.home / place)


def test_the_newest_patch_of_a_place_is_taken_by_number_and_finals_before_candidates(pythons: Pythons) -> None:
    for version in ("3.12.9", "3.12.10", "3.12.2", "3.12.11rc1"):
        pythons.add(f".pyenv/versions/{version}/bin/python3.12", version)

    assert pythons.find("3.12") == ".pyenv/versions/3.12.10/bin/python3.12"
    assert len(pythons.asked) == 1


def test_an_exact_version_passes_over_newer_and_older_ones(pythons: Pythons) -> None:
    pythons.add("bin/python3.12", "3.12.9")
    pythons.add(".pyenv/versions/3.12.4/bin/python3.12", "3.12.4")

    assert pythons.find("3.12.4", path="bin") == ".pyenv/versions/3.12.4/bin/python3.12"
    assert pythons.find("3.12.5", path="bin") is None


def test_3_1_is_not_3_10(pythons: Pythons) -> None:
    pythons.add("bin/python3.10", "3.10.2")
    pythons.add("bin/python3", "3.10.2")

    assert pythons.find("3.1", path="bin") is None
    assert pythons.find("3.10", path="bin") == "bin/python3.10"


def test_a_free_threaded_build_is_taken_only_where_it_was_asked_for(pythons: Pythons) -> None:
    pythons.add(
        ".local/share/uv/python/cpython-3.13.0+freethreaded-linux-x86_64-gnu/bin/python3.13t",
        "3.13.0",
        free_threaded=True,
    )
    pythons.add("bin/python3.13", "3.13.0", free_threaded=True)

    assert pythons.find("3.13", path="bin") is None
    assert str(pythons.find("3.13t", path="bin")).endswith("python3.13t")
    assert str(pythons.find("3.13.0t")).endswith("python3.13t")


def test_pypy_is_found_by_its_own_number_and_is_no_cpython(pythons: Pythons) -> None:
    pythons.add(".pyenv/versions/pypy3.10-7.3.17/bin/pypy3.10", "3.10.14", implementation="pypy")

    assert pythons.find("pypy3.10") == ".pyenv/versions/pypy3.10-7.3.17/bin/pypy3.10"
    assert pythons.find("3.10") is None


def test_one_of_another_architecture_is_passed_over(pythons: Pythons) -> None:
    pythons.add("bin/python3.12", "3.12.1", arch="i686")
    pythons.add("more/python3.12", "3.12.1", arch="AMD64")

    assert pythons.find("3.12", path="bin more", arch="x86_64") == "more/python3.12"
    assert pythons.find("3.12", path="bin more", arch="aarch64") is None


def test_a_debug_build_is_better_than_none_and_worse_than_any_other(pythons: Pythons) -> None:
    pythons.add("bin/python3.12", "3.12.1", debug=True)
    assert pythons.find("3.12", path="bin more") == "bin/python3.12"

    pythons.add("more/python3.12", "3.12.0")
    assert pythons.find("3.12", path="bin more") == "more/python3.12"


def test_the_interpreter_of_a_virtual_environment_is_never_taken(pythons: Pythons) -> None:
    base = pythons.add("usr/bin/python3.12", "3.12.1")
    for place, program in (("venv/bin", "python3.12"), ("bin", "python3.12")):
        (pythons.home / place).mkdir(parents=True)
        (pythons.home / place / program).symlink_to(
            base if place == "venv/bin" else pythons.home / "venv/bin/python3.12"
        )
    (pythons.home / "venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")

    assert pythons.find("3.12", path="venv/bin bin") is None
    assert pythons.asked == []


def test_a_base_is_still_found_after_an_environments_link_to_it(pythons: Pythons) -> None:
    base = pythons.add("usr/bin/python3.12", "3.12.1")
    (pythons.home / "venv/bin").mkdir(parents=True)
    (pythons.home / "venv/bin/python3.12").symlink_to(base)
    (pythons.home / "venv/pyvenv.cfg").write_text("")

    assert pythons.find("3.12", path="venv/bin usr/bin") == "usr/bin/python3.12"


def test_a_ring_of_links_is_no_interpreter(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")

    assert is_in_environment(tmp_path / "a")


def test_broken_ones_are_passed_over_with_a_note(pythons: Pythons) -> None:
    pythons.add("one/python3.12", text="")
    pythons.add("two/python3.12", text="no JSON at all")
    pythons.add("three/python3.12", "3.12.1")
    notes: list[str] = []

    assert pythons.find("3.12", path="one two three", notes=notes) == "three/python3.12"
    assert [("broken" in notes[0]), ("malformed" in notes[1])] == [True, True]


def test_a_program_that_cannot_be_started_is_passed_over(pythons: Pythons) -> None:
    pythons.add("bin/python3.12", "3.12.1")
    notes: list[str] = []

    def run(command: Command) -> Outcome:
        raise ToolMissing("cannot be run here")

    environ = {"PATH": str(pythons.home / "bin"), **pythons.environ}
    assert find_interpreter("3.12", environ=environ, home=pythons.home, run=run, notes=notes) is None
    assert len(notes) == 1


@pytest.mark.parametrize("name", ["python3.12", "python3"])
def test_a_file_that_is_not_executable_or_no_file_is_not_asked(pythons: Pythons, name: str) -> None:
    pythons.add(f"one/{name}", "3.12.1").chmod(0o644)
    (pythons.home / "two" / name).mkdir(parents=True)

    assert pythons.find("3.12", path="one two") is None
    assert pythons.asked == []


def test_a_relative_entry_of_path_is_never_looked_into(pythons: Pythons, monkeypatch: pytest.MonkeyPatch) -> None:
    pythons.add("bin/python3.12", "3.12.1")
    monkeypatch.chdir(pythons.home)

    environ = {"PATH": f"bin{os.pathsep}.{os.pathsep}", **pythons.environ}
    assert find_interpreter("3.12", environ=environ, home=pythons.home / "empty", run=pythons.run) is None


def test_a_known_interpreter_is_not_asked_again_by_the_next_run(pythons: Pythons) -> None:
    pythons.add("bin/python3.12", "3.12.1")

    assert [pythons.find("3.12", path="bin") for _ in range(3)] == ["bin/python3.12"] * 3
    assert len(pythons.asked) == 1


def test_a_replaced_interpreter_is_asked_again_and_a_removed_one_forgotten(pythons: Pythons) -> None:
    program = pythons.add("bin/python3.12", "3.12.1")
    pythons.find("3.12", path="bin")

    pythons.add("bin/python3.12", "3.12.10")
    assert pythons.find("3.12.10", path="bin") == "bin/python3.12"
    program.unlink()
    assert pythons.find("3.12", path="bin") is None


def test_two_names_of_one_interpreter_are_one(pythons: Pythons) -> None:
    program = pythons.add("bin/python3.12", "3.12.1")
    (pythons.home / "bin/python3").symlink_to(program)
    (pythons.home / "bin/python").symlink_to(program)

    environ = {"PATH": str(pythons.home / "bin"), **pythons.environ}
    found = all_interpreters(environ=environ, home=pythons.home, run=pythons.run)

    assert [one.version for one in found] == ["3.12.1"]
    assert len(pythons.asked) == 1


def test_all_are_listed_newest_series_first_and_helper_programs_are_not_asked(pythons: Pythons) -> None:
    for version in ("3.9.1", "3.13.0", "3.10.4"):
        series = version.rpartition(".")[0]
        pythons.add(f".pyenv/versions/{version}/bin/python{series}", version)
        pythons.add(f".pyenv/versions/{version}/bin/python{series}-config", text="sh")
        pythons.add(f".pyenv/versions/{version}/bin/python{series}-gdb.py", text="sh")
    notes: list[str] = []

    found = all_interpreters(environ=pythons.environ, home=pythons.home, run=pythons.run, notes=notes)

    assert [one.version for one in found] == ["3.13.0", "3.10.4", "3.9.1"]
    assert notes == []


def test_a_missing_python_is_told_with_the_command_that_brings_it(pythons: Pythons) -> None:
    assert missing_python("3.13") == "no Python 3.13 here (uv python install 3.13)"
    with pytest.raises(ToolMissing, match=r"no Python 3\.98 here \(uv python install 3\.98\)"):
        need_interpreter("3.98", environ={"PATH": "", **pythons.environ}, run=pythons.run)


# --- the question, by the facts of Windows


@pytest.mark.parametrize(
    ("built", "bits", "arch"),
    [("win-amd64", 64, "amd64"), ("win-arm64", 64, "arm64"), ("win32", 32, "i686")],
)
def test_of_windows_it_is_asked_what_an_interpreter_is_built_for(
    built: str, bits: int, arch: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sysconfig.get_config_vars()  # read once, and by this machine's facts
    monkeypatch.setattr(platform, "machine", lambda: "ARM64")  # which emulates the others
    monkeypatch.setattr(sysconfig, "get_platform", lambda: built)
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"purelib": f"{sys.prefix}/Lib/site-packages"})
    with monkeypatch.context() as facts:
        facts.setattr(os, "name", "nt")
        facts.setattr(sys, "maxsize", 2 ** (bits - 1) - 1)
        exec(_QUESTION, {})  # noqa: S102 - it is what another interpreter is asked
    answer = json.loads(capsys.readouterr().out)
    assert answer["arch"] == arch
    assert answer["markers"]["platform_machine"] == "ARM64"
    assert answer["paths"] == {"purelib": "Lib/site-packages"}
