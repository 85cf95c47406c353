"""A job of GitHub Actions: its variables, and the files that the runner would read after the step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """The variables of a job whose repository is ``tmp_path / "repo"``, in our action for one environment."""
    (tmp_path / "repo").mkdir()
    (tmp_path / "temp").mkdir()
    files = {
        name: str(tmp_path / name) for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
    }
    return {
        **files,
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_WORKSPACE": str(tmp_path / "repo"),
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "INPUT_WORKING_DIRECTORY": str(tmp_path / "repo"),
        "CI_ENVS_ACTION": "environment",
    }
