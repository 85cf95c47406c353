"""What legs that are not conda's pay for conda: nothing that takes time to import."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.component

DEAR = ("rattler", "conda_lock", "asyncio")


def imported(source: str, folder: Path) -> set[str]:
    """The modules that a program of its own has at its end."""
    text = f"{source}\nimport sys\nprint('modules:', *sorted(sys.modules))"
    said = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, check=True)
    return set(said.stdout.splitlines()[-1].split()[1:])


def test_a_plan_with_conda_legs_imports_nothing_of_conda(tmp_path: Path) -> None:
    (tmp_path / "plan.yml").write_text('axes: {pattern: [uv, conda], python: ["3.12"]}\n')

    modules = imported("from ci_envs.__main__ import main\nmain(['plan', '--json', 'plan.yml'])", tmp_path)

    assert "ci_envs.planning.expansion" in modules
    assert not modules & set(DEAR)
    assert not [name for name in modules if name.startswith("ci_envs.conda")]


def test_all_that_runs_legs_imports_neither_rattler_nor_asyncio(tmp_path: Path) -> None:
    verbs = "from ci_envs.cli import lock_verb, run_verb, verify_verb"

    modules = imported(f"{verbs}\nfrom ci_envs import assembling, checking, running, testing, verifying", tmp_path)

    assert "ci_envs.patterns.conda" in modules
    assert not modules & set(DEAR)


def test_judging_a_conda_lock_needs_no_event_loop(tmp_path: Path) -> None:
    source = "from ci_envs.conda import asked, locking, staleness, spec_matching\nimport rattler"

    assert not imported(source, tmp_path) & {"asyncio", "conda_lock", "ci_envs.conda.solving"}
