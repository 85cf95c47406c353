"""Pattern ``uv`` with uv itself, over the small index: every kind of project it may meet, to the end of a leg."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from tests.component.running import PYTHON, run_process, run_verb, snapshot
from tests.support.index import Index
from tests.support.projects import FROZEN, PACKAGE, REQUIREMENTS, TESTLESS, WITH_EXTRAS, write_project
from tests.support.wheels import BACKEND, make_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.component.running import Ran

pytestmark = pytest.mark.component

UV = ["--pattern=uv", f"--python={PYTHON}", "-q"]

SETUP_PY = {
    "setup.py": "from setuptools import setup\n\nsetup(name='old', version='1', py_modules=['old'], "
    "install_requires=['apple'])\n",
    "old.py": "import apple\n",
}


def run(project: Path, env: dict[str, str], *words: str) -> Ran:
    return run_verb(["run", *UV, *words], env, project)


def test_a_package_is_locked_built_checked_and_tested(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "basket", PACKAGE)
    ran = run(project, warm_env)
    assert (ran.code, ran.record.status, ran.record.reason) == (0, "passed", ""), ran.output
    assert ran.record.tests is not None
    assert (ran.record.tests.passed, ran.record.tests.failed) == (3, 0)
    assert ran.pins.items() >= {"apple": "1.1", "pear": "1.1", "seed": "1.5"}.items()
    assert ran.installed == {**ran.pins, "basket": "0.1"}
    assert ran.record.lock is not None
    assert (ran.record.lock.path, ran.record.lock.format) == ("uv.lock", "uv.lock")
    assert "uv" in ran.record.tools
    assert {name for name in snapshot(project) if not name.startswith(".pytest_cache/")} == {*PACKAGE, "uv.lock"}

    said = run_process(["exec", ran.record.leg.id, "--", "carry"], warm_env, project)
    assert (said.code, said.stdout) == (0, "carries 1.1\n")

    again = run(project, {**warm_env, "CI": "true"})
    assert again.stage("lock").reason == f"{len(ran.pins)} pins of uv.lock"
    assert again.stage("build").reason == "kept: nothing it depends on has changed"
    assert again.record.environment == ran.record.environment


def test_a_module_that_was_edited_is_in_the_next_environment(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "basket", PACKAGE)
    first = run(project, warm_env, "--stages=lock,build")
    module = project / "src/basket/__init__.py"
    module.write_text(module.read_text() + "\nNEW = 'edited'\n")
    ran = run(project, warm_env, "--stages=lock,build")
    assert ran.stage("build").reason == "built: sources changed"
    ask = ["exec", ran.record.leg.id, "--", "python", "-c", "import basket; print(basket.NEW)"]
    assert run_process(ask, warm_env, project).stdout == "edited\n"
    assert first.record.environment is not None
    assert ran.record.environment is not None
    assert first.record.environment.digest == ran.record.environment.digest, "the project's own wheel is no part of it"


def test_an_editable_install_sees_an_edit_at_once(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "basket", {**PACKAGE, "ci-envs.yml": "install-project: editable\n"})
    ran = run(project, warm_env)
    assert ran.record.status == "passed", ran.record.reason
    (project / "src/basket/__init__.py").write_text("NEW = 'edited'\n")
    ask = ["exec", ran.record.leg.id, "--", "python", "-c", "import basket; print(basket.NEW)"]
    assert run_process(ask, warm_env, project).stdout == "edited\n"


def test_the_tests_of_an_extra_are_found(warm_env: dict[str, str], tmp_path: Path) -> None:
    ran = run(write_project(tmp_path / "bowl", WITH_EXTRAS), warm_env)
    assert ran.record.status == "passed", ran.record.reason
    assert ran.record.tests is not None
    assert ran.record.tests.passed == 2
    assert "optional-dependencies" in (project_lock := (tmp_path / "bowl/uv.lock").read_text())
    assert 'name = "pear"' in project_lock


def test_requirements_are_locked_in_a_file_of_the_legs_own(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", REQUIREMENTS)
    ran = run(project, warm_env)
    assert ran.record.status == "passed", ran.record.reason
    assert ran.record.tests is not None
    assert ran.record.tests.passed == 2
    assert ran.record.lock is not None
    text = (project / ran.record.lock.path).read_text()
    assert ran.record.lock.path == f"locks/{ran.record.leg.id}.txt"
    assert text.startswith(f"# Made by ci-envs; renew with: ci-envs lock --only '{ran.record.leg.id}'\n")
    assert text.count("--hash=sha256:") >= len(ran.pins)
    assert str(tmp_path) not in text
    assert ran.installed == ran.pins


def test_a_project_without_tests_passes_and_says_so(warm_env: dict[str, str], tmp_path: Path) -> None:
    ran = run(write_project(tmp_path / "project", TESTLESS), warm_env)
    assert (ran.code, ran.record.status) == (0, "passed")
    assert (ran.stage("test").status, ran.stage("test").reason) == ("skipped", "no test command found")
    assert ran.record.reason == "tests skipped: no test command found"


def test_a_setup_py_is_built_to_learn_what_it_needs(
    warm_env: dict[str, str], world_index: Index, tmp_path: Path
) -> None:
    env = {**warm_env, "UV_DEFAULT_INDEX": world_index.url, "PIP_INDEX_URL": world_index.url}
    project = write_project(tmp_path / "project", SETUP_PY)
    ran = run(project, env)
    assert ran.record.status == "passed", ran.record.reason
    assert ran.installed == {"apple": "2.0", "seed": "2.0", "old": "1"}
    world_index.requests.clear()
    assert run_verb(["lock", "--check", *UV], env, project).code == 0
    assert world_index.requests == []


@pytest.fixture
def world_index(index: Index) -> Index:
    """The session's index, which has what a build of ``setup.py`` asks for."""
    assert list(index.folder.glob("setuptools-*.whl"))
    return index


# What a leg asks for.


def test_groups_are_installed_by_name(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "basket", PACKAGE)
    prod = run(project, warm_env, "--group=prod").record
    assert {each.name for each in prod.inventory} == {"apple", "basket", "pear", "seed"}
    assert prod.reason == "tests skipped: no test command found"
    assert prod.leg.id.endswith("-prod")
    sweet = run(project, warm_env, "--group=sweet").records[f"{prod.leg.id.removesuffix('prod')}sweet"]
    assert {each.name for each in sweet.inventory} == {"apple", "basket", "pear", "plum", "seed", "sugar"}


@pytest.mark.parametrize(
    ("files", "asked", "nearest"),
    [(PACKAGE, "tets", "test"), (PACKAGE, "swet", "sweet"), (REQUIREMENTS, "dve", "dev"), (TESTLESS, "prd", "prod")],
)
def test_an_unknown_group_names_the_nearest(
    warm_env: dict[str, str], tmp_path: Path, files: dict[str, str], asked: str, nearest: str
) -> None:
    ran = run(write_project(tmp_path / "project", files), warm_env, f"--group={asked}")
    assert (ran.code, ran.record.status) == (2, "failed")
    assert f"the project has no group {asked!r}; did you mean {nearest!r}?" in ran.record.reason


def test_a_group_may_be_a_requirement_file(warm_env: dict[str, str], tmp_path: Path) -> None:
    ran = run(write_project(tmp_path / "project", REQUIREMENTS), warm_env, "--group=dev")
    assert ran.record.tests is not None
    assert (ran.record.status, ran.record.tests.passed) == ("passed", 2)
    assert ran.record.lock is not None
    assert ran.record.lock.path.endswith("-dev.txt")


MATRIX = f"""\
axes:
  pattern: [uv]
  python: ["{PYTHON}"]
  resolution: [highest, lowest, lowest-direct]
"""


def test_the_lowest_versions_are_resolved_into_locks_of_their_own(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(
        tmp_path / "project",
        {
            "pyproject.toml": '[project]\nname = "bowl"\nversion = "1"\ndependencies = ["apple>=1.1"]\n',
            "matrices/default.yml": MATRIX,
        },
    )
    ran = run_verb(["run", "-q"], warm_env, project)
    assert ran.code == 0, ran.output
    found = {
        record.leg.resolution: {each.name: each.version for each in record.inventory} for record in ran.records.values()
    }
    assert found == {
        "highest": {"apple": "2.0", "seed": "2.0"},
        "lowest": {"apple": "1.1", "seed": "1.0"},
        "lowest-direct": {"apple": "1.1", "seed": "2.0"},
    }
    locks = {record.leg.resolution: record.lock.path for record in ran.records.values() if record.lock}
    assert locks["highest"] == "uv.lock"
    assert locks["lowest"].endswith("-lowest.txt")
    assert locks["lowest-direct"].endswith("-lowest-direct.txt")
    assert run_verb(["lock", "--check"], warm_env, project).code == 0


def test_extras_markers_platforms_and_sdists_are_what_the_lock_says(
    index: Index, warm_env: dict[str, str], tmp_path: Path
) -> None:
    intent = "plum[jam]\nberry\nmelon\nfig\ncherry; python_version < '3'\n"
    project = write_project(tmp_path / "project", {"requirements.in": intent})
    ran = run(project, warm_env)
    assert ran.record.status == "passed", ran.record.reason
    old = sys.version_info < (3, 12)
    needed_by_berry = {"seed": "2.0"}  # fig needs it too
    assert ran.pins == {
        "plum": "1.0", "sugar": "1.0", "berry": "1.0", "melon": "1.0", "fig": "1.0", **needed_by_berry,
    }  # fmt: skip
    assert ran.installed == ran.pins
    assert old or "berry" in ran.pins
    assert "fig-1.0.tar.gz" in index.downloads or "fig" in ran.installed
    index.requests.clear()
    assert run_verb(["lock", "--check", *UV], warm_env, project).code == 0
    (project / "requirements.in").write_text(intent.replace("plum[jam]", "plum"))
    stale = run(project, warm_env, "--lock-mode=locked")
    assert stale.code == 5
    assert "plum[jam], which locks/uv-" in stale.record.reason
    assert index.requests == []


# Files that look like locks and are not, and the other way round.


def test_an_in_file_is_an_intent_however_it_is_pinned(warm_env: dict[str, str], tmp_path: Path) -> None:
    ran = run(write_project(tmp_path / "project", {"requirements.in": "apple==1.1\n"}), warm_env)
    assert ran.record.status == "passed", ran.record.reason
    assert ran.pins == {"apple": "1.1", "seed": "2.0"}
    assert ran.record.lock is not None
    assert ran.record.lock.path.startswith("locks/")


def test_a_file_that_was_frozen_by_hand_is_the_lock_and_a_finding(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", FROZEN)
    ran = run(project, warm_env)
    assert ran.record.status == "passed", ran.record.reason
    assert ran.installed == {"apple": "1.1", "pear": "1.1", "seed": "1.5"}
    assert ran.finding("LOCK001").severity == "warning"
    assert set(snapshot(project)) == set(FROZEN)


def test_pins_that_lack_what_they_need_are_locked(index: Index, warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", {"requirements.txt": "apple==1.1\npear==1.1\n"})
    ran = run(project, warm_env)
    assert ran.record.status == "passed", ran.record.reason
    assert ran.installed == {"apple": "1.1", "pear": "1.1", "seed": "1.5"}
    told = ran.finding("LOCK004")
    assert told.message.startswith("requirements.txt pins versions but not all that they need (seed): ")
    assert ran.record.lock is not None
    assert ran.record.lock.path == f"locks/{ran.record.leg.id}.txt"
    index.requests.clear()
    assert run(project, {**warm_env, "CI": "true"}).stage("build").reason.startswith("kept: ")
    assert index.requests == []


TESTS_IN_FILES = {
    "pyproject.toml": '[project]\nname = "bowl"\nversion = "1"\ndependencies = ["apple<2"]\n',
    "requirements/tests.in": "pytest\npear\n",
    "tests/test_it.py": "import apple, pear\n\n\ndef test_it():\n    assert apple\n",
}


def test_what_tests_need_by_a_requirement_file_is_locked_with_the_project(
    warm_env: dict[str, str], tmp_path: Path
) -> None:
    ran = run(write_project(tmp_path / "project", TESTS_IN_FILES), warm_env)
    assert ran.record.status == "passed", ran.record.reason
    assert ran.record.tests is not None
    assert ran.record.tests.passed == 1
    assert ran.record.lock is not None
    assert ran.record.lock.format == "requirements"


def test_what_a_uv_lock_cannot_hold_is_said(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", TESTS_IN_FILES)
    (project / "ci-envs.yml").write_text("lock: {format: uv.lock}\n")
    ran = run(project, warm_env)
    assert ran.installed == {"apple": "1.1", "seed": "2.0"}
    assert ran.finding("LOCK005").message.startswith("requirements/tests.in: what it asks for is not installed")
    assert ran.record.reason == "tests skipped: no test command found"


# What breaks inside.


def test_imports_that_raise_crash_or_hang_are_findings_and_not_the_end(
    warm_env: dict[str, str], tmp_path: Path
) -> None:
    files = {"requirements.in": "apple\nbomb\nrotten\nstuck\n", "ci-envs.yml": "check: {timeout: 2s}\n"}
    ran = run(write_project(tmp_path / "project", files), warm_env)
    assert (ran.code, ran.record.status, ran.stage("check").status) == (7, "failed", "failed")
    found = {f.code: f.message for f in ran.record.findings if f.code.startswith("ENV3")}
    assert set(found) == {"ENV301", "ENV302", "ENV303"}
    assert "rotten to the core" in found["ENV301"]
    assert "stuck" in found["ENV302"]
    assert "bomb" in found["ENV303"]
    assert ran.installed.keys() >= {"apple", "bomb", "rotten", "stuck"}


def test_a_build_backend_that_fails_is_told_in_one_line(warm_env: dict[str, str], tmp_path: Path) -> None:
    sick = f"{BACKEND.read_text()}\n\ndef build_wheel(*_):\n    raise OSError('no oven')\n"
    files = {**PACKAGE, "tiny_backend.py": sick}
    ran = run(write_project(tmp_path / "basket", files), warm_env)
    assert (ran.code, ran.record.status, ran.stage("build").status) == (6, "failed", "failed")
    assert "building the project's wheel failed: " in ran.record.reason
    assert "OSError: no oven. The log has all of it: .ci-envs/logs/uv-" in ran.record.reason
    assert "\n" not in ran.record.reason


# The user's own settings.


def test_credentials_reach_the_index_and_nothing_that_is_kept(
    universe: Path, warm_env: dict[str, str], tmp_path: Path
) -> None:
    secret = "kanarienvogel-7"
    for name, files in (("package", PACKAGE), ("requirements", REQUIREMENTS)):
        project = write_project(tmp_path / name, files)
        with Index(universe, user="eve", password=secret) as index:
            env = {**warm_env, "UV_DEFAULT_INDEX": index.url_with(f"eve:{secret}"), "PIP_INDEX_URL": index.url}
            env["CI_ENVS_CACHE_DIR"] = str(tmp_path / f"cache-{name}")
            ran = run(project, env, "--stages=lock,build")
            assert index.credentials == {f"eve:{secret}"}
            assert ran.record.status == "passed", ran.record.reason
            kept = [path for path in project.rglob("*") if path.is_file()]
            assert not [path for path in kept if secret.encode() in path.read_bytes()]
            wrong = {**env, "UV_DEFAULT_INDEX": index.url_with(f"eve:x{secret}")}
            refused = run(project, {**wrong, "CI_ENVS_CACHE_DIR": str(tmp_path / f"c-{name}")}, "--lock-mode=update")
        assert (refused.code, refused.record.status) == (5, "broken")
        assert "the package index refused us: " in refused.record.reason
        assert secret not in refused.output + refused.record.reason


def test_pips_extra_index_does_not_answer_for_names_of_uv(
    own_index: Index, warm_env: dict[str, str], tmp_path: Path
) -> None:
    make_wheel(own_index.folder, "internal", "1.0")
    project = write_project(tmp_path / "project", {"requirements.in": "internal\n"})
    ran = run(project, {**warm_env, "PIP_EXTRA_INDEX_URL": own_index.url})
    assert (ran.code, ran.record.status) == (5, "failed")
    assert "internal was not found in the package registry" in ran.record.reason
    assert own_index.requests == []
    taken = run(project, {**warm_env, "UV_INDEX": own_index.url})
    assert taken.record.status == "passed", taken.record.reason
    assert own_index.url not in (project / f"locks/{taken.record.leg.id}.txt").read_text()


def test_a_machine_without_an_index_has_its_links_alone(
    index: Index, fruit: Path, warm_env: dict[str, str], tmp_path: Path
) -> None:
    links = tmp_path / "links"
    shutil.copytree(fruit, links)
    env = {name: value for name, value in warm_env.items() if not name.endswith(("INDEX_URL", "DEFAULT_INDEX"))}
    env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(links), "CI_ENVS_CACHE_DIR": str(tmp_path / "cache")}
    ran = run(write_project(tmp_path / "project", {"requirements.in": "apple\n"}), env)
    assert ran.record.status == "passed", ran.record.reason
    assert ran.installed == {"apple": "2.0", "seed": "2.0"}
    assert "links" not in (tmp_path / f"project/locks/{ran.record.leg.id}.txt").read_text()
    assert index.requests == []


@pytest.mark.parametrize("variables", [{"UV_PYTHON_DOWNLOADS": "never"}, {}], ids=["never", "nobody has it"])
def test_a_python_that_cannot_be_downloaded_is_not_here(
    warm_env: dict[str, str], tmp_path: Path, variables: dict[str, str]
) -> None:
    project = write_project(tmp_path / "project", {**TESTLESS, "ci-envs.yml": "uv: {python-downloads: true}\n"})
    env = {name: value for name, value in warm_env.items() if name != "UV_PYTHON_DOWNLOADS"} | variables
    ran = run_verb(["run", "--pattern=uv", "--python=3.99", "-q"], env, project)
    assert (ran.record.status, ran.record.reason) == ("skipped", "no Python 3.99 here (uv python install 3.99)")


@pytest.mark.parametrize("name", ["with spaces", "-dash", 'it\'s "quoted"', "grün-Ω", "$(touch harm)"])
def test_a_project_may_lie_in_any_folder(warm_env: dict[str, str], tmp_path: Path, name: str) -> None:
    project = write_project(tmp_path / name, {**PACKAGE, "ci-envs.yml": "test: {command: python -c 'import basket'}\n"})
    ran = run(project, warm_env)
    assert ran.record.status == "passed", ran.record.reason
    said = run_process(["exec", ran.record.leg.id, "--", "carry"], warm_env, project)
    assert said.stdout == "carries 1.1\n"
    assert not list(tmp_path.rglob("harm"))


def test_a_secret_that_is_a_word_does_not_change_what_is_read(warm_env: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", {"requirements.in": "cherry\nberry\n"})
    ran = run(project, {**warm_env, "SERVICE_PASSWORD": "cherry"}, "--stages=lock,build,check")
    assert ran.record.status == "passed", ran.record.reason
    assert "cherry" in ran.installed
