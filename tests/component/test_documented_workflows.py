"""The workflows that the documentation shows: GitHub's own parser takes them, and the way around ``$/`` leads there."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.workflow_runner.events import push
from tests.support.workflow_runner.repositories import Repository
from tests.support.workflow_runner.running import Server

if TYPE_CHECKING:
    from tests.support.workflow_runner.node import Node

pytestmark = [
    pytest.mark.component,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform == "win32", reason="the runner that is stood for here is a Linux one"),
]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
OLDER = ".github/workflows/older-servers.yml"

CALLER = f"on: [push]\njobs:\n  envs:\n    uses: org/copy/{OLDER}@main\n"

#: In place of the action that is used from the checkout: what would be used, and of which commit it is.
LOOK = """\
      - id: plan
        shell: bash
        run: |
          test -f .repro-envs/actions/plan/action.yml
          test -f pyproject.toml
          echo "commit=$(git -C .repro-envs rev-parse HEAD)" >>"$GITHUB_OUTPUT"
"""


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yml")), ids=lambda path: path.stem)
def test_githubs_parser_takes_an_example(node: Node, path: Path) -> None:
    parsed = node.parse_workflow(f".github/workflows/{path.name}", path.read_text("utf-8"))

    assert parsed.errors == ()
    assert parsed.document["jobs"]


def test_the_way_around_self_references_leads_to_the_workflows_own_commit(
    node: Node, ours: Repository, tmp_path: Path
) -> None:
    # The copy is at another commit than any of ours, and under another name: what is used is found by these.
    copy = Repository("org/copy", tmp_path / "copy")
    shutil.copytree(ours.folder, copy.folder)
    before, _, used = (EXAMPLES / "older-servers.yml").read_text("utf-8").partition("      - id: plan\n")
    assert used.lstrip().startswith("uses: ./.repro-envs/actions/plan\n")
    commit = copy.commit("the copy", {OLDER: before + LOOK})
    project = Repository.make(
        "stranger/project", tmp_path / "project", {".github/workflows/envs.yml": CALLER, "pyproject.toml": ""}
    )
    server = Server(node, tmp_path / "server", {copy.name: copy, project.name: project})

    walk = server.start(project.name, ".github/workflows/envs.yml", push(project))

    assert walk.result == "success", walk.log
    assert walk.job("envs/plan").step("plan").outputs == {"commit": commit}
