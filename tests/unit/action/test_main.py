"""The steps of our actions, in this process, with the files of a job: no value of an input leaves its place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from tests.support.action_runner import read_command_file
from tests.support.hostile import HOSTILE
from tests.support.planned_legs import planned
from tests.support.records import record

from ci_envs.action.__main__ import main
from ci_envs.errors import BrokenError, UsageError
from ci_envs.model.plan import Plan
from ci_envs.record_files import write_record

ROOT = Path(__file__).parents[3]
ACTIONS = sorted([ROOT / "action.yml", *ROOT.glob("actions/*/action.yml")])

LEG = planned()
MATRIX = 'axes: {pattern: [uv], python: ["3.12"]}\ndefaults: {os: linux, arch: x86_64}\n'

#: By step: the action that it is of, and the inputs with which it does its work.
STEPS: dict[str, tuple[str, dict[str, str]]] = {
    "plan": ("actions/plan/action.yml", {}),
    "shard": ("actions/shard/action.yml", {"plan": "../temp/plan", "shard": "0"}),
    "report": ("actions/report/action.yml", {"plan": "../temp/plan", "records": "../temp/records"}),
    "collect": ("actions/leg/action.yml", {"leg": LEG.id}),
}

HOSTILE_HERE = (
    *HOSTILE,
    "::set-output name=plan::pwned",
    "*",
    '{"plan": {"result": "::error::x"}}',
    '{"linux-x86_64": "::set-env name=PATH::pwned"}',
)

#: The workflow commands that we speak.
OURS = re.compile(r"::(error|warning|notice|group|endgroup)\b")


class Job:
    """A job in its workspace: what it is given, and what the runner finds after a step."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._patch = monkeypatch
        for name in ("repo", "temp/plan", "temp/records", "home", "files"):
            (folder / name).mkdir(parents=True)
        monkeypatch.chdir(folder / "repo")
        (folder / "repo" / "pyproject.toml").write_text('[project]\nname = "tiny"\nversion = "1"\n')
        (folder / "repo" / "matrices").mkdir()
        (folder / "repo" / "matrices" / "default.yml").write_text(MATRIX)
        plan = Plan(legs=(LEG,), shards=((LEG.id,),), artifact="ci-envs")
        (folder / "temp" / "plan" / "plan.json").write_bytes(msgspec.json.encode(plan))
        done = folder / "temp" / "records" / f"ci-envs-leg-{LEG.id}"
        done.mkdir()
        write_record(done / "record.json", record())
        for name, value in {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_WORKSPACE": str(folder / "repo"),
            "HOME": str(folder / "home"),
            "RUNNER_TEMP": str(folder / "temp"),
        }.items():
            monkeypatch.setenv(name, value)

    def act(self, step: str, **inputs: str) -> int:
        """One step with fresh files of the runner's."""
        for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY"):
            (self._folder / "files" / name).write_bytes(b"")
            self._patch.setenv(name, str(self._folder / "files" / name))
        self._patch.setenv("CI_ENVS_ACTION", step)
        action, usual = STEPS[step]
        for name, value in {**dict.fromkeys(document(action)["inputs"], ""), **usual, **inputs}.items():
            self._patch.setenv(f"INPUT_{name.upper().replace('-', '_')}", value)
        return main([step])

    def held(self, name: str) -> dict[str, str]:
        """What the runner reads from one of its files."""
        return read_command_file(self._folder / "files" / name)

    def tree(self) -> set[str]:
        """Every file that there is, but those that a step may write."""
        names = (path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*"))
        return {name for name in names if not name.startswith(("temp/ci-envs", "files/"))}


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    return Job(tmp_path, monkeypatch)


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return loaded


def outputs_of(step: str) -> set[str]:
    """The outputs that the action, or another step of it, reads of a step."""
    name, _ = STEPS[step]
    return set(re.findall(rf"steps\.{step}\.outputs\.([\w-]+)", (ROOT / name).read_text(encoding="utf-8")))


def test_every_step_of_every_action_is_one_that_there_is() -> None:
    said = {step for path in ACTIONS for step in re.findall(r"-m ci_envs\.action (\w+)", path.read_text("utf-8"))}

    with pytest.raises(SystemExit) as told:
        main(["no-such-step"])
    assert set(str(told.value).rpartition(" ")[2].split("|")) == said


@pytest.mark.parametrize("arguments", [[], ["plan", "report"], [""], ["--help"]])
def test_one_step_is_wanted(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="usage: "):
        main(arguments)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_does_its_work_and_sets_the_outputs_that_are_read(job: Job, step: str) -> None:
    assert job.act(step) == 0

    assert job.held("GITHUB_OUTPUT").keys() >= outputs_of(step)
    assert (job.held("GITHUB_ENV"), job.held("GITHUB_PATH")) == ({}, {})


def test_the_outputs_of_a_plan_are_a_matrix_for_a_job(job: Job) -> None:
    assert job.act("plan", **{"artifact-name": "app"}) == 0

    held = job.held("GITHUB_OUTPUT")
    (row,) = json.loads(held["matrix"])["include"]
    assert (row["id"], row["runs-on"]) == (LEG.id, "ubuntu-24.04")
    assert (held["artifact"], held["legs"], held["shards"]) == ("app", "1", "")
    assert held["matrix-file"] == "matrices/default.yml"


@pytest.mark.parametrize(
    ("step", "name", "value"),
    [
        ("plan", "tier", "pull_request"),
        ("plan", "max-legs", "257"),
        ("shard", "shard", "first"),
        ("report", "plan-result", "failed"),
        ("collect", "leg", "../.."),
    ],
)
def test_a_wrong_input_ends_the_step_before_anything_is_done(
    job: Job, step: str, name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = job.tree()

    assert job.act(step, **{name: value}) == UsageError.exit_code

    shown = capsys.readouterr()
    assert f"::error title=ci-envs%3A UsageError::input '{name}'" in shown.out + shown.err
    assert job.held("GITHUB_OUTPUT") == {}
    assert job.tree() == before


def test_a_report_without_its_plan_is_broken_and_says_why(job: Job) -> None:
    assert job.act("report", plan="../temp/nowhere") == BrokenError.exit_code

    assert job.held("GITHUB_OUTPUT")["status"] == "broken"


@pytest.mark.parametrize("value", HOSTILE_HERE)
@pytest.mark.parametrize("step", STEPS)
def test_no_value_of_any_input_leaves_its_place(
    job: Job, step: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = job.tree()
    for name in document(STEPS[step][0])["inputs"]:
        job.act(step, **{name: value})

        assert job.held("GITHUB_OUTPUT").keys() <= outputs_of(step), name
        assert (job.held("GITHUB_ENV"), job.held("GITHUB_PATH")) == ({}, {}), name
        assert job.tree() == before, name
        shown = capsys.readouterr()
        for line in (shown.out + shown.err).splitlines():
            assert not line.lstrip().startswith("::") or OURS.match(line), f"{name}: {line}"
