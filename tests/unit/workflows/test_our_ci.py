"""What our own workflows promise: every system, every Python, the whole of ``.ci/run``, the product on our examples."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch

import pytest
from tests.support.workflows import ROOT, Repository, Workflow, files_of

from ci_envs.matrices import load_matrix
from ci_envs.planning.expansion import expand
from ci_envs.project import Project

PRODUCT = "$/.github/workflows/build-envs.yml"


@pytest.fixture(scope="module")
def ours() -> Repository:
    return files_of()


@pytest.fixture(scope="module")
def ci(ours: Repository) -> Workflow:
    return ours.workflows[".github/workflows/ci.yml"]


@pytest.fixture(scope="module")
def nightly(ours: Repository) -> Workflow:
    return ours.workflows[".github/workflows/nightly.yml"]


def test_every_way_into_main_is_tested(ci: Workflow) -> None:
    assert set(ci.on) == {"pull_request", "push", "merge_group", "workflow_dispatch"}
    assert ci.on.sub("push")["branches"] == ["main"]


def test_unit_tests_run_on_every_system_and_every_python(ci: Workflow) -> None:
    matrix = ci.jobs["unit"].table.sub("strategy").sub("matrix")
    assert [re.split(r"-", label)[0] for label in matrix["os"]] == ["ubuntu", "macos", "windows"]
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert oldest == f">={matrix['python'][0]}"
    # A system whose first failure hid those of the others would be asked many times.
    assert ci.jobs["unit"].table.sub("strategy").text("fail-fast") == "false"


@pytest.mark.parametrize("file", ["ci", "nightly"])
def test_all_that_there_is_runs_on_linux(file: str, ours: Repository) -> None:
    whole = ours.workflows[f".github/workflows/{file}.yml"].jobs["whole"]
    assert [step.run for step in whole.steps if step.run] == [".ci/run"]


def test_the_product_builds_venv_and_uv_on_every_system(ci: Workflow) -> None:
    job = ci.jobs["envs"]
    assert job.uses == PRODUCT
    matrix = load_matrix(Project(ROOT), ROOT / str(job.given["matrix"]))
    assert set(matrix.axes["pattern"]) == {"venv", "uv"}
    assert set(matrix.axes["os"]) == {"linux", "macos", "windows"}


def test_a_night_builds_the_nightly_tier_and_the_other_systems(nightly: Workflow) -> None:
    assert nightly.on.sub("workflow_dispatch") == {}
    assert [cron["cron"] for cron in nightly.on["schedule"]] == ["17 3 * * *"]
    calls = {job.key: dict(job.given) for job in nightly.jobs.values() if job.uses == PRODUCT}
    assert calls["envs"]["tier"] == "nightly"
    assert calls["platforms"]["matrix"] == "matrices/ci.yml"
    # Two calls of one run must not write one artifact.
    assert calls["platforms"]["artifact-name"] not in ("", "ci-envs")
    assert "artifact-name" not in calls["envs"]
    (everything,) = [step for step in nightly.jobs["whole"].steps if step.run]
    assert int(everything.env.text("CI_ENVS_TEST_KILLS")) > 10


def test_a_night_asks_only_for_what_hosted_runners_have(nightly: Workflow) -> None:
    """What it leaves out is said by its filter, and nothing else needs a program or a machine that is not there."""
    out = [word[1:] for word in nightly.jobs["envs"].given.text("matrix-filter").split()]
    assert out == ["nix-*", "devcontainer-*", "*-cuda*"]
    legs = expand(load_matrix(Project(ROOT), ROOT / "matrices/nightly.yml"), os="linux", arch="x86_64").legs
    kept = [leg for leg in legs if not any(fnmatch(leg.id, glob) for glob in out)]
    assert {leg.pattern for leg in kept} == {"venv", "uv", "virtualenv", "conda", "docker", "podman"}
    assert {leg.accelerator for leg in kept} == {"cpu"}
    # None of these globs is for nothing.
    assert all(any(fnmatch(leg.id, glob) for leg in legs) for glob in out)


def test_a_step_of_ours_is_one_command(ours: Repository) -> None:
    for file in (".github/workflows/ci.yml", ".github/workflows/nightly.yml"):
        for step in ours.workflows[file].steps:
            assert not re.search(r"[\n;|&<>]", step.run), step.run
