"""A build from a lock needs no network once its packages are here: requirement 14 of tests/support/workflow_rules."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from tests.component.running import PYTHON, run_process
from tests.support.projects import REQUIREMENTS, write_project

from ci_envs.command import Command, run
from ci_envs.record_files import read_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.index import Index

pytestmark = pytest.mark.component

#: A network of its own, in which not even loopback is up.
ALONE = ("--map-root-user", "--net")


@pytest.mark.parametrize("pattern", ["venv", "uv"])
def test_a_lock_is_built_and_checked_with_no_network_at_all(
    pattern: str, universe: Path, warm_env: dict[str, str], tool: Callable[[str], Path], tmp_path: Path
) -> None:
    project = write_project(tmp_path / "project", REQUIREMENTS)
    words = ["run", f"--pattern={pattern}", f"--python={PYTHON}", "-q"]
    locked = run_process([*words, "--stages=lock"], warm_env, project)
    assert locked.code == 0, locked.output

    # A cache of its own, and a folder of files in the place of the index: what was fetched before.
    env = {name: value for name, value in warm_env.items() if name not in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")}
    env |= {"CI_ENVS_CACHE_DIR": str(tmp_path / "cold"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(universe)}
    built = (sys.executable, "-m", "ci_envs", *words, "--lock-mode=frozen", "--stages=build,check")
    outcome = run(Command((str(tool("unshare")), *ALONE, *built), cwd=project, env=env, timeout=100))
    assert outcome, outcome.tail(20)
    (path,) = (project / ".ci-envs/records").glob("*.json")
    record = read_record(path)
    assert record.status == "passed"
    assert {each.name: each.version for each in record.inventory}.items() >= locked.pins.items()


def test_where_it_is_built_nothing_can_be_reached(index: Index, tool: Callable[[str], Path]) -> None:
    port = index.url.split(":")[2].partition("/")[0]
    reach = f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=5)"
    there = run(Command((sys.executable, "-c", reach), timeout=20))
    alone = run(Command((str(tool("unshare")), *ALONE, sys.executable, "-c", reach), timeout=20))
    assert there
    assert not alone
    assert "Network is unreachable" in alone.tail(5)
