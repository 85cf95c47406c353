"""What uv, pip-tools and rattler cannot lock is shown at the lines that are why; each case is a folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.component.running import PYTHON, Ran, run_verb, snapshot
from tests.support.faults import Fault
from tests.support.index import Index
from tests.support.projects import private_environment, write_project
from tests.support.solver_cases import SolverCase, make_sour_fruit, solver_cases

from ci_envs.github.workflow_commands import annotation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.component.conda_lock_fixtures import MakeProject

    from ci_envs.model.record import Finding

pytest_plugins = ("tests.component.conda_lock_fixtures",)
pytestmark = pytest.mark.component


@pytest.fixture(scope="session")
def sour_index(universe: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """The universe with what nobody can lock."""
    folder = tmp_path_factory.mktemp("sour") / "packages"
    with Index(make_sour_fruit(shutil.copytree(universe, folder))) as running:
        yield running


@pytest.fixture
def sour_env(sour_index: Index, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which tools know that index only; the cache is kept for the session."""
    cache = tmp_path_factory.getbasetemp() / "sour-cache"
    return private_environment(sour_index.url, tmp_path / "home", cache)


def told(ran: Ran) -> list[Finding]:
    """The findings about what cannot be locked, the error first."""
    found = [one for one in ran.record.findings if one.code in ("LOCK040", "LOCK041")]
    assert [one.code for one in found] == ["LOCK040", *["LOCK041"] * (len(found) - 1)]
    return found


def check(case: SolverCase, ran: Ran) -> None:
    """The findings, what GitHub is told of them, and the reason of the leg."""
    assert (ran.code, ran.record.status, ran.stage("lock").status) == (5, "failed", "failed"), ran.output
    found = told(ran)
    assert [f"{one.file}:{one.line}" if one.line else one.file for one in found] == case.lines
    assert found[0].title == case.expected["title"]
    assert ran.record.reason.startswith(f"lock: {case.lines[0]}: ")

    commands = [annotation(one, "sub/project") for one in found]
    for place, level, command in zip(case.lines, ["error", *["warning"] * len(found)], commands, strict=False):
        file, _, line = place.partition(":")
        where = f"file=sub/project/{file}" + (f",line={line}" if line else "")
        assert command.startswith(f"::{level} {where},title=LOCK04")

    first = found[0].message
    assert f"hen run ci-envs lock --pattern={ran.record.leg.pattern} --python={ran.record.leg.python}" in first
    assert ran.record.leg.id not in first, "what twelve legs have in common is one piece of news"
    assert "Traceback" not in first
    assert len(first) < 1500


@pytest.mark.parametrize("case", solver_cases("uv", "venv"), ids=lambda case: case.id)
def test_a_requirement_that_cannot_be_locked_is_shown_at_its_line(
    case: SolverCase, sour_env: dict[str, str], tmp_path: Path
) -> None:
    project = write_project(tmp_path / "project", case.files)
    before = snapshot(project)
    groups = [f"--group={name}" for name in case.groups or ()]
    ran = run_verb(
        ["run", f"--pattern={case.tool}", f"--python={PYTHON}", "--stages=lock", "-q", *groups], sour_env, project
    )
    check(case, ran)
    assert snapshot(project) == before


@pytest.mark.parametrize("case", solver_cases("conda"), ids=lambda case: case.id)
def test_a_spec_that_cannot_be_locked_is_shown_at_its_line(case: SolverCase, conda_project: MakeProject) -> None:
    mine = conda_project(case.files)
    check(case, mine.do("run", "--stages=lock", "-q"))


EXTRA_IN_FILE = ({"requirements.in": "sugar\nplum[cream,jam]\n"}, "requirements.in:2")
EXTRA = {
    "venv": ("venv", *EXTRA_IN_FILE),
    "uv pip": ("uv", *EXTRA_IN_FILE),
    "uv": (
        "uv",
        {
            "pyproject.toml": '[project]\nname = "bowl"\nversion = "1"\nrequires-python = ">=3.11"\n'
            'dependencies = [\n  "sugar",\n  "plum[cream]",\n]\n'
        },
        "pyproject.toml:7",
    ),
}


@pytest.mark.parametrize(("tool", "files", "place"), EXTRA.values(), ids=EXTRA)
def test_an_extra_that_is_not_there_is_a_warning_at_its_line(
    tool: str, files: dict[str, str], place: str, sour_env: dict[str, str], tmp_path: Path
) -> None:
    ran = run_verb(
        ["run", f"--pattern={tool}", f"--python={PYTHON}", "--stages=lock", "-q"],
        sour_env,
        write_project(tmp_path / "project", files),
    )
    assert ran.code == 0, ran.output
    found = ran.finding("LOCK043")
    assert (f"{found.file}:{found.line}", found.severity) == (place, "warning")
    assert "plum has no extra 'cream'" in found.message


# What is locked and cannot be installed.

PROJECT = {
    "pyproject.toml": """\
[project]
name = "bowl"
version = "1"
requires-python = ">=3.11"
dependencies = ["seed<2", "pear"]
"""
}
REQUIREMENTS = {"requirements.in": "seed\npear\n"}
WHEEL = "/files/pear-1.1-*"
ANOTHER, NO_LONGER = "the index gave another file", "which the index no longer has"


@dataclass(frozen=True)
class Install:
    """An index that misbehaves once the lock is made, and what is said of it."""

    tool: str
    files: dict[str, str]
    fault: Fault
    said: str
    words: tuple[str, ...] = ()


INSTALLS = [
    Install("uv", PROJECT, Fault.altered(), ANOTHER),
    Install("uv", PROJECT, Fault.gone(), NO_LONGER),
    Install("uv", REQUIREMENTS, Fault.altered(), ANOTHER),
    Install("uv", REQUIREMENTS, Fault.gone(), NO_LONGER),
    Install("venv", REQUIREMENTS, Fault.altered(), ANOTHER, ("--installer=pip",)),
    Install("venv", REQUIREMENTS, Fault.gone(), NO_LONGER, ("--installer=pip",)),
]


@pytest.mark.parametrize("case", INSTALLS)
def test_a_pin_that_cannot_be_installed_is_shown_at_its_line(
    index: Index, tool_env: dict[str, str], tmp_path: Path, case: Install
) -> None:
    env = {**tool_env, "PIP_NO_CACHE_DIR": "1"}
    project = write_project(tmp_path / "project", case.files)
    leg = [f"--pattern={case.tool}", f"--python={PYTHON}"]
    assert run_verb(["lock", *leg, "-q"], env, project).code == 0
    (lock,) = (name for name in snapshot(project) if name not in case.files)
    index.fail(case.fault, WHEEL)
    ran = run_verb(["run", *leg, *case.words, "--stages=lock,build", "-q"], env, project)
    assert (ran.code, ran.record.status) == (6, "failed"), ran.output
    found = ran.finding("ENV150")
    assert found.file == lock
    assert "pear" in (project / lock).read_text("utf-8").splitlines()[found.line - 1]
    assert case.said in found.message
    assert f"ci-envs lock --upgrade --pattern={case.tool}" in found.message


# What ends a leg before a resolver is asked.


def test_a_stale_lock_is_shown_at_the_line_that_it_does_not_satisfy(sour_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", PROJECT)
    leg = ["--pattern=uv", f"--python={PYTHON}"]
    assert run_verb(["lock", *leg, "-q"], sour_env, project).code == 0
    write_project(project, {"pyproject.toml": PROJECT["pyproject.toml"].replace('["seed<2"', '[\n  "seed<1.5"')})
    ran = run_verb(["run", *leg, "--lock-mode=locked", "--stages=lock", "-q"], sour_env, project)
    (found,) = told(ran)
    assert annotation(found).startswith("::error file=pyproject.toml,line=6,title=LOCK040%3A cannot be locked as it")
    assert found.message.startswith(
        "seed<1.5 is not satisfied by seed==1.5 of uv.lock; the lock is stale. Renew it with"
    )
    assert found.message.endswith(f": ci-envs lock {' '.join(leg)}")


def test_a_line_that_is_no_requirement_is_shown(sour_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", {"requirements.in": "seed\npear >>1\n"})
    ran = run_verb(["run", "--pattern=uv", f"--python={PYTHON}", "--stages=lock", "-q"], sour_env, project)
    assert ran.record.status == "failed", ran.output
    found = ran.finding("LOCK042")
    assert (found.file, found.line, found.severity) == ("requirements.in", 2, "error")
