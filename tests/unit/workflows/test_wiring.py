"""Both sides of every hand-over: workflow and action, step and output, action.yml and ``ci_envs.github.inputs``."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import Any

import pytest
from tests.support.plans import matrix_of, planner
from tests.support.third_party_actions import THIRD_PARTY
from tests.support.workflow_tables import Table, texts
from tests.support.workflow_wiring import ROW, WRITERS, problems, written_by
from tests.support.workflows import Repository, Step, files_of

from ci_envs.github import inputs
from ci_envs.planning.expansion import expand
from ci_envs.planning.shards import github_matrix

PLAN, LEG = "actions/plan/action.yml", "actions/leg/action.yml"
BUILD, SHARD = ".github/workflows/build-envs.yml", ".github/workflows/build-shard.yml"

#: What each value of CI_ENVS_ACTION is read as.
KINDS: dict[str, Any] = {
    "environment": inputs.EnvironmentInputs,
    "leg": inputs.LegInputs,
    "plan": inputs.PlanInputs,
    "shard": inputs.ShardInputs,
    "report": inputs.ReportInputs,
    "collect": inputs.CollectInputs,
}
#: What the first step alone is handed, which refuses a wrong one: only the upload, which no Python sees, uses it.
FIRST = {"leg": {"artifact_name", "retention_days"}}

#: docs.github.com, "Events that trigger workflows": what one workflow_dispatch may ask for.
DISPATCH_LIMIT = 25


@pytest.fixture(scope="module")
def ours() -> Repository:
    return files_of()


def test_what_is_handed_over_is_taken_and_what_is_read_is_written(ours: Repository) -> None:
    assert problems(ours) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (BUILD, "          tier: ${{ inputs.tier }}\n", "          tiers: ${{ inputs.tier }}\n", "has no input tiers"),
        (BUILD, "          leg: ${{ matrix.id }}\n", "", "$/actions/leg must be given leg"),
        (BUILD, "fetch-depth: 2", "fetch_depth: 2", "has no input fetch_depth"),
        (BUILD, "${{ matrix.id }}", "${{ matrix.ident }}", "matrix.ident is no axis of job leg"),
        (BUILD, "${{ steps.plan.outputs.legs }}", "${{ steps.plan.outputs.count }}", "steps.plan.outputs.count is not"),
        (BUILD, "steps.report.outputs.report != ''", "steps.reports.outputs.report != ''", "steps.reports is no step"),
        (BUILD, "needs: [plan, leg, shard]", "needs: [leg, shard]", "reads needs.plan, and does not wait for it"),
        (BUILD, "${{ jobs.report.outputs.broken }}", "${{ jobs.report.outputs.lost }}", "jobs.report.outputs.lost is"),
        (BUILD, "needs.plan.outputs.shards != ''", "needs.plan.outputs.shard != ''", "needs.plan.outputs.shard is not"),
        (BUILD, "          max-legs: ${{ inputs.max-legs }}\n", "", "nothing reads the input max-legs"),
        (BUILD, "${{ inputs.labels }}", "${{ inputs.label }}", "inputs.label is not declared"),
        (BUILD, "      shard: ${{ matrix.shard }}\n", "", "build-shard.yml must be given shard"),
        (PLAN, "${{ steps.plan.outputs.legs }}", "${{ steps.plan.outputs.size }}", "plan.outputs.size"),
        (LEG, "${{ steps.tool.outputs.python }}", "${{ steps.tool.outputs.venv }}", "tool.outputs.venv"),
        (LEG, "        if-no-files-found: error\n", "        if-none: error\n", "has no input if-none"),
    ],
)  # fmt: skip
def test_a_hand_over_that_misses_is_found(file: str, old: str, new: str, said: str, ours: Repository) -> None:
    before = ours.files[file]
    assert old in before
    found = problems(Repository({**ours.files, file: before.replace(old, new, 1)}, ours.others))
    assert [line for line in found if said in line and line.startswith(file)], found


# --- the actions and ci_envs.github.inputs


def acting(ours: Repository) -> list[Step]:
    return [step for action in ours.actions.values() for step in action.steps if "CI_ENVS_ACTION" in step.env]


def test_every_action_that_reads_inputs_is_looked_at(ours: Repository) -> None:
    assert {step.env["CI_ENVS_ACTION"] for step in acting(ours)} == KINDS.keys()


def test_every_step_is_isolated_and_prints_what_the_runner_reads(ours: Repository) -> None:
    # The runner reads UTF-8; on Windows a program that is not told writes the system's code page.
    started = [step for step in acting(ours) if step.run]
    assert len(started) == len(acting(ours)) > len(KINDS)
    for step in started:
        assert step.run.startswith('"$CI_ENVS_PYTHON" -I -X utf8 -m ci_envs.action '), step


def test_every_step_hands_on_the_inputs_that_are_read_and_no_others(ours: Repository) -> None:
    for step in acting(ours):
        kind = step.env["CI_ENVS_ACTION"]
        names = {field.name for field in fields(KINDS[kind])} - (FIRST.get(kind, set()) if step.id == "run" else set())
        handed = {name: value for name, value in step.env.items() if name.startswith("INPUT_")}
        expected = {f"INPUT_{name.upper()}": f"${{{{ inputs.{name.replace('_', '-')} }}}}" for name in names}
        assert handed == expected, f"{step.file}:{step.table.line}"


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("", "environment"), ("actions/leg", "leg"), ("actions/plan", "plan"), ("actions/shard", "shard"),
     ("actions/report", "report")],
)  # fmt: skip
def test_every_input_of_an_action_is_a_field(folder: str, kind: str, ours: Repository) -> None:
    declared = {name.replace("-", "_") for name in ours.actions[folder].inputs}
    assert declared == {field.name for field in fields(KINDS[kind])}


@pytest.mark.parametrize(("folder", "kind"), [("", "environment"), ("actions/leg", "leg"), ("actions/plan", "plan")])
def test_the_defaults_of_an_action_are_those_of_the_code(folder: str, kind: str, ours: Repository) -> None:
    told = ours.actions[folder].inputs
    environ = {f"INPUT_{name.replace('-', '_').upper()}": told.sub(name).text("default") for name in told}
    required = {name for name in told if told.sub(name).text("required") == "true"}
    environ |= {f"INPUT_{name.replace('-', '_').upper()}": "uv-py312-linux-x86_64" for name in required}
    named = {name.replace("-", "_"): "uv-py312-linux-x86_64" for name in required}
    assert inputs.read_inputs(KINDS[kind], environ) == KINDS[kind](**named)


def test_every_input_says_what_it_is(ours: Repository) -> None:
    tables = [action.inputs for action in ours.actions.values()]
    tables += [
        workflow.inputs(event)
        for workflow in ours.workflows.values()
        for event in ("workflow_call", "workflow_dispatch")
    ]
    for told in tables:
        for name in told:
            assert told.sub(name).text("description").endswith("."), name
            assert ("default" in told.sub(name)) != (told.sub(name).text("required") == "true"), name


def test_every_step_of_the_module_has_writers() -> None:
    from ci_envs.action.__main__ import _STEPS

    assert WRITERS.keys() == _STEPS.keys()
    assert {step for step in WRITERS if not written_by(step)} == set()
    assert {"cache", "cache-key"} <= written_by("prepare")
    assert "lock-digest" in written_by("run")


def test_no_action_of_others_is_written_down_that_is_not_used(ours: Repository) -> None:
    assert {step.action for step in ours.steps if step.uses and not step.uses.startswith("$/")} == THIRD_PARTY.keys()


def test_a_row_of_a_planned_matrix_has_what_workflows_may_read() -> None:
    matrix = matrix_of('axes: {pattern: [uv], python: ["3.12"]}')
    cells = expand(matrix, os="linux", arch="x86_64").cells
    (row,) = json.loads(github_matrix(map(planner(matrix), cells)))["include"]
    assert row.keys() == ROW


# --- build-envs.yml and build-shard.yml


def handed_to_legs(ours: Repository, file: str) -> Table:
    (step,) = [step for step in ours.workflows[file].steps if step.action == "$/actions/leg"]
    return step.given


def test_a_leg_is_handed_the_same_in_a_shard_and_outside(ours: Repository) -> None:
    whole, shard = handed_to_legs(ours, BUILD), handed_to_legs(ours, SHARD)
    differ = {name for name in whole.keys() | shard.keys() if whole.get(name) != shard.get(name)}
    assert differ == {"artifact-name"}
    assert set(whole) == set(ours.actions["actions/leg"].inputs)


def test_a_shard_runs_its_legs_as_the_whole_does(ours: Repository) -> None:
    whole, shard = (ours.workflows[file].jobs["leg"].table for file in (BUILD, SHARD))
    for key in ("strategy", "runs-on", "timeout-minutes", "permissions", "if", "needs"):
        assert whole[key] == shard[key], key


def test_a_shard_is_handed_every_input_it_has(ours: Repository) -> None:
    assert set(ours.workflows[BUILD].jobs["shard"].given) == set(ours.workflows[SHARD].inputs())


def test_an_input_of_a_shard_is_that_of_the_whole(ours: Repository) -> None:
    whole, shard = ours.workflows[BUILD].inputs(), ours.workflows[SHARD].inputs()
    assert {name for name in shard if shard[name] != whole.get(name)} == {"shard", "artifact"}


def test_the_same_is_asked_for_by_hand_and_by_a_caller(ours: Repository) -> None:
    called, by_hand = (ours.workflows[BUILD].inputs(event) for event in ("workflow_call", "workflow_dispatch"))
    assert dict(called) == dict(by_hand)
    assert list(called) == list(by_hand)
    assert 0 < len(by_hand) <= DISPATCH_LIMIT


def test_a_number_that_was_asked_for_by_hand_is_made_one_where_it_must_be(ours: Repository) -> None:
    """GitHub hands it over as a text, and refuses that for max-parallel and for a number of another workflow."""
    for workflow in ours.workflows.values():
        by_hand = workflow.inputs("workflow_dispatch")
        numbers = {name for name in by_hand if by_hand.sub(name).text("type") == "number"}
        for job in workflow.jobs.values():
            typed = [
                job.table.text("timeout-minutes"),
                job.table.sub("strategy").text("max-parallel"),
                *texts(job.given),
            ]
            for text in typed if job.uses else typed[:2]:
                read = {name for name in numbers if re.search(rf"\binputs\.{name}\b", text)}
                assert not read or text.startswith("${{ fromJSON("), f"{job.file}: {text}"


def test_the_plan_is_handed_every_input_it_has(ours: Repository) -> None:
    (plan,) = [step for step in ours.workflows[BUILD].steps if step.action == "$/actions/plan"]
    assert set(plan.given) == set(ours.actions["actions/plan"].inputs)
    # An input of both has one default: GitHub writes a truth value and a number as text.
    whole = ours.workflows[BUILD].inputs()
    for name, value in plan.given.items():
        assert value == f"${{{{ inputs.{name} }}}}"
        told = ours.actions["actions/plan"].inputs.sub(name).text("default")
        assert (told or "0" * (name == "timeout-minutes")) == whole.sub(name).text("default"), name
