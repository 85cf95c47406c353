"""Plans for other CI systems: what reads them takes them, and their commands build the legs and report on them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.support.planned_legs import planned
from tests.support.projects import NEEDLESS

from ci_envs import errors
from ci_envs.command import Command, Outcome, run
from ci_envs.matrices import platforms
from ci_envs.model.plan import Plan
from ci_envs.pipelines.gitlab import gitlab_pipeline, gitlab_runners
from ci_envs.pipelines.shell import shell_script

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.component,
    pytest.mark.timeout(400),
    pytest.mark.skipif(sys.platform == "win32", reason="the scripts are for a POSIX shell"),
]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"

PYTHON = f"3.{sys.version_info.minor}"
TEST = """\
import os
import unittest

class Tiny(unittest.TestCase):
    def test_side(self) -> None:
        self.assertNotEqual(os.environ["CI_ENVS_VAR_SIDE"], "{bad}")
"""
MATRIX = f"""\
axes: {{pattern: [uv], python: ["{PYTHON}"]}}
variables: {{side: [left, right]}}
defaults:
  lock: {{mode: auto}}
  test: {{command: python -m unittest discover -s tests}}
"""

HOSTILE = ("$(touch pwned)", "'; touch pwned; '", "`touch pwned`", "a\ntouch pwned\n", "END_OF_PLAN\ntouch pwned", "*")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two legs without any dependency, so that no index is asked; neither fails."""
    folder = tmp_path / "a project"
    (folder / "tests").mkdir(parents=True)
    (folder / "matrices").mkdir()
    (folder / "pyproject.toml").write_text(NEEDLESS)
    (folder / "matrices" / "default.yml").write_text(MATRIX)
    fails_at(folder, "nowhere")
    return folder


def fails_at(project: Path, side: str) -> None:
    (project / "tests" / "test_tiny.py").write_text(TEST.format(bad=side))


@pytest.fixture
def world(tmp_path: Path) -> dict[str, str]:
    """The variables of a machine on which this ci-envs is the one on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ci-envs").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ci_envs "$@"\n')
    (folder / "ci-envs").chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CI_", "GITHUB_", "UV_"))}
    return {
        **kept,
        "CI": "true",
        "CI_ENVS_CACHE_DIR": str(tmp_path / "cache"),
        "PATH": f"{folder}:{os.environ['PATH']}",
    }


def written(project: Path, world: dict[str, str], *words: str) -> str:
    outcome = run(Command(("ci-envs", "plan", *words), cwd=project, env=world))
    assert outcome, outcome.output
    return outcome.stdout


def sh(script: Path, cwd: Path, world: dict[str, str]) -> Outcome:
    return run(Command(("sh", str(script)), cwd=cwd, env=world, timeout=300))


def accepted(schema: str, *files: Path) -> Outcome:
    words = ("--builtin-schema", f"vendor.{schema}", *map(str, files))
    return run(Command((sys.executable, "-m", "check_jsonschema", *words)))


# --- what reads them takes them


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", sorted(EXAMPLES.glob("*.yml"))),
        ("gitlab-ci", sorted((EXAMPLES / "gitlab").iterdir())),
        ("circle-ci", [EXAMPLES / "circleci" / "config.yml"]),
    ],
)
def test_the_examples_are_what_their_systems_read(schema: str, files: list[Path]) -> None:
    assert files
    outcome = accepted(schema, *files)
    assert outcome, outcome.output


def test_the_schemas_refuse_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text("leg: {script: {a: 1}, when: sometimes}\n")

    assert not accepted("gitlab-ci", tmp_path / "x.yml")
    assert not accepted("circle-ci", tmp_path / "x.yml")
    assert not accepted("github-workflows", tmp_path / "x.yml")


@pytest.mark.parametrize("matrix", sorted((ROOT / "matrices").glob("*.yml")), ids=lambda path: path.stem)
def test_gitlab_reads_the_child_pipeline_of_each_of_our_matrices(
    matrix: Path, tmp_path: Path, world: dict[str, str]
) -> None:
    text = written(ROOT, world, "--gitlab", f"matrices/{matrix.name}")
    (tmp_path / "envs.yml").write_text(text)

    outcome = accepted("gitlab-ci", tmp_path / "envs.yml")
    assert outcome, outcome.output


@pytest.mark.parametrize("word", HOSTILE)
def test_what_a_matrix_says_is_no_part_of_the_pipeline_or_the_script(
    word: str, tmp_path: Path, world: dict[str, str]
) -> None:
    plan = Plan(legs=(planned(runs_on=(word,), reason=word, reproduce="touch ran"),), matrix=word, reason=word)
    (tmp_path / "envs.yml").write_text(gitlab_pipeline(plan, platforms(), gitlab_runners()))
    (tmp_path / "envs.sh").write_text(shell_script(plan))
    (tmp_path / "in").mkdir()

    assert accepted("gitlab-ci", tmp_path / "envs.yml")
    outcome = sh(tmp_path / "envs.sh", tmp_path / "in", world)
    assert outcome.returncode == errors.BrokenError.exit_code, outcome.output
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["ran"]


def test_shellcheck_has_nothing_to_say(
    project: Path, tmp_path: Path, world: dict[str, str], tool: Callable[[str], Path]
) -> None:
    (tmp_path / "envs.sh").write_text(written(project, world, "--shell"))

    outcome = run(Command((str(tool("shellcheck")), str(tmp_path / "envs.sh"))))
    assert outcome, outcome.output


# --- and they do what they are for


def test_the_script_builds_every_leg_and_ends_as_the_report_does(
    project: Path, tmp_path: Path, world: dict[str, str]
) -> None:
    script = tmp_path / "envs.sh"
    script.write_text(written(project, world, "--shell"))

    good = sh(script, project, world)
    fails_at(project, "right")
    bad = sh(script, project, world)

    assert good.returncode == 0, good.output
    assert good.output.count("== uv-") == 2
    assert bad.returncode == errors.TestError.exit_code, bad.output
    assert not list(Path(project).glob("plan.json"))


def test_a_record_of_an_earlier_run_does_not_stand_for_this_one(
    project: Path, tmp_path: Path, world: dict[str, str]
) -> None:
    script = tmp_path / "envs.sh"
    script.write_text(written(project, world, "--shell"))
    assert sh(script, project, world)

    (project / "ci-envs.yml").write_text("no: [such, configuration\n")
    outcome = sh(script, project, world)

    assert outcome.returncode == errors.BrokenError.exit_code, outcome.output
    assert outcome.output.count("no record") >= 2


def test_the_jobs_of_the_child_pipeline_build_every_leg_and_the_report_sees_them_all(
    project: Path, tmp_path: Path, world: dict[str, str]
) -> None:
    fails_at(project, "right")
    document = yaml.safe_load(written(project, world, "--gitlab"))

    ended = run_pipeline(document, project, tmp_path / "runner", world)

    left, right = (name for name in document if name.startswith("uv-"))
    assert {name: code for name, (code, _) in ended.items()} == {
        left: 0,
        right: errors.TestError.exit_code,
        "report": errors.TestError.exit_code,
    }
    assert right in ended["report"][1]


def run_pipeline(
    document: dict[str, Any], project: Path, folder: Path, world: dict[str, str]
) -> dict[str, tuple[int, str]]:
    """As a runner does: each job in a checkout of its own, its script its artifacts handed to later stages.

    Answers by the job's name with its exit code and what it said.
    """
    ended: dict[str, tuple[int, str]] = {}
    artifacts = folder / "artifacts"
    artifacts.mkdir(parents=True)
    for stage in document["stages"]:
        for name in [name for name, job in document.items() if isinstance(job, dict) and job.get("stage") == stage]:
            job = document[name]
            checkout = folder / "builds" / name
            shutil.copytree(project, checkout)
            if "needs" not in job:
                shutil.copytree(artifacts, checkout, dirs_exist_ok=True)
            said = document["variables"].items()
            own = {key: value.replace("$CI_PROJECT_DIR", str(checkout)) for key, value in said}
            script = folder / f"{name}.sh"
            script.write_text("set -e\n" + "\n".join(job["script"]) + "\n")
            outcome = sh(script, checkout, {**world, **own})
            ended[name] = (outcome.returncode, outcome.output)
            for path in job["artifacts"]["paths"]:
                assert (checkout / path).exists(), f"{name} has no {path}: {outcome.output}"
                _keep(checkout / path, artifacts / path)
    return ended


def _keep(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


def test_a_plan_file_of_the_pipeline_is_the_one_that_the_report_reads(project: Path, world: dict[str, str]) -> None:
    outcome = run(Command(("ci-envs", "plan", "--gitlab", "--output", "plan.json"), cwd=project, env=world))

    held = json.loads((project / "plan.json").read_text())
    document = yaml.safe_load(outcome.stdout)
    assert [leg["id"] for leg in held["legs"]] == [name for name in document if name.startswith("uv-")]
