from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from ci_envs.command import Command, Outcome
from ci_envs.doctor import NEEDS, FoundTool, diagnose, refuse_unready
from ci_envs.errors import ToolMissing, UsageError
from ci_envs.model.leg import CONTAINED
from ci_envs.nix.tool import INSTALL
from ci_envs.patterns.registry import ALL_PATTERNS

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.skipif(os.name == "nt", reason="programs of POSIX")

BUILT = {"uv": True, "venv": True, "virtualenv": True, "poetry": False, "pixi": False}


@dataclass
class Machine:
    """A made-up machine: programs that say what they were given to say."""

    folder: Path
    says: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, said: str) -> None:
        program = self.folder / name
        program.write_text("")
        program.chmod(0o755)
        self.says[name] = said

    def add_python(self, version: str, *, ensurepip: bool = True) -> None:
        series = version.rpartition(".")[0]
        library = self.folder.parent / "lib" / f"python{series}"
        if ensurepip:
            (library / "ensurepip").mkdir(parents=True)
            (library / "ensurepip/__init__.py").write_text("")
        prefix = str(self.folder.parent)
        answer = {"version": version, "implementation": "cpython", "os": "linux", "arch": "x86_64", "executable": "x"}
        answer |= {"prefix": prefix, "base_prefix": prefix}
        self.add(f"python{series}", json.dumps({**answer, "paths": {"stdlib": f"lib/python{series}"}}))

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": str(self.folder), "CI_ENVS_CACHE_DIR": str(self.folder.parent / "cache")}

    def run(self, command: Command) -> Outcome:
        name = Path(command.argv[0]).name
        said = self.says.get(name, "uv 9.9.9" if name == "uv" else "")
        return Outcome(argv=command.argv, returncode=0 if said else 1, stdout=said)


@pytest.fixture
def machine(tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(sys, "_base_executable", str(tmp_path / "none"))
    folder = tmp_path / "usr" / "bin"
    folder.mkdir(parents=True)
    return Machine(folder)


def states(machine: Machine, *patterns: str) -> dict[str, str]:
    found = diagnose(patterns, built=BUILT, environ=machine.environ, run=machine.run)
    return {state.pattern: state.status for state in found.patterns}


def test_a_machine_with_a_python_can_build_what_ci_envs_brings_the_tools_for(machine: Machine) -> None:
    machine.add_python("3.12.4")

    assert states(machine) == {
        "uv": "ready",
        "venv": "ready",
        "virtualenv": "ready",
        "poetry": "not built yet",
        "pixi": "not built yet",
    }


def test_without_any_python_only_uv_is_ready_since_it_fetches_one(machine: Machine) -> None:
    assert states(machine, "uv", "venv", "virtualenv") == {"uv": "ready", "venv": "missing", "virtualenv": "missing"}


def test_a_tool_that_is_here_is_told_with_its_version(machine: Machine) -> None:
    machine.add("pixi", "pixi 0.28.2")

    (state,) = diagnose(["pixi"], built=BUILT, environ=machine.environ, run=machine.run).patterns

    assert (state.status, state.get) == ("not built yet", "")
    assert [(tool.name, tool.version) for tool in state.tools] == [("pixi", "0.28.2")]


def test_a_tool_that_is_not_here_is_told_with_the_one_command_that_brings_it(machine: Machine) -> None:
    (state,) = diagnose(["poetry"], built={"poetry": True}, environ=machine.environ, run=machine.run).patterns

    assert (state.status, state.get, state.tools) == ("missing", "uv tool install poetry", ())


def test_pythons_are_told_with_whether_they_can_seed_pip(machine: Machine) -> None:
    machine.add_python("3.12.4")
    machine.add_python("3.11.2", ensurepip=False)

    found = diagnose(built=BUILT, environ=machine.environ, run=machine.run).pythons

    assert [(one.python, one.version, one.ensurepip) for one in found] == [
        ("3.12", "3.12.4", True),
        ("3.11", "3.11.2", False),
    ]


def test_a_python_that_the_probe_cannot_run_under_is_not_listed(machine: Machine) -> None:
    machine.add_python("3.7.16")

    assert diagnose(built=BUILT, environ=machine.environ, run=machine.run).pythons == ()


def test_gpus_and_compilers_are_told(machine: Machine) -> None:
    machine.add("nvidia-smi", "NVIDIA H100 80GB HBM3, 550.54.15\nNVIDIA H100 80GB HBM3, 550.54.15\n")
    machine.add("cc", "cc (Debian 12.2.0-14) 12.2.0")

    found = diagnose(built=BUILT, environ=machine.environ, run=machine.run)

    assert [(gpu.name, gpu.version) for gpu in found.gpus] == [("NVIDIA H100 80GB HBM3", "550.54.15")] * 2
    assert [(tool.name, tool.version) for tool in found.tools] == [("cc", "12.2.0")]


def test_a_driver_that_does_not_answer_is_no_gpu(machine: Machine) -> None:
    machine.add("nvidia-smi", "")

    assert diagnose(built=BUILT, environ=machine.environ, run=machine.run).gpus == ()


def test_a_misspelt_pattern_is_told_with_the_nearest(machine: Machine) -> None:
    with pytest.raises(UsageError, match="did you mean 'poetry'"):
        states(machine, "poerty")


def test_asked_for_by_name_what_is_not_ready_is_a_missing_tool(machine: Machine) -> None:
    machine.add_python("3.12.4")
    fine = diagnose(["uv", "venv"], built=BUILT, environ=machine.environ, run=machine.run)
    unready = diagnose(["uv", "poetry"], built=BUILT, environ=machine.environ, run=machine.run)

    refuse_unready(fine)
    with pytest.raises(ToolMissing, match="poetry is not built yet") as caught:
        refuse_unready(unready)
    assert caught.value.hint == "uv tool install poetry"


def test_the_answer_as_json_has_the_promised_fields(machine: Machine) -> None:
    machine.add_python("3.12.4")

    said = json.loads(msgspec.json.encode(diagnose(["uv"], built=BUILT, environ=machine.environ, run=machine.run)))

    assert set(said["patterns"][0]) == {"pattern", "status", "tools", "get", "why"}
    assert set(said["patterns"][0]["tools"][0]) == {"name", "version", "path"}
    assert said["pythons"][0]["python"] == "3.12"


def test_every_pattern_of_the_registry_has_its_tool_or_brings_it() -> None:
    assert {name for name in ALL_PATTERNS if name not in {"uv", "venv", "virtualenv", "conda"} | CONTAINED} == set(
        NEEDS
    )
    assert all("*" in need.get for need in NEEDS.values())


def test_condas_tools_come_with_the_extra(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    here = diagnose(["conda"], built={"conda": True}, environ=machine.environ, run=machine.run).patterns[0]
    assert (here.status, [tool.name for tool in here.tools]) == ("ready", ["py-rattler", "conda-lock"])

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    gone = diagnose(["conda"], built={"conda": True}, environ=machine.environ, run=machine.run).patterns[0]
    assert (gone.status, gone.get) == ("missing", "python -m pip install 'repro-envs[conda]'")


def test_an_image_needs_an_engine_that_answers_and_not_a_client_on_path(machine: Machine) -> None:
    machine.add("docker", "Docker version 28.2.2, build e6534b4")

    def silent(pattern: str, environ: Mapping[str, str]) -> tuple[FoundTool, ...]:
        raise ToolMissing("no Docker answers here. unix:///run/docker.sock: no such socket", hint="start dockerd")

    diagnosis = diagnose(["docker"], built={"docker": True}, environ=machine.environ, run=machine.run, engines=silent)
    (state,) = diagnosis.patterns

    assert (state.status, state.get) == ("missing", "start dockerd")
    with pytest.raises(ToolMissing, match=r"docker lacks its tool: .*/run/docker\.sock: no such socket"):
        refuse_unready(diagnosis)


def test_the_engine_and_what_builds_for_it_are_named(machine: Machine) -> None:
    tools = (FoundTool(name="docker", version="26.1.5"), FoundTool(name="docker-buildx", version="0.13.1"))

    diagnosis = diagnose(
        ["docker"], built={"docker": True}, environ=machine.environ, run=machine.run, engines=lambda *_: tools
    )

    assert (diagnosis.patterns[0].status, diagnosis.patterns[0].tools) == ("ready", tools)


def test_nix_is_found_where_a_leg_finds_it_which_is_more_than_path(machine: Machine, tmp_path: Path) -> None:
    machine.add("nix", "nix (Nix) 2.24.9")
    profile = tmp_path / "home/.nix-profile"
    profile.mkdir(parents=True)
    machine.folder.rename(profile / "bin")
    environ = {**machine.environ, "PATH": str(tmp_path / "empty"), "HOME": str(tmp_path / "home")}

    (state,) = diagnose(["nix"], built={"nix": True}, environ=environ, run=machine.run).patterns

    assert (state.status, state.get) == ("ready", "")
    assert state.tools == (FoundTool(name="nix", version="2.24.9", path=str(profile / "bin/nix")),)


def test_a_nix_without_flakes_is_no_nix_that_a_leg_can_use(machine: Machine) -> None:
    machine.add("nix", "nix (Nix) 2.3.16")

    (state,) = diagnose(["nix"], built={"nix": True}, environ=machine.environ, run=machine.run).patterns

    assert (state.status, state.tools) == ("missing", ())
    assert state.why.endswith("nix is nix 2.3.16, and flakes and `nix print-dev-env` came with 2.4")
    assert "https://nixos.org/nix/install" in state.get


def test_guix_is_found_where_guix_pull_puts_it_and_may_be_at_a_commit(machine: Machine, tmp_path: Path) -> None:
    machine.add("guix", f"guix (GNU Guix) {'0f' * 20}\nCopyright (C) 2024 the Guix authors")
    pulled = tmp_path / "home/.config/guix/current"
    pulled.mkdir(parents=True)
    (pulled / "bin").symlink_to(machine.folder)
    environ = {**machine.environ, "PATH": str(tmp_path), "HOME": str(tmp_path / "home")}

    (state,) = diagnose(["guix"], built={"guix": True}, environ=environ, run=machine.run).patterns

    assert state.tools == (FoundTool(name="guix", version="0f" * 20, path=str(pulled / "bin/guix")),)


def test_what_brings_nix_is_said_in_the_same_words_everywhere() -> None:
    (tool,) = ALL_PATTERNS["nix"].requires

    assert NEEDS["nix"].get["*"] == tool.get == INSTALL
