from __future__ import annotations

import pytest
import yaml
from tests.support.workflow_tables import expressions, leaves, table
from tests.support.workflows import Repository, files_of

FLOW = """\
on: [push, workflow_dispatch]
permissions: {}
jobs:
  one:
    needs: zero
    permissions:
      contents: read # to check out
    environment: {name: images}
    steps:
      - id: a
        uses: $/actions/plan
        with:
          matrix: ${{ inputs.matrix }}
      - if: steps.a.outputs.b != ''
        run: |
          echo one
          echo two
"""


def test_every_value_is_text_and_every_key_knows_its_line() -> None:
    read = table("on: yes\nversion: 3.10\n\nlist:\n  - {a: 1}\n")
    assert (read["on"], read["version"]) == ("yes", "3.10")
    assert (read.at("on"), read.at("list"), read["list"][0].line) == (1, 4, 5)
    assert read.sub("nothing") == {}
    assert read.text("list") == ""


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "- a\n", "a: b: c\n"])
def test_what_github_would_refuse_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        table(text)


def test_a_workflow_is_read_job_by_job() -> None:
    repository = Repository({".github/workflows/x.yml": FLOW})
    workflow = repository.workflows[".github/workflows/x.yml"]
    job = workflow.jobs["one"]
    assert set(workflow.on) == {"push", "workflow_dispatch"}
    assert (job.needs, job.environment, job.line, job.publishes) == (("zero",), "images", 4, True)
    assert job.writes == frozenset()
    assert [step.action for step in job.steps] == ["$/actions/plan", ""]
    assert job.steps[1].run == "echo one\necho two\n"
    assert repository.line(job.file, job.permissions.at("contents")).endswith("# to check out")


def test_expressions_are_found_with_their_lines() -> None:
    read = table(FLOW)
    assert list(expressions(read)) == ["inputs.matrix"]
    assert list(leaves(read, 0)) == [(13, "inputs.matrix"), (14, "steps.a.outputs.b != ''")]


def test_our_own_files_are_all_read() -> None:
    ours = files_of()
    assert {".github/workflows/build-envs.yml", ".github/workflows/ci.yml"} <= ours.workflows.keys()
    assert {
        "",
        "actions/leg",
        "actions/plan",
        "actions/report",
        "actions/setup",
        "actions/shard",
    } == ours.actions.keys()
    assert {"requirements/ci-envs.txt", "actions/setup/private-venv.sh", "src/ci_envs/resources/Dockerfile.j2"} <= (
        ours.files.keys()
    )
    assert "src/ci_envs/errors.py" in ours.others
    assert not any(name.startswith((".venv/", ".git/")) for name in ours.names)
    assert all(workflow.jobs for workflow in ours.workflows.values())
