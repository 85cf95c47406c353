"""``action.yml`` as a job runs it: real bash, real pip, real environment files, over a small project."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.action_runner import run_action
from tests.support.hostile import HOSTILE
from tests.support.projects import NEEDLESS

from ci_envs.command import Command, run
from ci_envs.github.inputs import EnvironmentInputs
from ci_envs.machine import arch_name, os_name
from ci_envs.model.leg import make_leg
from ci_envs.record_files import read_record

if TYPE_CHECKING:
    from tests.support.action_runner import ActionRun
    from tests.support.channel_server import ChannelServer

pytestmark = [
    pytest.mark.component,
    pytest.mark.timeout(400),
    pytest.mark.skipif(sys.platform == "win32", reason="the tests make POSIX links and look at bin folders"),
]

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action.yml"
LEG_ACTION = ROOT / "actions" / "leg" / "action.yml"

TEST = """\
import unittest

class Tiny(unittest.TestCase):
    def test_adds(self) -> None:
        self.assertEqual(1 + 1, {sum})
"""

HOSTILE_HERE = (*HOSTILE, "'; touch pwned; '", "::set-output name=record::pwned")


@pytest.fixture(scope="module")
def private_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The first step once for all tests: the private environment, made from the hash lock."""
    folder = tmp_path_factory.mktemp("runner temp")
    result = run_action(ACTION, {}, job_at(folder), only={"tool"})
    assert result.ok, result.log
    assert (result.path, result.env) == ([], {})
    return result.steps["tool"]["python"]


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """A job whose repository is a project without any dependency, so that no index is asked."""
    job = job_at(tmp_path)
    repo = Path(job["GITHUB_WORKSPACE"])
    (repo / "pyproject.toml").write_text(NEEDLESS)
    (repo / "tests").mkdir()
    (repo / "tests" / "test_tiny.py").write_text(TEST.format(sum=2))
    return job


def job_at(folder: Path) -> dict[str, str]:
    (folder / "repo").mkdir()
    (folder / "temp").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CI_ENVS_", "INPUT_", "UV_"))}
    return {
        **kept,
        "CI": "true",
        "CI_ENVS_CACHE_DIR": str(folder / "cache"),
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_WORKSPACE": str(folder / "repo"),
        "RUNNER_ARCH": "X64",
        "RUNNER_ENVIRONMENT": "github-hosted",
        "RUNNER_OS": "Linux",
        "RUNNER_TEMP": str(folder / "temp"),
        "RUNNER_TOOL_CACHE": str(folder / "tools"),
    }


def act(job: dict[str, str], private_python: str, **inputs: str) -> ActionRun:
    """The action with its private environment made before, for this interpreter's own version of Python."""
    usual = {"pattern": "uv", "python-version": f"3.{sys.version_info.minor}", "lock-mode": "auto"}
    usual |= {"test-command": "python -m unittest discover -s tests"}
    named = {name.replace("_", "-"): value for name, value in inputs.items()}
    return run_action(ACTION, {**usual, **named}, job, given={"tool": {"python": private_python}})


def test_the_private_environment_holds_the_lock_and_our_sources(private_python: str) -> None:
    asked = "import ci_envs, click, sys; print(ci_envs.__file__, click.__version__, sys.prefix, sep='\\n')"
    outcome = run(Command(argv=(private_python, "-I", "-c", asked)))

    source, click, prefix = outcome.stdout.splitlines()
    assert source == str(ROOT / "src" / "ci_envs" / "__init__.py")
    assert f"click=={click} " in (ROOT / "requirements" / "ci-envs.txt").read_text(encoding="utf-8")
    assert prefix.endswith("ci-envs-tool")


def test_a_runner_without_a_recent_python_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("bash", "dirname", "env"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or pytest.fail(f"no {name} here"))
    (tmp_path / "bin" / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin" / "python3").chmod(0o755)
    job = {**job_at(tmp_path), "PATH": str(tmp_path / "bin")}

    result = run_action(ACTION, {}, job, only={"tool"})

    assert not result.ok
    assert "::error title=ci-envs::no Python 3.11 or newer" in result.log


def test_a_good_project_gives_every_output(job: dict[str, str], private_python: str) -> None:
    result = act(job, private_python)

    assert result.ok, result.log
    repo = Path(job["GITHUB_WORKSPACE"])
    found = read_record(repo / result.outputs["record"])
    assert found.status == "passed", found.reason
    assert found.tests is not None
    assert result.outputs["python-version"].startswith(f"3.{sys.version_info.minor}.")
    assert result.outputs["lock-file"] == "uv.lock"
    assert result.outputs["lock-digest"].startswith("sha256:")
    assert result.outputs["environment-digest"].startswith("sha256:")
    assert result.outputs["pattern"] == "uv"
    assert result.outputs["cache-hit"] == "false"
    inside = run(Command(argv=(result.outputs["python-path"], "-I", "-c", "import sys; print(sys.prefix)")))
    assert inside.stdout.strip() == result.outputs["environment-path"]
    assert "## Environments: passed" in result.summary
    # A good guest: nothing of the caller's was changed.
    assert (result.path, result.env) == ([], {})


def test_the_pattern_and_the_python_may_be_left_to_the_project(job: dict[str, str], private_python: str) -> None:
    result = act(job, private_python, pattern="auto", python_version="")

    assert result.ok, result.log
    assert result.outputs["pattern"] == "uv"


def test_the_package_cache_is_restored_and_saved_under_one_key(job: dict[str, str], private_python: str) -> None:
    result = act(job, private_python)
    tagged = act({**job, "GITHUB_REF": "refs/tags/v1"}, private_python)

    wanted = {"path": result.steps["prepare"]["cache-dir"], "key": result.outputs["cache-key"]}
    assert result.used == {"Restore the package cache": wanted, "Save the package cache": wanted}
    assert Path(wanted["path"]).is_relative_to(Path(job["RUNNER_TEMP"]) / "ci-envs-packages")
    # Nothing else is carried: not what uv has unpacked, and no note of what was trusted.
    assert not Path(wanted["path"]).is_relative_to(job["CI_ENVS_CACHE_DIR"])
    assert result.outputs["cache-key"].startswith("ci-envs-packages-")
    assert (tagged.used, tagged.outputs["cache-key"]) == ({}, "")


def test_a_leg_keeps_its_packages_and_its_environment_apart(job: dict[str, str], private_python: str) -> None:
    repo = Path(job["GITHUB_WORKSPACE"])
    (repo / "matrices").mkdir()
    python = f"3.{sys.version_info.minor}"
    (repo / "matrices" / "default.yml").write_text(f'axes: {{pattern: [uv], python: ["{python}"]}}\n')
    leg = make_leg(pattern="uv", python=python, os=os_name(), arch=arch_name()).id
    inputs = {"leg": leg, "cache-environment": "true", "test-command": "python -m unittest discover -s tests"}
    assert run(Command(argv=(private_python, "-I", "-m", "ci_envs", "lock", "-q"), cwd=repo, env=job))

    first = run_action(LEG_ACTION, inputs, job, given={"tool": {"python": private_python}})
    # The runner's folder stands for what the cache action brings back; the project's is a new machine's.
    shutil.rmtree(repo / ".ci-envs")
    second = run_action(LEG_ACTION, inputs, job, given={"tool": {"python": private_python}})

    assert first.ok, first.log
    assert second.ok, second.log
    prepared = first.steps["prepare"]
    packages = {"path": prepared["cache-dir"], "key": first.outputs["cache-key"]}
    built = {"path": prepared["environment-dir"], "key": prepared["environment-cache-key"]}
    wanted = {"Restore the package cache": packages, "Save the package cache": packages}
    wanted |= {"Restore the environment cache": built, "Save the environment cache": built}
    assert first.used == second.used == wanted
    assert not (Path(built["path"]) / leg).exists(), "it was taken"
    assert second.outputs["environment-digest"] == first.outputs["environment-digest"]
    assert "uv venv" not in (repo / second.outputs["record"]).parents[1].joinpath("logs", leg, "build.log").read_text()


def test_an_activated_environment_is_first_on_the_path(job: dict[str, str], private_python: str) -> None:
    result = act(job, private_python, activate_environment="true", test="false")

    assert result.ok, result.log
    assert result.path == [str(Path(result.outputs["python-path"]).parent)]
    assert result.env == {"VIRTUAL_ENV": result.outputs["environment-path"]}


def test_a_failing_test_leaves_annotations_a_summary_and_the_record(job: dict[str, str], private_python: str) -> None:
    repo = Path(job["GITHUB_WORKSPACE"])
    (repo / "tests" / "test_tiny.py").write_text(TEST.format(sum=3))

    result = act(job, private_python)

    assert not result.ok
    assert "::error title=leg%3A uv-" in result.log
    assert "::group::uv-" in result.log
    assert "2 != 3" in result.log
    assert "To see it on your machine" in result.summary
    assert read_record(repo / result.outputs["record"]).reproduce in result.summary
    assert read_record(repo / result.outputs["record"]).status == "failed"


def test_stages_that_were_not_asked_for_are_not_run(job: dict[str, str], private_python: str) -> None:
    result = act(job, private_python, check="false", test="false")

    record = json.loads((Path(job["GITHUB_WORKSPACE"]) / result.outputs["record"]).read_text(encoding="utf-8"))
    assert {stage["name"] for stage in record["stages"]} == {"detect", "lock", "build"}


def test_a_wrong_input_is_said_before_anything_is_done(job: dict[str, str], private_python: str) -> None:
    result = act(job, private_python, lock_mode="lock")

    assert not result.ok
    assert "::error title=ci-envs%3A UsageError::input 'lock-mode' is 'lock'" in result.log
    assert "it takes one of: locked, auto, frozen, update" in result.log
    assert sorted(path.name for path in Path(job["GITHUB_WORKSPACE"]).iterdir()) == ["pyproject.toml", "tests"]


@pytest.mark.parametrize("turn", range(3))
def test_no_input_reaches_a_shell_or_a_command_file(job: dict[str, str], private_python: str, turn: int) -> None:
    """Each input is given other values in turn; that each refuses every value is tested without a shell."""
    known = set(act(job, private_python).steps["run"])
    for number, name in enumerate(EnvironmentInputs.__dataclass_fields__):
        value = HOSTILE_HERE[(3 * number + turn) % len(HOSTILE_HERE)]
        result = act(job, private_python, **{name: value})

        assert (result.path, result.env) == ([], {}), name
        assert "::set-output name=record" not in [line.lstrip() for line in result.log.splitlines()], name
        assert result.steps.get("run", {}).keys() <= known, name
        if name != "test_command":  # what is no program fails as a test does; any other input is refused
            assert not result.ok, f"{name}: {result.log}"
    assert not list(Path(job["RUNNER_TEMP"]).parent.rglob("pwned"))


def test_nothing_is_left_in_the_repository_but_the_lock_and_our_folder(
    job: dict[str, str], private_python: str
) -> None:
    act(job, private_python)

    left = {path.name for path in Path(job["GITHUB_WORKSPACE"]).iterdir()}
    assert left == {"pyproject.toml", "tests", "uv.lock", ".ci-envs"}


def test_a_conda_leg_brings_what_it_is_made_with_and_activates(tmp_path: Path, channel_server: ChannelServer) -> None:
    job = job_at(tmp_path)
    repo = Path(job["GITHUB_WORKSPACE"])
    (repo / "environment.yml").write_text("channels: [conda-forge]\ndependencies: [six]\nvariables: {TIDE: low}\n")
    condarc = tmp_path / "condarc"
    condarc.write_text(f"mirrored_channels:\n  conda-forge: [{channel_server.url('conda-forge')}]\n")
    job["CONDARC"] = str(condarc)
    python = run_action(ACTION, {}, job, only={"tool"}).steps["tool"]["python"]
    ask = Command(argv=(python, "-I", "-c", "import rattler"))
    assert not run(ask)

    result = act(job, python, pattern="auto", activate_environment="true", test="false")

    assert result.ok, result.log
    assert run(ask)
    assert result.outputs["pattern"] == "conda"
    prefix = result.outputs["environment-path"]
    assert (result.env["CONDA_PREFIX"], result.env["TIDE"]) == (prefix, "low")
    assert result.path == [f"{prefix}/bin"]
