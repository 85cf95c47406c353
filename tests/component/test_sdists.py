"""Real projects that no one here wrote: ``ci-envs run`` locks, builds, checks and tests them at the first try.

Nothing is configured; the index is the one that whoever runs the tests has set up.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.component.running import PYTHON, run_process
from tests.component.sdists import MORE_SDISTS, SDISTS, Sdist, fetch_sdist, unpack_sdist

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.component


@pytest.fixture(scope="session")
def sdist_folder(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    return cache.mkdir("sdists") if cache is not None else tmp_path_factory.mktemp("sdists")


@pytest.mark.parametrize("sdist", [*SDISTS, *MORE_SDISTS], ids=lambda sdist: sdist.name)
def test_an_sdist_is_had_and_is_a_project(sdist: Sdist, sdist_folder: Path, pip_python: Path, tmp_path: Path) -> None:
    project = unpack_sdist(fetch_sdist(sdist, sdist_folder, pip_python), tmp_path)
    assert (project / "PKG-INFO").is_file()
    for option, value in zip(sdist.install, sdist.install[1:], strict=False):
        if option == "-r":
            assert (project / value).is_file()


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path, pip_python: Path) -> None:
    (tmp_path / SDISTS[0].filename).write_bytes(b"not it")
    with pytest.raises(RuntimeError, match=r"has SHA-256 \w+, not e0050c0b"):
        fetch_sdist(SDISTS[0], tmp_path, pip_python)


def test_the_three_kinds_are_there() -> None:
    assert [sdist.kind for sdist in SDISTS] == ["requirements", "extras", "extension"]


#: msgpack is not among them: ``python -m pytest`` puts its folder, which lacks the extension, before the environment.
RUNS = [
    *((sdist, pattern) for sdist in SDISTS for pattern in ("uv", "venv")),
    *((sdist, "uv") for sdist in MORE_SDISTS if sdist.name != "msgpack"),
]


@pytest.fixture(scope="session")
def world_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all of them: what two projects need is downloaded once."""
    return tmp_path_factory.mktemp("world-cache")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("case", RUNS, ids=lambda case: f"{case[0].name}-{case[1]}")
def test_a_project_from_the_index_is_locked_built_checked_and_tested(
    case: tuple[Sdist, str], sdist_folder: Path, pip_python: Path, world_cache: Path, tmp_path: Path
) -> None:
    sdist, pattern = case
    project = unpack_sdist(fetch_sdist(sdist, sdist_folder, pip_python), tmp_path)
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "GITHUB_ACTIONS")}
    env["CI_ENVS_CACHE_DIR"] = str(world_cache)
    words = ["run", f"--pattern={pattern}", f"--python={PYTHON}", "-q"]
    ran = run_process(words, env, project, timeout=390)
    assert (ran.code, ran.record.status) == (0, "passed"), f"{ran.record.reason}\n{ran.output}"
    assert [stage.status for stage in ran.record.stages] == ["passed"] * 5
    tests = ran.record.tests
    assert tests is not None
    assert (tests.passed, tests.failed, tests.skipped) == (sdist.passed, 0, sdist.skipped)
    assert ran.installed[sdist.name] == sdist.version
    assert not [finding for finding in ran.record.findings if finding.severity == "error"]
    again = run_process([*words, "--stages=lock,build,check"], env, project)
    assert (again.code, again.stage("build").reason) == (0, "kept: nothing it depends on has changed")
