"""One environment.yml for the CPU and for CUDA: two locks with the builds to match, built where there is no GPU."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.component.conda_programs import environment_file
from tests.component.running import PYTHON, Ran, run_verb, snapshot
from tests.support.channel_packages import stub_package, stub_python, variant_packages
from tests.support.channel_python import python_abi_package
from tests.support.channel_server import ChannelServer
from tests.support.conda_projects import use_mirror
from tests.support.projects import private_environment, write_project

from ci_envs.conda.lock_rules import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.channel import Channel
    from tests.support.index import Index

pytest_plugins = ("tests.component.conda_program_fixtures",)
pytestmark = pytest.mark.component

TAG = f"py{PYTHON.replace('.', '')}"
CPU, CUDA = f"locks/conda-{TAG}.conda-lock.yml", f"locks/conda-{TAG}-cuda12.conda-lock.yml"
LEG = f"conda-{TAG}-linux-x86_64"
MATRIX = f"axes: {{pattern: [conda], python: ['{PYTHON}'], accelerator: [cpu, cuda12]}}\n"
FILES = {"environment.yml": environment_file("python", "pytorch >=2"), "matrix.yml": MATRIX}
WITHOUT_GPU = pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="is about a machine without a GPU")


@pytest.fixture
def env(own_lean: Channel, fruit_index: Index, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables under which conda-forge has pytorch in builds for the CPU and two CUDAs."""
    newer = stub_package("newer", "1.0", platform="linux-64", depends=("__cuda >=12.6",))
    elsewhere = (*variant_packages(PYTHON, ("linux-64", "osx-arm64")), stub_python(f"{PYTHON}.9", "osx-arm64"))
    own_lean.add(python_abi_package(PYTHON), newer, *elsewhere)
    private = private_environment(fruit_index.url, tmp_path / "home", tmp_path / "cache")
    with ChannelServer(own_lean.folder.parent) as server:
        yield use_mirror(tmp_path, private, server.url())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project", FILES)


def lock(project: Path, env: dict[str, str], *words: str, code: int = 0) -> Ran:
    ran = run_verb(["lock", "--json", "matrix.yml", *words], env, project)
    assert ran.code == code, ran.output
    return ran


def torch(project: Path, name: str, platform: str = "linux-64") -> str:
    """The build of pytorch that a lock has, up to its Python."""
    packages = yaml.safe_load((project / name).read_text())["package"]
    (url,) = (one["url"] for one in packages if (one["name"], one["platform"]) == ("pytorch", platform))
    found = re.search(r"/pytorch-2\.6\.0-(\w+)_py3", url)
    assert found
    return found[1]


def virtual_needs(project: Path, name: str) -> set[str]:
    packages = yaml.safe_load((project / name).read_text())["package"]
    return {need(text)[0] for one in packages for text in one["dependencies"] if text.startswith("__")}


@pytest.mark.parametrize("said", ["", "12.4", "11.8"])
def test_one_intent_gives_two_locks_with_the_builds_to_match(project: Path, env: dict[str, str], said: str) -> None:
    env = {**env, **({"CONDA_OVERRIDE_CUDA": said} if said else {})}
    lock(project, env)
    assert torch(project, CPU) == "cpu_generic"
    assert virtual_needs(project, CPU) == {"__glibc"}
    assert torch(project, CUDA) == "cuda126"
    assert virtual_needs(project, CUDA) == {"__glibc", "__cuda"}
    before = snapshot(project)
    lock(project, env, "--check")
    lock(project, env, "--check", "--solve")
    lock(project, {**env, "CONDA_OVERRIDE_CUDA": ""}, "--check", "--only", LEG)
    assert snapshot(project) == before


def test_the_cuda_that_the_leg_names_is_exact(project: Path, env: dict[str, str]) -> None:
    (project / "environment.yml").write_text(environment_file("python", "newer"))
    lock(project, env, "--only", f"{LEG}-cuda12")
    (project / "matrix.yml").write_text(MATRIX.replace("cuda12", "cuda12.4"))
    ran = lock(project, env, "--only", f"{LEG}-cuda12.4", code=5)
    assert "__cuda >=12.6" in ran.verdict[2]
    assert not (project / CUDA.replace("cuda12", "cuda12.4")).exists()
    without = lock(project, env, "--only", LEG, code=5)
    assert "__cuda" in without.verdict[2]


def test_the_projects_own_virtual_packages_decide(project: Path, env: dict[str, str]) -> None:
    told = {"subdirs": {"linux-64": {"packages": {"__glibc": "2.12", "__cuda": "12.4"}}}}
    (project / "virtual-packages.yml").write_text(yaml.safe_dump(told))
    ran = lock(project, env, "--only", LEG, code=5)
    assert "__glibc" in ran.verdict[2]
    told["subdirs"]["linux-64"]["packages"]["__glibc"] = "2.28"
    (project / "virtual-packages.yml").write_text(yaml.safe_dump(told))
    lock(project, env)
    assert (torch(project, CPU), torch(project, CUDA)) == ("cpu_generic", "cuda126")


def test_a_platform_without_cuda_is_locked_beside_it(project: Path, env: dict[str, str]) -> None:
    (project / "ci-envs.yml").write_text("lock: {platforms: [linux-64, osx-arm64]}\n")
    lock(project, env, "--only", f"{LEG}-cuda12")
    assert torch(project, CUDA) == "cuda126"
    assert torch(project, CUDA, "osx-arm64") == "cpu_generic"


def test_a_lock_of_conda_locks_own_for_a_gpu_is_the_gpu_legs_alone(project: Path, env: dict[str, str]) -> None:
    lock(project, env, "--only", f"{LEG}-cuda12")
    path = project / "conda-lock.yml"
    shutil.move(project / CUDA, path)
    before = path.read_bytes()
    lock(project, env, "--check", "--only", f"{LEG}-cuda12")
    ran = lock(project, env, "--check", "--only", LEG, code=5)
    assert f"{CPU}: there is no lock for {LEG}; conda-lock.yml was made for a GPU" in ran.verdict[2]
    lock(project, env, "--only", LEG)
    assert path.read_bytes() == before
    assert torch(project, CPU) == "cpu_generic"


@WITHOUT_GPU
def test_a_leg_for_cuda_is_built_and_checked_without_a_gpu(project: Path, env: dict[str, str]) -> None:
    ran = run_verb(["run", "matrix.yml", "--stages=lock,build,check", "-q"], env, project)
    assert ran.code == 0, ran.output
    stages = {name: record.stage("check") for name, record in ran.records.items()}
    with_cuda, without = stages[f"{LEG}-cuda12"], stages[LEG]
    assert with_cuda is not None
    assert without is not None
    assert "skipped accelerator: no GPU on this machine" in with_cuda.reason
    assert "accelerator" not in without.reason
    builds = {
        name: next(one.build for one in record.inventory if one.name == "pytorch")
        for name, record in ran.records.items()
    }
    assert builds[LEG].startswith("cpu_generic")
    assert builds[f"{LEG}-cuda12"].startswith("cuda126")
    digests = {record.environment.digest for record in ran.records.values() if record.environment is not None}
    assert len(digests) == 2
