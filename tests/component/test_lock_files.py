"""Lock files that are made: pylock.toml in its three ways, and requirement files that name the project itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.component.running import PYTHON, run_verb
from tests.support.projects import PACKAGE, write_project

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import Index

pytestmark = [pytest.mark.component, pytest.mark.usefixtures("universe")]

UV = ["--pattern=uv", f"--python={PYTHON}"]
AS_PYLOCK = {"ci-envs.yml": "lock: {format: pylock}\n"}
SMALL = {
    "pyproject.toml": '[project]\nname = "demo"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = ["apple"]\n'
}


def test_a_pylock_is_made_for_every_python_and_names_no_index(
    index: Index, warm_env: dict[str, str], tmp_path: Path
) -> None:
    project = write_project(tmp_path / "project", SMALL | AS_PYLOCK)
    assert run_verb(["lock", "--json", *UV], warm_env, project).code == 0
    text = (project / "pylock.toml").read_text("utf-8")
    assert 'requires-python = ">=3.9"' in text
    assert index.url not in text
    again = run_verb(["lock", "--json", "--upgrade", *UV], warm_env, project)
    assert again.code == 0
    assert (project / "pylock.toml").read_text("utf-8") == text


def test_an_environment_is_built_from_the_pylock_that_was_made(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", SMALL | AS_PYLOCK)
    ran = run_verb(["run", "-q", *UV], warm_env, project)
    assert ran.record.status == "passed", ran.record.reason
    assert ran.record.lock is not None
    assert ran.record.lock.format == "pylock"
    assert ran.installed == ran.pins
    assert "apple" in ran.pins


def test_a_pylock_that_is_stale_is_refused_or_renewed(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", SMALL | AS_PYLOCK)
    assert run_verb(["lock", "--json", *UV], warm_env, project).code == 0
    (project / "pyproject.toml").write_text(SMALL["pyproject.toml"].replace('"apple"', '"apple<2"'))
    code, _, reason = run_verb(["lock", "--check", "--json", *UV], warm_env, project).verdict
    assert code == 5
    assert "apple<2 is not satisfied by apple==2.0 of pylock.toml" in reason
    assert run_verb(["lock", "--json", *UV], warm_env, project).code == 0
    assert run_verb(["lock", "--check", "--json", *UV], warm_env, project).verdict == (0, "passed", "")


def test_a_missing_pylock_is_an_error_where_locks_must_be_there(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", SMALL | AS_PYLOCK)
    code, _, reason = run_verb(["lock", "--check", "--json", *UV], warm_env, project).verdict
    assert code == 5
    assert "pylock.toml: there is no lock for uv-" in reason


def test_where_there_is_a_uv_lock_the_pylock_is_what_it_says(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", SMALL)
    assert run_verb(["lock", "--json", "--as-of=2025-06-01", *UV], warm_env, project).code == 0
    write_project(project, AS_PYLOCK)
    pinned = [line for line in (project / "uv.lock").read_text("utf-8").splitlines() if line.startswith("version = ")]
    assert run_verb(["lock", "--json", *UV], warm_env, project).code == 0
    versions = {
        line for line in (project / "pylock.toml").read_text("utf-8").splitlines() if line.startswith("version")
    }
    assert versions <= set(pinned)


@pytest.mark.parametrize("pattern", ["uv", "venv"])
def test_a_requirement_file_that_names_the_project_itself_is_locked_without_it(
    warm_env: dict[str, str], tmp_path: Path, pattern: str
) -> None:
    files = {name: text for name, text in PACKAGE.items() if not name.startswith(("requirements", "uv.lock"))}
    project = write_project(tmp_path / "project", files | {"requirements.txt": "-e .\nseed\n"})
    ran = run_verb(["run", "-q", f"--pattern={pattern}", f"--python={PYTHON}"], warm_env, project)
    assert ran.record.status == "passed", ran.record.reason
    assert ran.record.lock is not None
    lock = (project / ran.record.lock.path).read_text("utf-8")
    assert "seed==" in lock
    assert not any(line.startswith(("-e", ".", "file:")) for line in lock.splitlines())
    # The project is installed all the same, as a wheel.
    assert set(ran.installed) > set(ran.pins) - {"pip", "setuptools"}
