from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from ci_envs.action.__main__ import main
from ci_envs.action.planning import plan_outputs, plan_summary
from ci_envs.errors import UsageError
from ci_envs.model.plan import LeftOut, Plan, PlannedLeg
from ci_envs.planning.shards import MAX_OUTPUT_BYTES, output_bytes, shards

ROOT = Path(__file__).parents[3]
MATRIX = """
axes: {pattern: [venv, uv], python: ["3.11", "3.12", "3.13"], os: [linux], arch: [x86_64]}
exclude: [{pattern: venv, python: "3.13", reason: no wheels yet}]
"""


class Job:
    """The files of a runner, and the variables of one step."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.workspace = folder / "work"
        self.temporary = folder / "temp"
        self._files = {name: folder / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        self._patch = monkeypatch
        self._capture = capfd
        self.workspace.mkdir()
        self.temporary.mkdir()
        monkeypatch.chdir(self.workspace)
        for name, path in self._files.items():
            monkeypatch.setenv(name, str(path))
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("GITHUB_WORKSPACE", str(self.workspace))
        monkeypatch.setenv("RUNNER_TEMP", str(self.temporary))
        monkeypatch.setenv("GITHUB_REPOSITORY", "o/r")
        monkeypatch.setenv("GITHUB_RUN_ID", "7")
        self.log = ""

    def step(self, name: str, **inputs: str) -> int:
        """Runs a step; answers with its exit code."""
        self._patch.setenv("CI_ENVS_ACTION", name)
        for path in self._files.values():
            path.write_text("", encoding="utf-8")
        for key, value in inputs.items():
            self._patch.setenv(f"INPUT_{key.upper()}", value)
        code = main([name])
        self.log = "".join(self._capture.readouterr())
        return code

    @property
    def outputs(self) -> dict[str, str]:
        """As the runner reads them (actions/runner, src/Runner.Worker/FileCommandManager.cs)."""
        found = {}
        lines = iter(self._files["GITHUB_OUTPUT"].read_text("utf-8").split("\n"))
        for name, _, delimiter in (line.partition("<<") for line in lines if line):
            found[name] = "\n".join(iter(lines.__next__, delimiter))
        return found

    @property
    def summary(self) -> str:
        """Of the step."""
        return self._files["GITHUB_STEP_SUMMARY"].read_text("utf-8")

    def write(self, name: str, text: str) -> None:
        """A file of the repository."""
        path = self.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Job:
    return Job(tmp_path, monkeypatch, capfd)


def declared(action: str) -> set[str]:
    text = (ROOT / "actions" / action / "action.yml").read_text("utf-8")
    return set(yaml.safe_load(text)["outputs"])


def leg(number: int, **more: Any) -> PlannedLeg:
    values = {"id": f"uv-{number}", "pattern": "uv", "python": "3.12", "os": "linux", "arch": "x86_64", "runs_on": "x"}
    return PlannedLeg(**values | more)


def plan_of(count: int, size: int = 256, **more: Any) -> Plan:
    legs = tuple(map(leg, range(count)))
    cut = tuple(shards([one.id for one in legs], size))
    return Plan(legs=legs, shards=cut, combinations=count, artifact="ci-envs", **more)


# --- the step


def test_the_step_leaves_what_the_action_promises(job: Job) -> None:
    job.write("matrices/default.yml", MATRIX)

    assert job.step("plan", matrix_filter="uv-*") == 0

    outputs = job.outputs
    assert set(outputs) == declared("plan")
    assert {key: outputs[key] for key in ("status", "reason", "legs", "shards", "matrix-file", "artifact")} == {
        "status": "planned",
        "reason": "",
        "legs": "3",
        "shards": "",
        "matrix-file": "matrices/default.yml",
        "artifact": "ci-envs",
    }
    rows = json.loads(outputs["matrix"])["include"]
    assert [row["id"] for row in rows] == [f"uv-py31{n}-linux-x86_64" for n in (1, 2, 3)]
    assert set(rows[0]) == {"id", "pattern", "python", "project", "runs-on", "timeout-minutes"}
    path = Path(outputs["plan"])
    assert path.is_relative_to(job.temporary)
    plan = msgspec.json.decode(path.read_bytes(), type=Plan)
    assert (plan.run, [one.id for one in plan.legs]) == ("o/r/7", [row["id"] for row in rows])
    assert job.summary.startswith("## Plan: 3 of 5 legs\n")
    assert "`matches no --only uv-*`" in job.summary
    assert job.summary.endswith("```sh\nci-envs plan '--only=uv-*'\n```\n")


def test_several_shards_are_numbers_and_each_is_read_from_the_plan(job: Job) -> None:
    job.write("sub/matrices/default.yml", MATRIX)

    assert job.step("plan", working_directory="sub", max_legs="2", artifact_name="mine") == 0

    outputs = job.outputs
    assert (outputs["matrix"], outputs["shards"], outputs["legs"]) == ("", "[0,1,2]", "5")
    assert outputs["matrix-file"] == "matrices/default.yml"
    folder = Path(outputs["plan"]).parent
    assert folder.name == "mine-plan"
    found = []
    for number in json.loads(outputs["shards"]):
        assert job.step("shard", plan=str(folder), shard=str(number)) == 0
        assert set(job.outputs) == declared("shard")
        found += [row["id"] for row in json.loads(job.outputs["matrix"])["include"]]
    assert found == [one.id for one in msgspec.json.decode((folder / "plan.json").read_bytes(), type=Plan).legs]
    assert job.step("shard", plan=str(folder), shard="3") == 2
    assert "there is no shard 3" in job.log


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"matrix_filter": "nix-*"}, "none of 5 legs is left: matches no --only nix-*"),
        ({"labels": "envs:skip"}, "label envs:skip"),
    ],
)
def test_nothing_to_do_is_a_plan_and_no_failure(job: Job, inputs: dict[str, str], reason: str) -> None:
    job.write("matrices/default.yml", MATRIX)

    assert job.step("plan", **inputs) == 0

    outputs = job.outputs
    assert (outputs["status"], outputs["reason"], outputs["legs"]) == ("skipped", reason, "0")
    assert (outputs["matrix"], outputs["shards"]) == ("", "")
    assert msgspec.json.decode(Path(outputs["plan"]).read_bytes(), type=Plan).reason == reason
    assert f"**Skipped**: `{reason}`" in job.summary


@pytest.mark.parametrize(
    ("text", "code", "where", "said"),
    [
        ("axes: {pattern: [vu], python: ['3.12']}\n", 2, "line=1", "there is no pattern 'vu'"),
        ("\nstrategy: some\naxes: {}\n", 2, "line=2", "is none of all, pairwise, ends"),
        ("", 2, "", "is empty"),
        ("axes: {pattern: [uv], python: ['3.12']}\nexclude: [{pattern: uv}]\n", 3, "", "no leg is left to run"),
    ],
)
def test_an_empty_or_wrong_matrix_is_refused_beside_its_file(
    job: Job, text: str, code: int, where: str, said: str
) -> None:
    job.write("sub/matrices/default.yml", text)

    assert job.step("plan", working_directory="sub") == code

    (annotation,) = [line for line in job.log.splitlines() if line.startswith("::error ")]
    assert said in annotation
    assert where in annotation
    assert "file=sub/matrices/default.yml" in annotation
    assert job.outputs == {}


def test_a_matrix_that_is_not_there_is_refused(job: Job) -> None:
    assert job.step("plan", matrix="matrices/none.yml") == 2
    assert "::error file=matrices/none.yml,title=ci-envs%3A UsageError::there is no such file" in job.log


# --- hostile words


HOSTILE = [
    "$(reboot)", "`id`", "; rm -rf ~", "${{ github.token }}", "::set-output name=legs::9", "##[set-output name=legs;]9",
    "| a | b", "<script>", "-rf", "../x", "a b",
]  # fmt: skip


def test_nothing_that_a_matrix_says_is_a_command(job: Job) -> None:
    for folder in HOSTILE:
        if ".." not in folder:
            (job.workspace / folder).mkdir()
    quoted = [json.dumps(word) for word in HOSTILE]
    projects = ", ".join(word for word in quoted if ".." not in word)
    job.write(
        "m;$(id).yml",
        f"""
axes: {{pattern: [uv], python: ["3.12"], os: [linux], arch: [x86_64], project: [{projects}]}}
variables: {{word: [{", ".join(quoted)}]}}
exclude:
  - {{variables: {{word: {quoted[0]}}}, reason: {json.dumps(chr(10).join(HOSTILE))}}}
include:
  - {{variables: {{word: {quoted[1]}}}, runs-on: [{", ".join(quoted)}], reason: {json.dumps(chr(10).join(HOSTILE))}}}
""",
    )

    assert job.step("plan", matrix="m;$(id).yml", labels="\n".join(f"envs:{word}" for word in HOSTILE)) == 0

    outputs = job.outputs
    assert set(outputs) == declared("plan"), "none more, and none twice"
    assert outputs["legs"] == "100"
    rows = json.loads(outputs["matrix"])["include"]
    assert len(rows) == 100
    assert all(re.fullmatch(r"[a-z0-9_.-]+", row["id"]) for row in rows)
    # What the runner would obey: a line that begins with "::", or "##[" anywhere.
    assert not re.search(r"^\s*::", job.log, re.MULTILINE)
    assert "##[" not in job.log
    # Outside of code spans there is nothing of theirs in the summary.
    spans = re.compile(r"(`+)(?:(?!\1).)*?\1", re.DOTALL)
    bare = spans.sub("", job.summary)
    assert not [word for word in HOSTILE if word in bare and word not in ("-rf", "a b", "../x", "| a | b")]


def test_line_ends_in_names_are_refused(job: Job) -> None:
    job.write("matrices/default.yml", 'axes: {pattern: [uv], python: ["3.12"], project: ["a\\n::error::x"]}\n')
    assert job.step("plan") == 2
    assert not re.search(r"^::error::x", job.log, re.MULTILINE)


# --- sizes


def test_the_outputs_of_one_shard_are_a_matrix() -> None:
    outputs = plan_outputs(plan_of(256), Path("plan.json"))
    assert outputs["shards"] == ""
    assert len(json.loads(outputs["matrix"])["include"]) == 256


def test_the_outputs_of_all_that_a_run_can_have_are_small() -> None:
    outputs = plan_outputs(plan_of(65_536), Path("plan.json"))
    assert outputs["matrix"] == ""
    assert json.loads(outputs["shards"]) == list(range(256))
    assert sum(map(output_bytes, outputs.values())) < 10_000


def test_one_leg_more_than_a_run_can_have_is_refused() -> None:
    with pytest.raises(UsageError, match="65,537 legs need 257 shards"):
        plan_outputs(plan_of(65_537), Path("plan.json"))


def test_a_matrix_that_just_fits_leaves_no_room_for_the_rest() -> None:
    plan = plan_of(1)
    empty = sum(map(output_bytes, plan_outputs(plan, Path("p")).values()))
    room = (MAX_OUTPUT_BYTES - empty) // 2
    fitting = msgspec.structs.replace(plan, matrix="m" * room)
    assert plan_outputs(fitting, Path("p"))
    with pytest.raises(UsageError, match="it holds 1000000"):
        plan_outputs(msgspec.structs.replace(plan, matrix="m" * (room + 1)), Path("p"))


def test_a_long_plan_has_a_summary_that_a_person_can_read() -> None:
    rows = tuple(LeftOut(id=f"x-{number}", reason="no") for number in range(500))
    text = plan_summary(plan_of(2000, left_out=rows, left_out_more=7), ["a `note`"], "ci-envs plan")
    assert "and 1700 more, which the plan's artifact lists." in text
    assert "<summary>507 left out</summary>" in text
    assert "and 407 more" in text
    assert "> ``a `note```" in text or "> `` a `note` ``" in text
    assert len(text) < 100_000
