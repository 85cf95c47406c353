"""The official parser (`@actions/workflow-parser`) accepts every workflow and every action of this repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.workflow_runner.node import FOLDER, ParseError

if TYPE_CHECKING:
    from tests.support.workflow_runner.node import Node

pytestmark = pytest.mark.component

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = ["action.yml", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("actions/*/action.yml"))]


def test_there_is_something_to_parse() -> None:
    assert ".github/workflows/build-envs.yml" in WORKFLOWS
    assert {"actions/plan/action.yml", "actions/leg/action.yml", "actions/report/action.yml"} <= set(ACTIONS)
    assert not [*(ROOT / ".github" / "workflows").glob("*.yaml"), *ROOT.glob("actions/*/action.yaml")]


@pytest.mark.parametrize("path", WORKFLOWS)
def test_a_workflow_is_accepted(node: Node, path: str) -> None:
    parsed = node.parse_workflow(path, (ROOT / path).read_text("utf-8"))

    assert parsed.errors == ()
    assert parsed.document["jobs"]


@pytest.mark.parametrize("path", ACTIONS)
def test_an_action_is_accepted(node: Node, path: str) -> None:
    parsed = node.parse_action(path, (ROOT / path).read_text("utf-8"))

    assert parsed.errors == ()
    assert parsed.document["runs"]["using"] == "composite"


# What each change to build-envs.yml is told, and where: the parser reads our file, and not only that there is one.
BROKEN = {
    "a key that there is not": ("    timeout-minutes: 10\n", "    timeout: 10\n", "Unexpected value 'timeout'"),
    "a context that its place has not": (
        "    if: needs.plan.outputs.matrix != ''\n",
        "    if: matrix.id != ''\n",
        "Unrecognized named-value: 'matrix'",
    ),
    "an expression without end": ("name: ${{ matrix.id }}", "name: ${{ matrix.id", "The expression is not closed"),
    "a need that is no job": (
        "    needs: [plan, leg, shard]",
        "    needs: [plan, leg, shards]",
        "unknown job 'shards'",
    ),
    "an input of no type": ("        type: boolean", "        type: bool", "Unexpected value 'bool'"),
    "a step that does two things": (
        "      - name: Check out\n",
        "      - name: Check out\n        run: ls\n",
        "Unexpected value 'uses'",
    ),
    "no YAML": ("\njobs:\n", "\njobs: [\n", "not allowed within flow collections"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_workflow_is_refused_where_it_is_broken(node: Node, name: str) -> None:
    path = ".github/workflows/build-envs.yml"
    good = (ROOT / path).read_text("utf-8")
    before, after, message = BROKEN[name]
    assert before in good

    parsed = node.parse_workflow(path, good.replace(before, after, 1))

    line = good[: good.index(before)].count("\n") + 1 + before.startswith("\n")
    assert parsed.document is None
    assert parsed.errors, name
    first = parsed.errors[0]
    assert message in first.message
    assert first.column >= 1
    # What is broken by what does not follow is noticed a few lines later.
    assert line <= first.line <= line + 4, first


def test_a_broken_action_is_refused_where_it_is_broken(node: Node) -> None:
    good = (ROOT / "action.yml").read_text("utf-8")
    line = good.splitlines().index("  using: composite") + 1

    parsed = node.parse_action("action.yml", good.replace("  using: composite", "  using: compost"))

    assert parsed.errors == (ParseError(line, 10, "Unexpected value 'compost'"),)


def test_the_lock_of_the_packages_names_versions_and_hashes_and_no_host() -> None:
    lock = json.loads((FOLDER / "package-lock.json").read_text("utf-8"))
    packages = {name: told for name, told in lock["packages"].items() if name}

    assert {"node_modules/@actions/workflow-parser", "node_modules/@actions/expressions"} <= packages.keys()
    for told in packages.values():
        assert told["integrity"].startswith("sha512-")
        assert "resolved" not in told
